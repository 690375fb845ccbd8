"""The motion node beside MoveIt, and without: a scripted move_group answers, or fails, or hangs.

control_msgs and moveit_msgs come with a ROS distribution; elsewhere the tests of them are skipped.
"""

import importlib.util

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from motion_node.node import MotionNode
from so101.errors import ConfigError
from so101.events import from_message
from so101.robot import JOINTS, so101
from so101.ros.convert import to_joint_command
from so101.ros.endpoints import Endpoints
from so101.ros.spin import DISCOVERY_S, Spinner, wait_for_matched
from so101.services import MOVE_GROUP
from so101.topics import DIAGNOSTICS, JOINT_COMMANDS, MOTION_TRAJECTORY

SPEC = so101()
AWAY = SPEC.home + 0.2
HAS_MOVEIT = importlib.util.find_spec("moveit_msgs") is not None
HAS_CONTROL = importlib.util.find_spec("control_msgs") is not None
needs_moveit = pytest.mark.skipif(not HAS_MOVEIT, reason="moveit_msgs is not installed")


def motion_node(make_node, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]

    def make(name, **kwargs):
        return MotionNode(**kwargs, parameter_overrides=overrides)

    return make_node("motion_node", make)


class Around:
    """The arm, whoever asks, and whoever listens."""

    def __init__(self, make_node, node, *others):
        self.node = make_node("around")
        self.endpoints = Endpoints(self.node)
        self.endpoints.offer(JOINT_COMMANDS)
        self.motions, self.said = [], []
        self.endpoints.follow(MOTION_TRAJECTORY, self.motions.append)
        self.endpoints.listen(DIAGNOSTICS, lambda m: self.said.append(from_message(m)))
        self.home = self.node.create_client(Trigger, "motion/home")
        self.spinner = Spinner(self.node, node, *others)
        wait_for_matched(
            self.spinner,
            publishers=[self.endpoints._publishers[JOINT_COMMANDS.name]],
            clients=[self.home],
        )
        self.stamp_ns = 1_000_000_000
        self.is_at(AWAY)

    def is_at(self, positions):
        self.stamp_ns += 16_666_667
        self.endpoints.publish(JOINT_COMMANDS, to_joint_command(self.stamp_ns, positions))

    def until(self, holds):
        assert self.spinner.spin_until(holds, DISCOVERY_S)

    def go_home(self):
        """Ask until the arm was heard of."""
        while True:
            answer = self.home.call_async(Trigger.Request())
            self.until(answer.done)
            if "nothing has arrived" not in answer.result().message:
                return answer.result()

    def until_said(self, key, words):
        def is_said():
            mine = [event for event in self.said if event.name == "motion_node: planning"]
            return any(
                words in (event.message, event.values.get(key, ""))[bool(key)] for event in mine
            )

        self.until(is_said)


def test_without_the_package_on_fails_in_words_and_auto_goes_on(make_node):
    if HAS_CONTROL:
        pytest.skip("control_msgs is installed")
    with pytest.raises(ConfigError, match=r"control_msgs.*comes with a ROS distribution"):
        motion_node(make_node, action="on")
    around = Around(make_node, motion_node(make_node))
    assert around.go_home().message.endswith("by own planner")
    around.until(lambda: bool(around.motions))
    around.until_said("action", "control_msgs")


def test_without_the_package_moveit_cannot_be_asked(make_node):
    if HAS_MOVEIT:
        pytest.skip("moveit_msgs is installed")
    with pytest.raises(ConfigError, match=r"moveit_msgs.*comes with a ROS distribution"):
        motion_node(make_node, planner="moveit")


def test_moveit_py_is_asked_for_only_where_it_is(make_node):
    if importlib.util.find_spec("moveit") is not None:
        pytest.skip("moveit_py is installed")
    with pytest.raises(ConfigError, match=r"moveit_py: .*comes with a ROS distribution"):
        motion_node(make_node, moveit_py=True)


class MoveGroup:
    """A scripted move_group: plans a straight line, fails, or keeps its answer."""

    def __init__(self, make_node):
        from builtin_interfaces.msg import Duration
        from moveit_msgs.action import MoveGroup as Kind
        from rclpy.action.server import ActionServer
        from trajectory_msgs.msg import JointTrajectoryPoint

        self.node = make_node("move_group")
        self.requests, self.code, self.is_silent, self.handles = [], 1, False, []
        self._kind, self._point, self._duration = Kind, JointTrajectoryPoint, Duration
        self._server = ActionServer(
            self.node,
            Kind,
            MOVE_GROUP.name,
            self._execute,
            handle_accepted_callback=self._on_accepted,
        )

    def _on_accepted(self, handle):
        self.handles.append(handle)
        if not self.is_silent:
            handle.execute()

    def _execute(self, handle):
        goal = handle.request
        self.requests.append(goal)
        result = self._kind.Result()
        result.error_code.val = self.code
        start = goal.request.start_state.joint_state
        end = {
            c.joint_name: c.position for c in goal.request.goal_constraints[0].joint_constraints
        }
        plan = result.planned_trajectory.joint_trajectory
        plan.joint_names = list(start.name)[::-1]
        rows = dict(zip(start.name, start.position, strict=True)), end
        for number, row in enumerate(rows):
            point = self._point(time_from_start=self._duration(sec=2 * number))
            point.positions = [row[joint] for joint in plan.joint_names]
            point.velocities = [0.0] * len(row)
            plan.points.append(point)
        handle.succeed() if self.code == 1 else handle.abort()
        return result


@needs_moveit
def test_where_move_group_runs_it_plans_the_way_home(make_node):
    moveit = MoveGroup(make_node)
    around = Around(make_node, motion_node(make_node), moveit.node)
    around.until_said("", "move_group")
    assert around.go_home().message == "move_group was asked for the way home"
    around.until(lambda: bool(around.motions))
    (motion,), (asked,) = around.motions, moveit.requests
    assert asked.planning_options.plan_only and asked.request.group_name == "all"
    np.testing.assert_allclose(asked.request.start_state.joint_state.position, AWAY)
    assert motion.joints == JOINTS and motion.stamp_ns == around.stamp_ns
    assert motion.times_ns == (0, 2_000_000_000) and motion.velocities is not None
    np.testing.assert_allclose(motion.positions[-1], SPEC.home)
    around.until_said("last", "by move_group")


@needs_moveit
def test_a_plan_that_fails_is_told_and_nobody_else_plans(make_node):
    moveit = MoveGroup(make_node)
    moveit.code = -12
    around = Around(make_node, motion_node(make_node), moveit.node)
    around.until_said("", "move_group")
    assert around.go_home().success
    around.until_said("last", "GOAL_IN_COLLISION (-12)")
    assert around.motions == []


@needs_moveit
def test_a_move_group_that_hangs_holds_up_nothing(make_node):
    moveit = MoveGroup(make_node)
    moveit.is_silent = True
    around = Around(make_node, motion_node(make_node, planning_time=0.1), moveit.node)
    around.until_said("", "move_group")
    assert around.go_home().success
    around.until(lambda: bool(moveit.handles))
    around.is_at(SPEC.home)
    while around.go_home().message != "already home":  # it hears and answers meanwhile
        pass
    around.until_said("last", "no answer in time")
    assert around.motions == []


@needs_moveit
def test_who_wants_moveit_is_refused_where_it_does_not_run(make_node):
    around = Around(make_node, motion_node(make_node, planner="moveit"))
    answer = around.go_home()
    assert not answer.success and "move_group does not run" in answer.message


@needs_moveit
def test_who_wants_our_own_planner_gets_it_beside_moveit(make_node):
    moveit = MoveGroup(make_node)
    around = Around(make_node, motion_node(make_node, planner="own"), moveit.node)
    assert around.go_home().message.endswith("by own planner")
    assert moveit.requests == []
