"""Parameters of the intervention node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class InterventionParams:
    """Who may take control, and when control is lost."""

    lockstep: bool = option(
        True, "simulated time waits for the source in control, so it is never silent"
    )
    teleop_device: str = option(
        "scripted",
        "who teleoperates",
        choices=("scripted", "leader", "gamepad", "joy", "keyboard"),
    )
    policy_decision_ticks: int = option(
        8, "policy ticks from one chunk of the policy to the next", range=(1, 300)
    )
    teleop_decision_ticks: int = option(
        8, "policy ticks from one chunk of the script to the next", range=(1, 300)
    )
    alive_timeout: float = option(
        0.1,
        "free-running: a source in control that is silent this long loses it [s]",
        range=(0.02, 10.0),
    )
    enables_policy: bool = option(True, "the policy may take control without being asked")
