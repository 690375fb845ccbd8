"""What a joint does that pushes too hard: lets go by 2°, and asks for a person the third time.

Pure. The servo says that it is overloaded; from then on its goal may not go back to where it
pushed, until whoever commands has withdrawn by himself.
"""

import math

import numpy as np

from so101.arrays import BoolArray, FloatArray, IntArray
from so101.errors import HardwareError
from so101.robot import RobotSpec

RETREAT_RAD = math.radians(2.0)
"""How far behind the measured position a joint stops to push [rad]."""

MOST_OVERLOADS = 3
"""So many overloads of one joint since it was armed are a fault."""


class OverloadRetreat:
    """Keeps goals from pushing where a joint was overloaded.

    Attributes:
        counts: Overloads of each joint since `clear`.
    """

    def __init__(self, spec: RobotSpec, period_s: float) -> None:
        """Start with nothing in the way.

        Args:
            spec: The arm's joints; goals retreat within its velocity limits.
            period_s: Time between two goals [s].
        """
        self._spec = spec
        self._step = spec.max_velocity * period_s
        size = len(spec.joints)
        self.counts: IntArray = np.zeros(size, dtype=np.int64)
        self._side: FloatArray = np.zeros(size)
        self._bound: FloatArray = np.zeros(size)
        self._was: BoolArray = np.zeros(size, dtype=np.bool_)

    def clear(self) -> None:
        """Forget everything: a person has looked."""
        self.counts[:] = 0
        self._side[:] = 0.0
        self._was[:] = False

    @property
    def is_active(self) -> bool:
        """Whether a joint is kept from pushing."""
        return bool(self._side.any())

    def note(self, is_overloaded: BoolArray, measured: FloatArray, goal: FloatArray) -> None:
        """Take the servos' word.

        Args:
            is_overloaded: Which servos say so now. Shape (joints,).
            measured: Positions [rad]. Shape (joints,).
            goal: In force [rad]. Shape (joints,).

        Raises:
            HardwareError: A joint was overloaded for the `MOST_OVERLOADS`-th time.
        """
        if not (is_overloaded.any() or self._was.any()):
            return
        is_new = is_overloaded & ~self._was
        self._was = is_overloaded.copy()
        side = np.where(goal >= measured, 1.0, -1.0)
        self._side = np.where(is_new, side, self._side)
        self._bound = np.where(is_new, measured - side * RETREAT_RAD, self._bound)
        self.counts += is_new
        worst = int(np.argmax(self.counts))
        if is_new.any() and self.counts[worst] >= MOST_OVERLOADS:
            raise HardwareError(
                f"{self._spec.joints[worst]}: overloaded {self.counts[worst]} times; see what is "
                "in its way"
            )

    def apply(self, wish: FloatArray, last: FloatArray) -> FloatArray:
        """Return the goal to send.

        Args:
            wish: What the gate let out [rad]. Shape (joints,).
            last: The goal sent before [rad]. Shape (joints,).
        """
        if not self._side.any():
            return wish
        past = (wish - self._bound) * self._side
        is_kept = self._side != 0.0
        bounded = np.where(is_kept & (past > 0.0), self._bound, wish)
        slow = last + np.clip(bounded - last, -self._step, self._step)
        is_free = (past <= 0.0) & ~self._was & (slow == wish)
        self._side = np.where(is_free, 0.0, self._side)
        return np.where(is_kept, slow, wish)
