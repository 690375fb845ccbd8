"""The action FollowJointTrajectory: messages to values and back, and a server without decisions.

Its package, control_msgs, comes with a ROS distribution and not from PyPI, so it is imported when
a server is made.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from rclpy.action.server import ActionServer, CancelResponse
from rclpy.node import Node

from so101.control.trajectory_goal import (
    Ending,
    GoalCode,
    GoalRefusedError,
    GoalResult,
    Progress,
    TrajectoryGoal,
)
from so101.errors import ConfigError, TrajectoryError
from so101.ros.convert import from_joint_trajectory, from_stamp, to_header
from so101.ros.interfaces import interface_class
from so101.services import FOLLOW_TRAJECTORY


class GoalTaker(Protocol):
    """Who decides on goals."""

    def begin(
        self,
        goal: TrajectoryGoal,
        report: Callable[[Progress], None],
        done: Callable[[GoalResult], None],
    ) -> None:
        """Begin a goal, in place of the present one; `done` is called once."""
        ...

    def cancel(self) -> None:
        """End the present goal early."""
        ...


class FollowServer:
    """Serves the action: every goal is accepted, so that a refusal has code and words."""

    def __init__(self, node: Node, taker: GoalTaker, joints: tuple[str, ...]) -> None:
        """Offer the action.

        Args:
            node: Whose action it is.
            taker: Decides.
            joints: The robot's joints, as progress names them.

        Raises:
            ConfigError: control_msgs is not installed.
        """
        try:
            self._kind = interface_class(FOLLOW_TRAJECTORY.type)
        except ImportError as error:
            raise ConfigError(
                f"{FOLLOW_TRAJECTORY.name}: {error}; it comes with a ROS distribution "
                "(ros-<distribution>-control-msgs), not from PyPI"
            ) from None
        self._taker = taker
        self._joints = list(joints)
        self._present: Any = None
        self._server = ActionServer(
            node,
            self._kind,
            FOLLOW_TRAJECTORY.name,
            _never,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )

    def _on_accepted(self, handle: Any) -> None:
        """Begin a goal. Its result is given when there is one: nothing waits for it meanwhile."""

        def report(progress: Progress) -> None:
            if handle.is_active:
                handle.publish_feedback(self._feedback(progress))

        is_over = False

        def done(result: GoalResult) -> None:
            nonlocal is_over
            is_over = True
            handle.execute(lambda _: self._finish(handle, result))

        try:
            goal = from_goal(handle.request)
        except GoalRefusedError as error:
            done(GoalResult(ending=Ending.ABORTED, code=error.code, words=str(error)))
            return
        before, self._present = self._present, handle
        self._taker.begin(goal, report, done)
        if is_over:
            self._present = before  # it was refused, and the one before goes on

    def _on_cancel(self, handle: Any) -> CancelResponse:
        if handle is self._present:
            self._taker.cancel()
        return CancelResponse.ACCEPT

    def _finish(self, handle: Any, result: GoalResult) -> Any:
        """Tell how a goal ended: as cancelled only where that was asked for."""
        if result.ending is Ending.SUCCEEDED:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return self._kind.Result(error_code=int(result.code), error_string=result.words)

    def _feedback(self, progress: Progress) -> Any:
        feedback = self._kind.Feedback(
            header=to_header(progress.stamp_ns), joint_names=self._joints
        )
        error = progress.desired - progress.actual
        feedback.desired.positions = progress.desired.tolist()
        feedback.actual.positions = progress.actual.tolist()
        feedback.actual.velocities = progress.velocities.tolist()
        feedback.error.positions = error.tolist()
        for point in (feedback.desired, feedback.actual, feedback.error):
            point.time_from_start.sec, point.time_from_start.nanosec = divmod(
                progress.elapsed_ns, 1_000_000_000
            )
        return feedback


def _never(handle: Any) -> Any:
    raise RuntimeError("a goal is executed with its result only")


def from_goal(message: Any) -> TrajectoryGoal:
    """Read a goal. What it means is judged later; here only that it is one of joints.

    Args:
        message: A control_msgs/action/FollowJointTrajectory_Goal.

    Raises:
        GoalRefusedError: Its points are no table, or it asks for what is not looked at here.
    """
    multi = message.multi_dof_trajectory
    components = [*message.component_path_tolerance, *message.component_goal_tolerance]
    if multi.joint_names or multi.points or components:
        raise GoalRefusedError(
            "joints of several degrees of freedom: this arm has none", GoalCode.INVALID_JOINTS
        )
    try:
        trajectory = from_joint_trajectory(message.trajectory)
    except TrajectoryError as error:
        raise GoalRefusedError(str(error)) from error
    return TrajectoryGoal(
        trajectory=trajectory,
        path=_tolerances(message.path_tolerance),
        goal=_tolerances(message.goal_tolerance),
        goal_time_ns=from_stamp(message.goal_time_tolerance),
    )


def _tolerances(messages: Iterable[Any]) -> dict[str, float]:
    """Return tolerances of position [rad] by joint."""
    found = {}
    for one in messages:
        if one.velocity > 0.0 or one.acceleration > 0.0:
            raise GoalRefusedError(
                f"tolerance of {one.name}: only positions are held against one, not velocities "
                "or accelerations"
            )
        if not math.isfinite(one.position):
            raise GoalRefusedError(f"tolerance of {one.name}: {one.position} is not finite")
        found[str(one.name)] = float(one.position)
    return found
