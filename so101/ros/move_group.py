"""Plans with MoveIt's move_group, by its action: it plans only, and never executes.

Its package, moveit_msgs, comes with a ROS distribution and not from PyPI, so it is imported when a
client is made.
"""

from dataclasses import replace
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.node import Node

from so101.control.planning import Answer, PlanRequest
from so101.control.trajectory import JointTrajectory
from so101.errors import ConfigError, MotionError, TrajectoryError
from so101.ros.convert import from_joint_trajectory, to_joint_command
from so101.ros.interfaces import interface_class
from so101.ros.timing import repeat_steadily
from so101.services import MOVE_GROUP

LOOK_S = 0.1
"""How often it is looked whether an answer is overdue [s]."""

ATTEMPTS = 3
"""How often MoveIt tries."""

SPARE_S = 5.0
"""The answer may take so much longer than the planning [s]."""

GROUP = "all"
"""The SRDF's group of the arm with its gripper."""

NEAR_RAD = 1e-3
"""A plan ends so near its goal [rad]."""


class MoveGroupClient:
    """Asks move_group for plans, one at a time.

    Attributes:
        name: Who plans.
    """

    name = "move_group"

    def __init__(self, node: Node, joints: tuple[str, ...], planning_s: float) -> None:
        """Look for move_group from now on.

        Args:
            node: Whose client it is.
            joints: The robot's joints.
            planning_s: Time for each attempt [s].

        Raises:
            ConfigError: moveit_msgs is not installed.
        """
        try:
            self._kind = interface_class(MOVE_GROUP.type)
            self._constraints = interface_class("moveit_msgs/msg/Constraints")
            self._constraint = interface_class("moveit_msgs/msg/JointConstraint")
        except ImportError as error:
            raise ConfigError(
                f"{MOVE_GROUP.name}: {error}; it comes with a ROS distribution "
                "(ros-<distribution>-moveit-msgs), not from PyPI"
            ) from None
        self._joints, self._planning_s = joints, planning_s
        self._client: Any = ActionClient(node, self._kind, MOVE_GROUP.name)
        self._answer: Answer | None = None
        self._asked = self._looks_left = 0
        repeat_steadily(node, LOOK_S, self._look)

    def is_there(self) -> bool:
        """Tell whether move_group runs."""
        return bool(self._client.server_is_ready())

    def plan(self, request: PlanRequest, answer: Answer) -> None:
        """Ask for a plan; an older question is forgotten."""
        self._asked += 1
        self._answer = answer
        self._looks_left = round((ATTEMPTS * self._planning_s + SPARE_S) / LOOK_S)
        number = self._asked
        future = self._client.send_goal_async(self._message(request))
        future.add_done_callback(lambda sent: self._on_sent(number, sent.result()))

    def _message(self, asked: PlanRequest) -> Any:
        message = self._kind.Goal()
        message.planning_options.plan_only = True
        message.planning_options.planning_scene_diff.is_diff = True
        message.planning_options.planning_scene_diff.robot_state.is_diff = True
        request = message.request
        request.group_name = GROUP
        request.num_planning_attempts = ATTEMPTS
        request.allowed_planning_time = self._planning_s
        request.max_velocity_scaling_factor = asked.speed
        request.max_acceleration_scaling_factor = asked.speed
        request.start_state.is_diff = True
        request.start_state.joint_state = to_joint_command(0, asked.start)
        pairs = zip(self._joints, asked.goal.tolist(), strict=True)
        wanted = [
            self._constraint(
                joint_name=joint,
                position=position,
                tolerance_above=NEAR_RAD,
                tolerance_below=NEAR_RAD,
                weight=1.0,
            )
            for joint, position in pairs
        ]
        request.goal_constraints = [self._constraints(joint_constraints=wanted)]
        return message

    def _on_sent(self, number: int, handle: Any) -> None:
        if number != self._asked:
            return
        if handle is None or not handle.accepted:
            self._tell(MotionError("move_group: it refused to plan"))
            return
        future = handle.get_result_async()
        future.add_done_callback(lambda ended: self._on_result(number, ended.result()))

    def _on_result(self, number: int, response: Any) -> None:
        if number == self._asked:
            self._tell(self._read(response.result))

    def _read(self, result: Any) -> JointTrajectory | MotionError:
        code = result.error_code
        if code.val != code.SUCCESS:
            said = str(getattr(code, "message", ""))  # not in Jazzy's
            return MotionError(f"move_group: {name_of(code)}{': ' if said else ''}{said}")
        try:
            plan = from_joint_trajectory(result.planned_trajectory.joint_trajectory)
            return replace(plan, stamp_ns=0)
        except TrajectoryError as error:
            return MotionError(f"move_group: its plan is no table: {error}")

    def _look(self) -> None:
        if self._answer is None:
            return
        self._looks_left -= 1
        if self._looks_left <= 0:
            self._asked += 1
            self._tell(MotionError("move_group: no answer in time; is it still there?"))

    def _tell(self, outcome: JointTrajectory | MotionError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(outcome)


def name_of(code: Any) -> str:
    """Return the name of one of MoveIt's error codes, which a message has as constants.

    Args:
        code: A moveit_msgs/msg/MoveItErrorCodes.
    """
    names = [name for name in dir(code) if name.isupper() and getattr(code, name) == code.val]
    return f"{names[0] if names else 'error'} ({code.val})"
