"""Parameters of the reward node."""

from dataclasses import dataclass, field

from reward_node.session_config import SessionConfig
from so101.config import option


@dataclass(frozen=True, kw_only=True)
class RewardParams:
    """The session it runs and the bounds of its episodes."""

    session: SessionConfig = field(default_factory=SessionConfig)
    store: str = option("", "directory of the episode store; progress is counted from it")
    checkpoint: str = option(
        "", "sha256 of the checkpoint to evaluate; empty takes the loaded one"
    )
    time_limit: float = option(12.0, "time limit of a policy's episode [s]", range=(0.1, 3600.0))
    teleop_time_limit: float = option(
        20.0, "time limit of a demonstration [s]", range=(0.1, 3600.0)
    )
    has_objects: bool = option(
        True,
        "object poses are published: simulation only; else people set up the scene and judge",
    )
    has_recorder: bool = option(True, "go on only after the recorder saved an episode")
    arms_itself: bool = option(
        True, "the session arms the arm; in simulation only, a person arms a real one"
    )
    peers: tuple[str, ...] = option(
        (), "names of the nodes that must be ready before the session begins"
    )
    patience: float = option(
        20.0, "wall-clock silence of the robot that ends an episode [s]", range=(1.0, 3600.0)
    )
    wait_bound: float = option(
        60.0,
        "wall-clock time without progress after which it says what it waits for [s]",
        range=(1.0, 86_400.0),
    )
    report_silence: float = option(
        5.0,
        "wall-clock silence of the arm's or a camera's report that lets no episode begin [s]",
        range=(2.0, 600.0),
    )
    lockstep: bool = option(True, "wait for samples of the very tick; true in simulation")
