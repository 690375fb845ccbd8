"""A hot arm moves slowly: a filter before the gate."""

from collections.abc import Callable

import numpy as np

from so101.arm import ArmState
from so101.arrays import FloatArray
from so101.clock import CONTROL_HZ, nanoseconds
from so101.robot import RobotSpec

PAUSE_NS = nanoseconds(2.5 / CONTROL_HZ)
"""After so long without a goal the next one is a new beginning [ns]."""


class SlowWhenHot:
    """Follows goals with a share of the velocity limits while the arm is hot; else passes them."""

    def __init__(self, spec: RobotSpec, share: float, is_hot: Callable[[], bool]) -> None:
        """Wire it.

        Args:
            spec: The arm's joints.
            share: Of the velocity limits.
            is_hot: Asked at every goal.
        """
        self._step = share * spec.max_velocity / CONTROL_HZ
        self._is_hot = is_hot
        self._last: FloatArray | None = None
        self._stamp_ns = 0

    def __call__(self, goal: FloatArray, state: ArmState, stamp_ns: int) -> FloatArray:
        """Return the goal, or one that is nearer to the last; see `so101.control.filters`."""
        last = self._last if stamp_ns - self._stamp_ns <= PAUSE_NS else None
        if last is not None and self._is_hot():
            goal = last + np.clip(goal - last, -self._step, self._step)
        self._last, self._stamp_ns = goal, stamp_ns
        return goal
