"""Two robots in one ROS domain, each in its namespace: nobody's plan moves the other one's arm."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from intervention_node.node import InterventionNode
from so101.clock import NS_PER_S
from so101.control.trajectory import JointTrajectory
from so101.robot import JOINTS
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner, wait_for_matched
from so101.topics import ARM_TRAJECTORY, POLICY_TRAJECTORY

ROBOTS = ("robot1", "robot2")


@pytest.mark.case(42)
def test_a_policy_moves_its_own_robot_only(make_node):
    heard, said, nodes = {name: [] for name in ROBOTS}, {}, []
    for name in ROBOTS:
        free = [Parameter("lockstep", value=False)]
        arbiter = make_node_of(make_node, name, "intervention_node", free)
        other = make_node("others", namespace=name)
        said[name] = Endpoints(other)
        said[name].offer(POLICY_TRAJECTORY)
        said[name].follow(ARM_TRAJECTORY, heard[name].append)
        nodes += [arbiter, other]
    spinner = Spinner(*nodes)
    offered = [p for n in nodes[1::2] for p in n.publishers if "trajectory" in p.topic_name]
    followed = [s for n in nodes[1::2] for s in n.subscriptions]
    wait_for_matched(spinner, offered, followed)
    for count, name in enumerate((*ROBOTS, *ROBOTS), start=1):
        said[name].command(POLICY_TRAJECTORY, plan(at=0.01 * count))
        assert spinner.spin_until(lambda count=count: count == sum(map(len, heard.values())), 10.0)
    spinner.close()
    ways = {name: [one.positions[0, 0] for one in heard[name]] for name in ROBOTS}
    assert ways == {"robot1": [0.01, 0.03], "robot2": [0.02, 0.04]}


def make_node_of(make_node, namespace, name, parameters):
    def kind(_, **kwargs):
        return InterventionNode(parameter_overrides=parameters, **kwargs)

    return make_node(name, kind=kind, namespace=namespace)


def plan(at):
    return JointTrajectory(
        stamp_ns=0, joints=JOINTS, times_ns=(NS_PER_S,), positions=np.full((1, 6), at)
    )
