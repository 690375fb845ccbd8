"""Every test gets a ROS context of its own, in a domain that no other test process uses."""

import os

import pytest


@pytest.fixture
def ros_context(monkeypatch):
    context_module = pytest.importorskip("rclpy.context")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = context_module.Context()
    context.init(args=[], domain_id=1 + os.getpid() % 200)
    yield context
    context.try_shutdown()


@pytest.fixture
def make_node(ros_context):
    from rclpy.node import Node

    nodes = []

    def make(name, kind=Node, **kwargs):
        node = kind(name, context=ros_context, use_global_arguments=False, **kwargs)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
