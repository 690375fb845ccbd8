"""Parameters of the marker node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class MarkerParams:
    """What is drawn, and in which frame."""

    rate: float = option(10.0, "how often markers are published [Hz]", range=(1.0, 60.0))
    trail: float = option(
        20.0, "how much of the way that the gripper went is drawn [s]", range=(0.0, 600.0)
    )
    frame_prefix: str = option("", "prefix of the robot's frames, as robot_state_publisher's")
