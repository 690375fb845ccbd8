"""Plans with MoveIt in this process, by moveit_py: in a thread, for a plan takes seconds.

A planning scene of its own: what was put into move_group's is not in it. The package comes with a
ROS distribution only; all that is asked of it is here.
"""

import queue
import threading
from dataclasses import replace
from importlib import import_module
from typing import Any

from rclpy.node import Node

from so101.arrays import FloatArray
from so101.control.planning import Answer, PlanRequest
from so101.control.trajectory import JointTrajectory
from so101.errors import ConfigError, MotionError
from so101.ros.convert import from_joint_trajectory
from so101.ros.timing import repeat_steadily

LOOK_S = 0.05
"""How often it is looked for a plan that is done [s]."""

GROUP = "all"
"""The SRDF's group of the arm with its gripper."""

ROBOT, PACKAGE = "so101", "so101_bringup"


class MoveItPyPlanner:
    """Plans one motion at a time.

    Attributes:
        name: Who plans.
    """

    name = "moveit_py"

    def __init__(self, node: Node, joints: tuple[str, ...]) -> None:
        """Start MoveIt with this package's files.

        Args:
            node: In whose thread answers are given.
            joints: The robot's joints.

        Raises:
            ConfigError: moveit_py or moveit_configs_utils is not installed.
        """
        try:
            planning = import_module("moveit.planning")
            self._states = import_module("moveit.core.robot_state")
            configs = import_module("moveit_configs_utils")
        except ImportError as error:
            raise ConfigError(
                f"moveit_py: {error}; it comes with a ROS distribution "
                "(ros-<distribution>-moveit-py), not from PyPI"
            ) from None
        builder = configs.MoveItConfigsBuilder(ROBOT, package_name=PACKAGE)
        config = builder.moveit_cpp().to_moveit_configs().to_dict()
        self._planning, self._joints = planning, joints
        self._robot = planning.MoveItPy(node_name="motion_node_moveit", config_dict=config)
        self._arm = self._robot.get_planning_component(GROUP)
        self._done: queue.SimpleQueue[tuple[Answer, JointTrajectory | MotionError]]
        self._done = queue.SimpleQueue()
        self._newest: Answer | None = None
        self._one = threading.Lock()
        repeat_steadily(node, LOOK_S, self._look)

    def is_there(self) -> bool:
        """Tell whether it can plan: always, as it runs here."""
        return True

    def plan(self, request: PlanRequest, answer: Answer) -> None:
        """Begin to plan; an older question is not answered any more."""
        self._newest = answer

        def work() -> None:
            with self._one:
                try:
                    outcome = self._planned(request)
                except Exception as error:  # whatever it is, the thread's words must be heard
                    outcome = MotionError(f"moveit_py: {error}")
            self._done.put((answer, outcome))

        threading.Thread(target=work, name="moveit_py", daemon=True).start()

    def _planned(self, asked: PlanRequest) -> JointTrajectory | MotionError:
        self._arm.set_start_state(robot_state=self._state(asked.start))
        self._arm.set_goal_state(robot_state=self._state(asked.goal))
        params = self._planning.PlanRequestParameters(self._robot, "plan_request_params")
        params.max_velocity_scaling_factor = asked.speed
        params.max_acceleration_scaling_factor = asked.speed
        found = self._arm.plan(single_plan_parameters=params)
        if not found:
            return MotionError(f"moveit_py: no plan: {found.error_code}")
        message = found.trajectory.get_robot_trajectory_msg()
        return replace(from_joint_trajectory(message.joint_trajectory), stamp_ns=0)

    def _state(self, positions: FloatArray) -> Any:
        state = self._states.RobotState(self._robot.get_robot_model())
        state.joint_positions = dict(zip(self._joints, positions.tolist(), strict=True))
        state.update()
        return state

    def _look(self) -> None:
        while not self._done.empty():
            answer, outcome = self._done.get()
            if answer is self._newest:
                self._newest = None
                answer(outcome)
