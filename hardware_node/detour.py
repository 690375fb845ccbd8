"""The way through ros2_control: trajectories go to its controller, setpoints come back.

The arbiter's word opens and closes the way; our arm loop and its gate come after it. The
controller has another clock, so it is sent what is still to come. Pure: publishing is passed in.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from hardware_node.setpoints import Setpoints
from so101.arrays import FloatArray
from so101.clock import CONTROL_GRID
from so101.control.arm_loop import ArmTick
from so101.control.retiming import for_controller, stay_at
from so101.control.trajectory import JointTrajectory
from so101.errors import MotionError, TrajectoryError
from so101.robot import JOINTS


class Followed(Protocol):
    """The arm below."""

    @property
    def newest(self) -> ArmTick | None:
        """What the newest tick did; None before the first."""
        ...

    def check_able(self) -> None:
        """Raise `MotionError` unless it may move."""
        ...

    def follow(self, trajectory: JointTrajectory) -> None:
        """Follow a trajectory."""
        ...

    def hold(self, reason: str) -> None:
        """Come to rest."""
        ...


class Detour:
    """Carries trajectories to a controller, and what it makes of them to the arm."""

    def __init__(
        self,
        arm: Followed,
        tell: Callable[[JointTrajectory], None],
        now_ns: Callable[[], int],
    ) -> None:
        """Begin open.

        Args:
            arm: Who moves.
            tell: Publishes a trajectory for the controller.
            now_ns: The clock that our stamps are of [ns].
        """
        self._arm, self._tell, self._now_ns = arm, tell, now_ns
        self._setpoints = Setpoints()

    def follow(self, trajectory: JointTrajectory) -> None:
        """Send the controller what the arbiter chose.

        Raises:
            TrajectoryError: It is invalid or over, or nothing was commanded yet.
            MotionError: The arm may not move.
        """
        self._arm.check_able()
        tick = self._arm.newest
        if tick is None:
            raise TrajectoryError("arm: no tick yet, so there is no command to start from")
        self._tell(for_controller(trajectory, self._now_ns(), tick.command, JOINTS))
        self._setpoints.open()

    def hold(self, reason: str) -> None:
        """Come to rest and follow nobody until the next trajectory."""
        self._setpoints.close()
        self._arm.hold(reason)
        self._stay()

    def take(self, positions: FloatArray) -> None:
        """Take a setpoint of the controller.

        Args:
            positions: [rad]. Shape (joints,).

        Raises:
            TrajectoryError: It must not be followed; an arm that moves comes to rest.
        """
        tick = self._arm.newest
        if tick is None or not self._is_able():
            self._setpoints.forget()
            return
        now_ns = self._now_ns()
        try:
            goal = self._setpoints.offer(positions, tick.command, now_ns)
        except TrajectoryError as error:
            self._arm.hold(str(error))
            raise
        if goal is not None:
            self._arm.follow(_next_tick(goal, now_ns))

    def look(self) -> str:
        """Do what is due between setpoints; return what a person should know, or nothing."""
        now_ns = self._now_ns()
        if self._setpoints.is_silent(now_ns):
            self._arm.hold("the controller is silent")
            return "the controller is silent: the arm holds where it is"
        if self._setpoints.is_stuck(now_ns):
            self._stay()
            return "the controller is elsewhere: it is told where the arm is"
        return ""

    def _is_able(self) -> bool:
        try:
            self._arm.check_able()
        except MotionError:
            return False
        return True

    def _stay(self) -> None:
        if self._arm.newest is not None:
            self._tell(stay_at(self._arm.newest.command, JOINTS))


def _next_tick(goal: FloatArray, now_ns: int) -> JointTrajectory:
    """Return the way to a goal [rad] that is due with the next tick of the arm."""
    due_ns = CONTROL_GRID.stamp(CONTROL_GRID.floor(now_ns) + 1)
    return JointTrajectory(
        stamp_ns=now_ns,
        joints=JOINTS,
        times_ns=(due_ns - now_ns,),
        positions=np.asarray(goal)[None],
        source="ros2_control",
    )
