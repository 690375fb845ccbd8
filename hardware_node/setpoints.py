"""What ros2_control's controllers ask of the arm, and which of it is followed.

The plugin between them and us checks nothing: it repeats the last reading for ever, and before the
first one a controller holds zeros or NaN. So the first setpoint has to be where the arm is, none
may jump, and silence is noticed. Pure: positions and stamps in, goals out.
"""

from enum import Enum

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.clock import nanoseconds
from so101.errors import TrajectoryError
from so101.robot import JOINTS

FIRST_RAD = 0.1
"""The first setpoint is at most so far from the command in force [rad]."""

STEP_RAD = 0.3
"""The next one is at most so far from the last one [rad], a tenth of a second at full speed."""

SILENCE_NS = nanoseconds(0.1)
"""A controller that says nothing for so long is gone [ns]; it speaks every 10 ms."""

STUCK_NS = nanoseconds(0.5)
"""A controller that is elsewhere for so long has to be told where the arm is [ns]."""


class Stage(Enum):
    """What becomes of a setpoint."""

    CLOSED = "closed"
    """Nobody is in control: it is ignored."""

    WAITING = "waiting"
    """It is followed if it is where the arm is."""

    FOLLOWING = "following"
    """It is followed if it goes on where the last one was."""


class Setpoints:
    """Decides on every setpoint. Open from the start: without an arbiter nobody would open it.

    Attributes:
        stage: What becomes of the next one.
    """

    def __init__(self) -> None:
        """Wait for the first one."""
        self.stage = Stage.WAITING
        self._newest: FloatArray | None = None
        self._newest_ns = 0
        self._elsewhere_ns: int | None = None

    def open(self) -> None:
        """Follow from now on, or go on with it."""
        if self.stage is Stage.CLOSED:
            self._wait()

    def close(self) -> None:
        """Ignore what comes until `open`."""
        self.stage, self._elsewhere_ns = Stage.CLOSED, None

    def forget(self) -> None:
        """Take nothing for granted: the arm did not follow what was said."""
        if self.stage is Stage.FOLLOWING:
            self._wait()

    def offer(self, positions: FloatArray, command: FloatArray, now_ns: int) -> FloatArray | None:
        """Return the goal to follow from now on; None where it is ignored, or the old one still.

        Args:
            positions: The setpoint [rad]. Shape (joints,).
            command: The command in force [rad]. Shape (joints,).
            now_ns: The present stamp [ns].

        Raises:
            TrajectoryError: It is not finite, or not where it has to be; the old one is no longer
                followed.
        """
        if self.stage is Stage.CLOSED:
            return None
        if not np.isfinite(positions).all():
            self._wait()
            raise TrajectoryError(f"setpoint: not finite: {np.asarray(positions).tolist()}")
        before = self._newest if self.stage is Stage.FOLLOWING else None
        if before is None:
            self._check(positions, command, FIRST_RAD, "the arm is", now_ns)
        else:
            self._check(positions, before, STEP_RAD, "the last one was", now_ns)
        self.stage, self._elsewhere_ns = Stage.FOLLOWING, None
        self._newest, self._newest_ns = frozen(positions), now_ns
        is_old = before is not None and before.tolist() == self._newest.tolist()
        return None if is_old else self._newest

    def is_silent(self, now_ns: int) -> bool:
        """Tell once that the controller that was followed says nothing any more."""
        if self.stage is not Stage.FOLLOWING or now_ns - self._newest_ns <= SILENCE_NS:
            return False
        self._wait()
        return True

    def is_stuck(self, now_ns: int) -> bool:
        """Tell once per `STUCK_NS` that the controller asks for a pose where the arm is not."""
        since_ns = self._elsewhere_ns
        if since_ns is None or now_ns - since_ns <= STUCK_NS:
            return False
        self._elsewhere_ns = now_ns
        return True

    def _check(
        self, positions: FloatArray, near: FloatArray, most: float, what: str, now_ns: int
    ) -> None:
        away = np.abs(positions - near)
        if away.max() <= most:
            return
        joint = int(np.argmax(away))
        if self.stage is Stage.FOLLOWING or self._elsewhere_ns is None:
            self._elsewhere_ns = now_ns
        self.stage = Stage.WAITING
        raise TrajectoryError(
            f"setpoint: {JOINTS[joint]} is {away[joint]:.2f} rad from where {what}; at most {most}"
        )

    def _wait(self) -> None:
        self.stage, self._elsewhere_ns = Stage.WAITING, None
