"""Keeps at most one trajectory goal, and knows what of the graph decides on it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from motion_node.following import Following, Order, Outlet
from motion_node.judging import Judge, objection
from motion_node.params import MotionParams
from motion_node.resting import rest_trajectory
from so101.arm import ArmState
from so101.arrays import FloatArray
from so101.clock import nanoseconds, seconds
from so101.control.arm_mode import ArmMode
from so101.control.follower import Waypoint
from so101.control.trajectory import JointTrajectory
from so101.control.trajectory_goal import (
    Ending,
    GoalCode,
    GoalRefusedError,
    GoalResult,
    Progress,
    TrajectoryGoal,
)
from so101.episode import EpisodeState
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import GRIPPER, RobotSpec


@dataclass(frozen=True, kw_only=True)
class Commanded:
    """The command in force.

    Attributes:
        stamp_ns: From when on [ns].
        positions: [rad]. Shape (joints,).
        velocities: How fast it moves [rad/s]. Shape (joints,).
    """

    stamp_ns: int
    positions: FloatArray
    velocities: FloatArray


class GoalKeeper:
    """Begins goals that may be begun, and ends them for whatever reason."""

    def __init__(
        self,
        params: MotionParams,
        spec: RobotSpec,
        judge: Judge,
        send: Callable[[JointTrajectory], None],
    ) -> None:
        """Keep none.

        Args:
            params: Default tolerances.
            spec: The arm.
            judge: Decides what is begun.
            send: Offers a motion to the arbiter.
        """
        self._params = params
        self._spec = spec
        self._judge = judge
        self._send = send
        self._goal: Following | None = None
        self._command: Commanded | None = None
        self._control: ControlEvent | None = None
        self._mode: tuple[ArmMode | None, str] = (None, "")
        self._episode: EpisodeEvent | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a goal is on its way."""
        return self._goal is not None and not self._goal.is_over

    def begin(
        self,
        goal: TrajectoryGoal,
        report: Callable[[Progress], None],
        done: Callable[[GoalResult], None],
        steady_ns: int,
    ) -> None:
        """Begin a goal in place of the present one, or tell why not; then that one goes on.

        Args:
            goal: What a client asks for.
            report: Takes its progress.
            done: Takes its result, once, at once where it is refused.
            steady_ns: Steady time [ns].
        """
        try:
            order, command, control = self._judged(goal)
        except GoalRefusedError as error:
            done(GoalResult(ending=Ending.ABORTED, code=error.code, words=str(error)))
            return
        self.give_way("another goal has taken its place")
        start = Waypoint(
            stamp_ns=command.stamp_ns, positions=command.positions, velocities=command.velocities
        )
        outlet = Outlet(report=report, done=done, rest=self._rest)
        self._goal = Following(order, outlet, start, control, steady_ns)
        self._send(order.motion)

    def cancel(self) -> None:
        """Bring the arm to rest because the client asks for that."""
        if self._goal is not None:
            self._goal.cancel()

    def give_way(self, words: str) -> None:
        """End the present goal, whose motion was replaced."""
        if self._goal is not None:
            self._goal.give_way(words)

    def on_command(self, stamp_ns: int, positions: FloatArray) -> None:
        """Take the newest command of the arm: stamp [ns] and positions [rad]."""
        before, velocities = self._command, np.zeros_like(positions)
        passed_ns = stamp_ns - before.stamp_ns if before is not None else 0
        if before is not None and 0 < passed_ns < nanoseconds(0.1):
            velocities = (positions - before.positions) / seconds(passed_ns)
        self._command = Commanded(stamp_ns=stamp_ns, positions=positions, velocities=velocities)

    def on_state(self, stamp_ns: int, state: ArmState, steady_ns: int) -> None:
        """Take a measurement of the arm and when it was heard [ns]."""
        if self._goal is not None:
            self._goal.on_state(stamp_ns, state, steady_ns)

    def on_passed(self, trajectory: JointTrajectory) -> None:
        """Take note of what the arbiter passed on."""
        if self._goal is not None:
            self._goal.on_passed(trajectory)

    def on_control(self, event: ControlEvent) -> None:
        """Take note of who is in control."""
        self._control = event
        if self._goal is not None:
            self._goal.on_control(event)

    def on_arm(self, mode: ArmMode, reason: str) -> None:
        """Take note of the arm's mode."""
        self._mode = mode, reason
        if self._goal is not None:
            self._goal.on_arm(mode, reason)

    def on_episode(self, event: EpisodeEvent) -> None:
        """Take note of an episode; no goal goes on in it."""
        self._episode = event
        if event.state in (EpisodeState.RESETTING, EpisodeState.RUNNING) and self._goal:
            self._goal.stop(f"episode {event.facts.id} is {event.state.value}")

    def tick(self, steady_ns: int) -> None:
        """Look whether somebody is silent for too long."""
        if self._goal is not None:
            self._goal.tick(steady_ns)

    def _judged(self, goal: TrajectoryGoal) -> tuple[Order, Commanded, ControlEvent]:
        words = objection(self._control, *self._mode, self._episode)
        if words or self._control is None:
            raise GoalRefusedError(words)
        if self._command is None:
            raise GoalRefusedError("joint_commands: nothing has arrived yet")
        command = self._command
        motion = self._judge.judge(goal.trajectory, command.positions, command.stamp_ns)
        return self._ordered(goal, motion), command, self._control

    def _ordered(self, goal: TrajectoryGoal, motion: JointTrajectory) -> Order:
        """Return the goal with the tolerances that count."""
        joints, time_ns = goal.trajectory.joints, goal.goal_time_ns
        for name in {*goal.path, *goal.goal} - set(joints):
            raise GoalRefusedError(
                f"a tolerance of {name or 'no name'}, which the trajectory does not move",
                GoalCode.INVALID_JOINTS,
            )
        path = np.full(len(self._spec.joints), np.inf)
        end = path.copy()
        for joint in joints:
            at = self._spec.joints.index(joint)
            is_gripper = at == GRIPPER  # one that holds something never gets where it is told
            path[at] = _limit(
                goal.path.get(joint, 0.0), np.inf if is_gripper else self._params.path_tolerance
            )
            end[at] = _limit(
                goal.goal.get(joint, 0.0), np.inf if is_gripper else self._params.goal_tolerance
            )
        time_ns = time_ns or nanoseconds(self._params.goal_time)
        return Order(
            motion=motion,
            path_rad=path,
            goal_rad=end,
            goal_time_ns=None if time_ns < 0 else time_ns,
        )

    def _rest(self, earliest_ns: int) -> int:
        """Bring the arm to rest from its newest command; return when it is [ns]."""
        command = self._command
        if command is None:  # no goal was begun without one
            return earliest_ns
        stamp_ns = max(command.stamp_ns, earliest_ns)
        rest = rest_trajectory(command.positions, command.velocities, self._spec, stamp_ns)
        self._send(rest)
        return stamp_ns + rest.times_ns[0]


def _limit(asked: float, default: float) -> float:
    """Return a tolerance as the action means it: 0 is the default, below 0 is no limit."""
    if asked == 0.0:
        return float(default)
    return asked if asked > 0.0 else float("inf")
