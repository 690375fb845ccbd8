"""A calibration step by step: middle pose, each joint to both ends, rest pose. Pure.

Nothing is written to a servo on the way: offsets and ranges are computed from the encoders alone,
so that whoever breaks off leaves everything as it was.
"""

from collections.abc import Sequence
from enum import Enum

import numpy as np

from so101.arrays import IntArray
from so101.errors import ConfigError
from so101.robot import JOINTS
from so101.servos.calibration import (
    FULL_TURN_JOINT,
    LARGEST_OFFSET,
    LAST_TICK,
    MIDDLE_TICK,
    Calibration,
    JointCalibration,
)
from so101.servos.sweep import Sweep

SWEPT = tuple(at for at, name in enumerate(JOINTS) if name != FULL_TURN_JOINT)
"""Joints that are moved to both ends, in this order."""


class Stage(Enum):
    """What the person does now."""

    MIDDLE = "middle"
    SWEEP = "sweep"
    REST = "rest"
    DONE = "done"


class Calibrating:
    """What a person at the arm is asked, and what came of it.

    Attributes:
        stage: What is done now.
        encoders: What the encoders say, 0 to 4095; None before the first reading. Shape (joints,).
        sweep: Positions since the middle pose was confirmed; None before.
        problems: Why the last step is not accepted.
        notes: What to know of the accepted ones.
        calibration: The result, from `Stage.REST` on.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        """Start before the middle pose.

        Args:
            ids: The servos, in the order of the joints.
        """
        self._ids = tuple(ids)
        self.encoders: IntArray | None = None
        self._restart()

    def _restart(self) -> None:
        self.stage = Stage.MIDDLE
        self.sweep: Sweep | None = None
        self.problems: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.calibration: Calibration | None = None
        self._left = list(SWEPT)
        self._offsets: IntArray = np.zeros(len(JOINTS), dtype=np.int64)

    @property
    def joint(self) -> int | None:
        """The joint to move now, as an index; None while none is."""
        return self._left[0] if self.stage is Stage.SWEEP else None

    def see(self, encoders: IntArray) -> None:
        """Take what the encoders say now, at least ten times a second.

        Args:
            encoders: 0 to 4095, before any offset. Shape (joints,).
        """
        self.encoders = encoders
        if self.sweep is not None:
            self.sweep.feed(encoders)  # also while it is laid down: it is shown, no more

    def confirm(self) -> None:
        """Take it that the person did what was asked; where it does not fit, say why."""
        if self.encoders is None:
            self.problems = ("no position was read yet",)
        elif self.stage is Stage.MIDDLE:
            self._take_middle(self.encoders)
        elif self.stage is Stage.SWEEP and self.sweep is not None:
            self._take_joint(self.sweep)
        elif self.stage is Stage.REST:
            self.stage = Stage.DONE

    def begin_again(self) -> None:
        """Go back to the middle pose and forget the rest."""
        if self.stage is not Stage.DONE:
            self._restart()

    def _take_middle(self, encoders: IntArray) -> None:
        # Half a turn away has two signs, and only one of them fits into the register.
        self._offsets = np.minimum(encoders - MIDDLE_TICK, LARGEST_OFFSET)
        self.sweep = Sweep(encoders)
        self.problems = ()
        self.stage = Stage.SWEEP

    def _take_joint(self, sweep: Sweep) -> None:
        joint = self._left[0]
        self.problems = tuple(sweep.problems(joint))
        sweep.begin_joint()
        if self.problems:
            return
        self.notes += tuple(sweep.notes(joint))
        self._left.pop(0)
        if not self._left:
            self._finish(sweep)

    def _finish(self, sweep: Sweep) -> None:
        later = tuple(problem for joint in SWEPT for problem in sweep.problems(joint))
        if later:  # while another joint was moved
            self._restart()
            self.problems = later
            return
        low, high = sweep.low.copy(), sweep.high.copy()
        turning = JOINTS.index(FULL_TURN_JOINT)
        low[turning], high[turning] = 0, LAST_TICK
        try:
            self.calibration = Calibration(
                tuple(
                    JointCalibration(
                        id=self._ids[at],
                        homing_offset=int(self._offsets[at]),
                        range_min=int(low[at]),
                        range_max=int(high[at]),
                    )
                    for at in range(len(JOINTS))
                )
            )
        except ConfigError as error:
            self._restart()
            self.problems = (str(error),)
        else:
            self.stage = Stage.REST
