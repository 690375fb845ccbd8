"""What every arm offers the arm loop: the simulated one, the servo bus, a ros2_control bridge."""

from dataclasses import dataclass
from typing import Protocol

from so101.arrays import FloatArray


@dataclass(frozen=True, kw_only=True)
class ArmState:
    """One reading of the arm.

    Attributes:
        positions: Measured joint positions [rad]. Shape (joints,).
        velocities: Measured joint velocities [rad/s]. Shape (joints,).
        effort: Estimated joint torques [N·m]. Shape (joints,).
    """

    positions: FloatArray
    velocities: FloatArray
    effort: FloatArray


class Arm(Protocol):
    """Reads joint states, takes joint goals. Never blocks longer than one control period."""

    def read_state(self) -> ArmState:
        """Return the newest reading."""
        ...

    def write_goal(self, positions: FloatArray) -> FloatArray:
        """Send a goal [rad] and return the goal that was really sent. Shape (joints,)."""
        ...
