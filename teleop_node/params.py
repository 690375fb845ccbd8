"""Parameters of the teleop node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class TeleopParams:
    """Who teleoperates, and how."""

    device: str = option("scripted", "who teleoperates", choices=("scripted",))
    task: str = option("pick", "name of the task")
    is_imperfect: bool = option(
        True, "the script hesitates, misjudges and varies its speed, as a person does"
    )
    decision_ticks: int = option(8, "policy ticks from one chunk to the next", range=(1, 30))
    lockstep: bool = option(True, "wait for samples of the very tick; true in simulation")
