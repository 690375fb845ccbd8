"""Who wins when a file of ours, a graph's value and a person's file name the same parameter."""

import pytest
from rclpy.node import Node

from so101_bringup.graph_options import GraphOptions
from so101_bringup.node_spec import NodeSpec
from so101_bringup.part_graphs import description_graph
from so101_bringup.supervisor import parameter_arguments


@pytest.mark.parametrize("section", [None, "/**", "/arm1/reward_node"])
def test_a_persons_file_wins(ros_context, tmp_path, section):
    own = tmp_path / "mine.yaml"
    own.write_text(f"{section}: {{ros__parameters: {{session: {{seed: 3}}}}}}\n")
    spec = NodeSpec(
        executable="reward_node",
        name="reward_node",
        config_files=("reward_node.yaml",),
        parameters={"session.seed": 2},
        own_files=(str(own),) if section else (),
    )
    node = Node(
        "reward_node",
        namespace="arm1",
        context=ros_context,
        cli_args=["--ros-args", *parameter_arguments(spec)],
        automatically_declare_parameters_from_overrides=True,
    )
    try:
        assert node.get_parameter("session.seed").value == (3 if section else 2)
    finally:
        node.destroy_node()


def test_a_urdf_survives_the_command_line(ros_context):
    """As robot_state_publisher gets it: quotes, brackets and line ends in one word."""
    spec = description_graph(GraphOptions(frame_prefix="left/"))[0]
    node = Node(
        "robot_state_publisher",
        context=ros_context,
        cli_args=["--ros-args", *parameter_arguments(spec)],
        automatically_declare_parameters_from_overrides=True,
    )
    try:
        for name, value in spec.parameters.items():
            assert node.get_parameter(name).value == value
    finally:
        node.destroy_node()
