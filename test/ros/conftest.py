"""Nodes that go away with their test."""

import pytest


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
