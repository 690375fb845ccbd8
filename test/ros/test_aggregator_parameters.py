"""What diagnostic_aggregator would be given arrives with the types that it asks for."""

import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node
from ros2_parameters import AGGREGATOR, GENERIC_ANALYZER

from so101_bringup.diagnostic_groups import AGGREGATOR as NAME
from so101_bringup.diagnostic_groups import diagnostic_parameters
from so101_bringup.foreign_nodes import diagnostics_node
from so101_bringup.graph import GraphOptions, rl_graph
from so101_bringup.launch_rendering import node_arguments
from so101_bringup.paths import config_path

OPTIONS = GraphOptions(robot="sim", namespace="left")
OUR_OWN = ("use_sim_time", "start_type_description_service")


def arrived(context, arguments):
    """Return the parameters of a node that takes whatever it is given, as the aggregator does."""
    node = Node(
        NAME,
        namespace="left",
        context=context,
        cli_args=["--ros-args", *arguments],
        automatically_declare_parameters_from_overrides=True,
    )
    try:
        found = node.get_parameters_by_prefix("")
        return {key: each.value for key, each in found.items() if key not in OUR_OWN}
    finally:
        node.destroy_node()


@pytest.mark.parametrize("way", ["by launch", "by hand"])
def test_every_parameter_arrives(ros_context, way):
    names = [node.name for node in rl_graph(OPTIONS)]
    arguments = ["--params-file", str(config_path("diagnostics.yaml"))]
    if way == "by launch":
        arguments = node_arguments(diagnostics_node(OPTIONS, names))["ros_arguments"]
    expected = diagnostic_parameters([*names, "wrist_camera"] if way == "by hand" else names)
    found = arrived(ros_context, arguments)
    assert found == {
        key: list(value) if isinstance(value, tuple) else value for key, value in expected.items()
    }
    for key, value in found.items():
        group, _, name = key.rpartition(".")
        assert type(value) is (GENERIC_ANALYZER[name] if group else AGGREGATOR[name])
