"""Parameters of the motion node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class MotionParams:
    """How the arm is brought home."""

    speed: float = option(
        0.5, "share of the joints' velocity limits used by motions", range=(0.05, 1.0)
    )
    home: str = option("home", "pose that resets go to (poses.yaml)")
    check_collisions: bool = option(True, "go around what would be collided with")
    seed: int = option(
        0, "seed of the ways around obstacles; each motion draws anew", range=(0, 1_000_000)
    )
