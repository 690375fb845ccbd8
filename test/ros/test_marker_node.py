"""The marker node draws what a session does, and takes away what is over."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter
from visualization_msgs.msg import Marker, MarkerArray

from marker_node.node import MarkerNode
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource
from so101.events import ControlEvent
from so101.robot import JOINTS
from so101.ros.convert import to_joint_command
from so101.ros.endpoints import Endpoints
from so101.ros.spin import DISCOVERY_S, Spinner, wait_for_matched
from so101.topics import CONTROL_SOURCE, JOINT_STATES, MARKERS, POLICY_TRAJECTORY

STEP_NS = 100_000_000


def test_a_session_is_drawn_and_a_plan_that_is_over_taken_away(make_node):
    node = make_node(
        "marker_node",
        lambda name, **kwargs: MarkerNode(
            **kwargs, parameter_overrides=[Parameter("frame_prefix", value="left_")]
        ),
    )
    robot = make_node("robot")
    endpoints = Endpoints(robot)
    endpoints.offer(JOINT_STATES, POLICY_TRAJECTORY, CONTROL_SOURCE)
    seen = {}

    def take(message: MarkerArray):
        seen.update({marker.ns: marker for marker in message.markers})

    endpoints.listen(MARKERS, take)
    spinner = Spinner(node, robot)
    wait_for_matched(spinner, publishers=endpoints._publishers.values())

    def move(tick):
        stamp_ns = tick * STEP_NS
        endpoints.publish(JOINT_STATES, to_joint_command(stamp_ns, np.full(6, 0.01 * tick)))

    def see(predicate):
        assert spinner.spin_until(predicate, DISCOVERY_S)

    endpoints.tell(CONTROL_SOURCE, ControlEvent(stamp_ns=0, source=ControlSource.POLICY))
    plan = JointTrajectory(
        stamp_ns=STEP_NS,
        joints=JOINTS,
        times_ns=(STEP_NS, 10 * STEP_NS),
        positions=np.array([np.zeros(6), np.full(6, 0.3)]),
    )
    endpoints.command(POLICY_TRAJECTORY, plan)
    see(lambda: "words" in seen and "policy" in seen["words"].text)
    for tick in range(1, 10):
        move(tick)
    see(lambda: "executed" in seen and len(seen["executed"].points) >= 9)
    assert seen["planned"].action == Marker.ADD and len(seen["planned"].points) == 2
    assert {marker.header.frame_id for marker in seen.values()} == {"left_base_link"}
    assert len(seen["executed"].colors) == len(seen["executed"].points)
    move(20)
    see(lambda: seen["planned"].action == Marker.DELETE)
    spinner.close()
