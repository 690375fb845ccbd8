"""Leads the command towards a goal it cannot reach at once, with ruckig. One step per tick.

Intermediate waypoints are never used: ruckig's community wheel sends them to a web service.
"""

import numpy as np
from ruckig import InputParameter, OutputParameter, Result, Ruckig, RuckigError, Synchronization

from so101.arrays import FloatArray
from so101.robot import RobotSpec

_SAME_RAD = 1e-12
_ROOM_SHARE = 0.8
_TOP_SHARE = 0.95


class Leader:
    """A time-optimal profile to a moving goal, planned anew every tick, each joint by itself.

    It is planned in the frame that moves with the goal, where the goal is at rest; planned in the
    robot's frame, the command would trail a moving goal for ever. It sets out with the newest
    step's velocity and no acceleration: a tick can shed any acceleration, and an estimate from a
    few steps would only make it swing.
    """

    def __init__(self, spec: RobotSpec, period_s: float) -> None:
        """Set up ruckig with the robot's limits.

        Args:
            spec: Limits of the arm.
            period_s: Time of one step [s].
        """
        joints = len(spec.joints)
        self._spec = spec
        self._period_s = period_s
        self._otg = Ruckig(joints, period_s)
        self._input = InputParameter(joints)
        self._output = OutputParameter(joints)
        self._input.max_acceleration = spec.max_acceleration.tolist()
        self._input.max_jerk = spec.max_jerk.tolist()
        self._input.synchronization = Synchronization.No
        self._input.target_position = [0.0] * joints
        self._expected: FloatArray = np.full(joints, np.nan)
        self._velocity: FloatArray = np.zeros(joints)
        self._acceleration: FloatArray = np.zeros(joints)

    def lead(
        self,
        command: FloatArray,
        step: FloatArray,
        goal: FloatArray,
        goal_step: FloatArray,
    ) -> FloatArray | None:
        """Return the next command on the way to a goal [rad], or None when there is no profile.

        Args:
            command: Newest command [rad]. Shape (joints,).
            step: Newest command minus the one before [rad].
            goal: Where to be at the next command, inside the range [rad].
            goal_step: How far the goal moves per tick [rad].
        """
        was_led = np.abs(command - self._expected) <= _SAME_RAD
        self._velocity = np.where(was_led, self._velocity, step / self._period_s)
        self._acceleration = np.where(was_led, self._acceleration, 0.0)
        frame = self._goal_velocity(goal, goal_step)
        self._enter(command - (goal - frame * self._period_s), frame)
        try:
            result = self._otg.update(self._input, self._output)
        except RuckigError:
            result = Result.Error
        if result not in (Result.Working, Result.Finished):
            return None
        self._expected = goal + np.array(self._output.new_position)
        self._velocity = frame + np.array(self._output.new_velocity)
        self._acceleration = np.array(self._output.new_acceleration)
        return self._expected

    def _enter(self, offset: FloatArray, frame: FloatArray) -> None:
        """Hand the present state to ruckig, seen from a frame with a velocity [rad/s]."""
        speed, push = self._spec.max_velocity, self._spec.max_acceleration
        velocity = np.minimum(np.maximum(self._velocity, -speed), speed)
        acceleration = np.minimum(np.maximum(self._acceleration, -push), push)
        self._input.current_position = offset.tolist()
        self._input.current_velocity = (velocity - frame).tolist()
        self._input.current_acceleration = acceleration.tolist()
        self._input.max_velocity = (speed - frame).tolist()
        self._input.min_velocity = (-speed - frame).tolist()

    def _goal_velocity(self, goal: FloatArray, goal_step: FloatArray) -> FloatArray:
        """Return how fast to be at the goal: its own velocity, if one can stop in range there.

        Never quite the largest velocity, so that the command can catch up.
        """
        velocity = goal_step / self._period_s
        room = np.where(velocity > 0.0, self._spec.upper - goal, goal - self._spec.lower)
        most = np.sqrt(2.0 * self._spec.max_acceleration * _ROOM_SHARE * np.maximum(room, 0.0))
        most = np.minimum(most, _TOP_SHARE * self._spec.max_velocity)
        return np.asarray(np.minimum(np.maximum(velocity, -most), most))
