"""Leads the command towards a goal it cannot reach at once, with ruckig. One step per tick.

Intermediate waypoints are never used: ruckig's community wheel sends them to a web service.
"""

import math

from ruckig import InputParameter, OutputParameter, Result, Ruckig, RuckigError, Synchronization

from so101.control.limits import clamp
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
        self._period_s = period_s
        self._lower: list[float] = spec.lower.tolist()
        self._upper: list[float] = spec.upper.tolist()
        self._speed: list[float] = spec.max_velocity.tolist()
        self._push: list[float] = spec.max_acceleration.tolist()
        self._otg = Ruckig(joints, period_s)
        self._input = InputParameter(joints)
        self._output = OutputParameter(joints)
        self._input.max_acceleration = self._push
        self._input.max_jerk = spec.max_jerk.tolist()
        self._input.synchronization = Synchronization.No
        self._input.target_position = [0.0] * joints
        self._expected = [math.nan] * joints
        self._velocity = [0.0] * joints
        self._acceleration = [0.0] * joints

    def lead(
        self, command: list[float], step: list[float], goal: list[float], goal_step: list[float]
    ) -> list[float] | None:
        """Return the next command on the way to a goal [rad], or None when there is no profile.

        Args:
            command: Newest command [rad], one number per joint.
            step: Newest command minus the one before [rad].
            goal: Where to be at the next command, inside the range [rad].
            goal_step: How far the goal moves per tick [rad].
        """
        for i, at in enumerate(command):
            if not abs(at - self._expected[i]) <= _SAME_RAD:  # it was not led here
                self._velocity[i], self._acceleration[i] = step[i] / self._period_s, 0.0
        frame = [self._goal_velocity(i, goal[i], moved) for i, moved in enumerate(goal_step)]
        self._enter(command, goal, frame)
        try:
            result = self._otg.update(self._input, self._output)
        except RuckigError:
            result = Result.Error
        if result not in (Result.Working, Result.Finished):
            return None
        self._expected = _sums(goal, self._output.new_position)
        self._velocity = _sums(frame, self._output.new_velocity)
        self._acceleration = list(self._output.new_acceleration)
        return self._expected

    def _enter(self, command: list[float], goal: list[float], frame: list[float]) -> None:
        """Hand the present state to ruckig, seen from a frame with a velocity [rad/s].

        The goal is where the frame's origin will be at the next tick.
        """
        self._input.current_position = [
            at - (to - moving * self._period_s)
            for at, to, moving in zip(command, goal, frame, strict=True)
        ]
        self._input.current_velocity = [
            clamp(velocity, -speed, speed) - moving
            for velocity, speed, moving in zip(self._velocity, self._speed, frame, strict=True)
        ]
        self._input.current_acceleration = [
            clamp(acceleration, -push, push)
            for acceleration, push in zip(self._acceleration, self._push, strict=True)
        ]
        self._input.max_velocity = [
            speed - moving for speed, moving in zip(self._speed, frame, strict=True)
        ]
        self._input.min_velocity = [
            -speed - moving for speed, moving in zip(self._speed, frame, strict=True)
        ]

    def _goal_velocity(self, joint: int, goal: float, goal_step: float) -> float:
        """Return how fast to be at the goal: its own velocity, if one can stop in range there.

        Never quite the largest velocity, so that the command can catch up.
        """
        velocity = goal_step / self._period_s
        room = self._upper[joint] - goal if velocity > 0.0 else goal - self._lower[joint]
        most = math.sqrt(2.0 * self._push[joint] * _ROOM_SHARE * max(room, 0.0))
        most = min(most, _TOP_SHARE * self._speed[joint])
        return clamp(velocity, -most, most)


def _sums(left: list[float], right: list[float]) -> list[float]:
    return [a + b for a, b in zip(left, right, strict=True)]
