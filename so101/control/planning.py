"""What a planner of whole motions is asked, and how it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from so101.arrays import FloatArray
from so101.control.trajectory import JointTrajectory
from so101.errors import MotionError

Answer = Callable[[JointTrajectory | MotionError], None]
"""Takes a plan, or why there is none."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """A question.

    Attributes:
        start: Where the arm is commanded [rad]. Shape (joints,).
        goal: Where to go [rad]. Shape (joints,).
        speed: Share of the limits that is used, above 0, up to 1.
        stamp_ns: When it was asked [ns].
    """

    start: FloatArray
    goal: FloatArray
    speed: float
    stamp_ns: int


class Planner(Protocol):
    """Plans motions of the whole arm: at once, or in its own time."""

    @property
    def name(self) -> str:
        """Who it is, for a person."""
        ...

    def is_there(self) -> bool:
        """Tell whether it can be asked now."""
        ...

    def plan(self, request: PlanRequest, answer: Answer) -> None:
        """Plan, and answer once, unless a newer question comes first."""
        ...
