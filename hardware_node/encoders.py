"""Whether encoders can be believed: no joint jumps, none stands still while it is told to move.

Pure: readings, goals and time are passed in.
"""

import numpy as np

from so101.arrays import BoolArray, FloatArray, IntArray
from so101.clock import nanoseconds, seconds
from so101.errors import HardwareError
from so101.robot import GRIPPER, RobotSpec

JUMP_FACTOR = 3.0
"""A joint that was faster than this many times its velocity limit did not really move so."""

LONGEST_S = 0.1
"""Time between two readings that explains a way; a longer one explains no more [s]."""

STEADY_READINGS = 5
"""So many readings in a row that agree with one another are where the arm is, jump or not."""

FROZEN_RAD = 0.04
"""A goal that went so far since the reading last changed moves every healthy joint [rad]."""

FROZEN_NS = nanoseconds(0.2)
"""For so long the goal has to be there without any change of the reading [ns]."""


class Encoders:
    """Judges one reading after the other."""

    def __init__(self, spec: RobotSpec) -> None:
        """Start without a reading; the first one is believed."""
        self._spec = spec
        self._fastest = spec.max_velocity * JUMP_FACTOR
        self._believed: FloatArray | None = None
        self._believed_ns = 0
        self._doubted: FloatArray | None = None
        self._doubted_ns = 0
        self._agreeing = 0
        self._far_ns: IntArray = np.zeros(len(spec.joints), dtype=np.int64)
        self._base: FloatArray = np.zeros(len(spec.joints))

    def begin(self, goal: FloatArray) -> None:
        """Take note that from now on joints are driven, beginning with this goal [rad]."""
        self._base = np.array(goal)
        self._far_ns[:] = 0

    def check(self, positions: FloatArray, now_ns: int) -> None:
        """Believe a reading, or not.

        Args:
            positions: Measured [rad]. Shape (joints,).
            now_ns: When [ns].

        Raises:
            HardwareError: A joint jumped: the reading is not to be used. When the following ones
                agree with it (`STEADY_READINGS`), the last of them is believed.
        """
        last = self._believed
        jumped = self._jumped(last, self._believed_ns, positions, now_ns)
        if last is None or not jumped.any():
            self._believe(positions, now_ns)
            return
        again = self._jumped(self._doubted, self._doubted_ns, positions, now_ns)
        self._agreeing = 1 if again.any() or self._doubted is None else self._agreeing + 1
        self._doubted, self._doubted_ns = positions, now_ns
        if self._agreeing >= STEADY_READINGS:
            self._believe(positions, now_ns)
            return
        joint = int(np.argmax(jumped))
        raise HardwareError(
            f"{self._spec.joints[joint]}: its encoder jumped from {last[joint]:.3f} "
            f"to {positions[joint]:.3f} rad within {seconds(now_ns - self._believed_ns):.3f} s"
        )

    def check_moving(self, is_changed: BoolArray, goal: FloatArray, now_ns: int) -> None:
        """Compare readings with the goal in force.

        The gripper is left out: to stand still at an object while it is told to close is its work.

        Args:
            is_changed: Which readings differ at all from the ones before. Shape (joints,).
            goal: In force [rad]. Shape (joints,).
            now_ns: When [ns].

        Raises:
            HardwareError: A reading does not change although the goal went elsewhere.
        """
        self._base = np.where(is_changed, goal, self._base)
        is_near = is_changed | (np.abs(goal - self._base) < FROZEN_RAD)
        self._far_ns = np.where(is_near, 0, np.where(self._far_ns == 0, now_ns, self._far_ns))
        is_frozen = (self._far_ns > 0) & (now_ns - self._far_ns >= FROZEN_NS)
        is_frozen[GRIPPER] = False
        if is_frozen.any():
            joint = int(np.argmax(is_frozen))
            raise HardwareError(
                f"{self._spec.joints[joint]}: does not follow: its encoder stands still while the "
                f"goal moved by {abs(goal[joint] - self._base[joint]):.3f} rad"
            )

    def _believe(self, positions: FloatArray, now_ns: int) -> None:
        self._believed, self._believed_ns = positions, now_ns
        self._doubted, self._agreeing = None, 0

    def _jumped(
        self, last: FloatArray | None, last_ns: int, positions: FloatArray, now_ns: int
    ) -> BoolArray:
        """Tell which joints cannot have come here from an earlier reading."""
        if last is None:
            return np.zeros(positions.shape, dtype=np.bool_)
        way = self._fastest * min(seconds(now_ns - last_ns), LONGEST_S)
        moved: BoolArray = np.abs(positions - last) > way
        return moved
