"""The parts of a graph, and what they have beside our own nodes."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from so101.config import load_yaml
from so101.errors import ConfigError
from so101_bringup import foreign_nodes
from so101_bringup.agreement import checked_graph
from so101_bringup.foreign_nodes import (
    BROADCAST_STATES,
    RAW_STATES,
    SLIDER_STATES,
    rviz_node,
)
from so101_bringup.graph import PARTS, GraphOptions, record_graph, rl_graph, up_graph
from so101_bringup.part_graphs import hardware_graph
from so101_bringup.paths import shared_path
from so101_bringup.preparation import prepare

ROOT = Path(__file__).parents[3]
SIM = GraphOptions(robot="sim")
REAL = GraphOptions(robot="real", usb_port="/dev/serial/by-id/usb-arm", calibration="arm.json")
LED = replace(REAL, teleop="leader", leader_port="/dev/leader", leader_calibration="leader.json")


@pytest.mark.parametrize(
    ("arm", "options"),
    [
        ("sim", replace(SIM, namespace="left")),
        ("sim", replace(SIM, schedule="sync", simulated_latency=0.1)),
        ("hardware", replace(LED, checkpoint="here")),
    ],
)
def test_the_parts_and_a_session_are_what_starts_at_once(arm, options):
    """The same nodes with the same parameters, each of them once."""
    names = [arm, "teleop", "motion", "policy", *(["cameras"] if arm == "hardware" else [])]
    parts = [node for name in names for node in PARTS[name](options)]
    whole = {node.name: node for node in up_graph(options)}
    session = {"recorder_node", "reward_node"}
    assert sorted(node.name for node in parts) == sorted(whole.keys() - session)
    assert [node for node in parts if node != whole[node.name]] == []


def test_what_runs_elsewhere_is_awaited_and_not_started():
    options = replace(SIM, elsewhere=("policy_node", "learner_node"))
    here = {node.name: node for node in checked_graph("rl", options)}
    assert not here.keys() & set(options.elsewhere)
    assert set(options.elsewhere) <= set(here["reward_node"].parameters["peers"])
    with pytest.raises(ConfigError, match="elsewhere: no node 'learner'"):
        checked_graph("rl", replace(SIM, elsewhere=("learner",)))


def test_what_runs_elsewhere_still_has_to_agree(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("policy_node: {ros__parameters: {decision_ticks: 3}}\n")
    with pytest.raises(ConfigError, match="say the same"):
        checked_graph("up", replace(SIM, elsewhere=("policy_node",), params_file=str(path)))


def test_only_who_learns_has_a_python_of_its_own():
    options = replace(SIM, learning_python="~/venv/bin/python")
    own = {node.name: node.python for node in rl_graph(options) if node.python}
    assert own == dict.fromkeys(
        ("policy_node", "learner_node"), str(Path.home() / "venv/bin/python")
    )


def test_an_arms_calibration_is_found_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path))
    path = tmp_path / "robots/so_follower/mine.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    named = replace(REAL, calibration="", robot_id="mine")
    (arm, *_) = up_graph(named)
    assert arm.parameters["calibration"] == str(path)
    with pytest.raises(ConfigError, match="so101 calibrate --arm follower --id other"):
        up_graph(replace(named, robot_id="other"))


@pytest.fixture
def control_files(monkeypatch, tmp_path):
    """The controllers' files, and a URDF that says what it was asked for."""
    monkeypatch.setattr(foreign_nodes, "config_path", lambda name: tmp_path / name)
    monkeypatch.setattr(foreign_nodes, "robot_urdf", lambda options, below: f"<{below}>")


@pytest.mark.parametrize("below", ["topic", "feetech", "mock", "mujoco", "gazebo"])
def test_only_in_topic_mode_is_our_gate_below_the_controllers(control_files, below):
    options = replace(REAL, hardware_type=below)
    nodes = hardware_graph(options)
    ours = {node.name: node for node in nodes if node.is_ours}
    is_ours = below == "topic"
    assert set(ours) == ({"hardware_node", "intervention_node"} if is_ours else set())
    (spawner,) = (node for node in nodes if node.executable == "spawner")
    assert spawner.after == (RAW_STATES if is_ours else "")
    assert spawner.arguments.count("--param-file") == (2 if is_ours else 1)
    (publisher,) = (node for node in nodes if node.name == "robot_state_publisher")
    assert publisher.parameters["robot_description"] == f"<{below}>"
    assert (("joint_states", BROADCAST_STATES) in publisher.remappings) == is_ours
    if is_ours:
        assert ours["hardware_node"].parameters["use_ros2_control"] is True
        return
    with pytest.raises(ConfigError, match="safety gate would be missing"):
        record_graph(replace(LED, hardware_type=below))


@pytest.mark.parametrize("below", ["mujoco", "gazebo"])
def test_what_simulates_below_the_controllers_has_the_time_of_its_clock(control_files, below):
    options = replace(REAL, hardware_type=below)
    nodes = hardware_graph(options)
    assert nodes == hardware_graph(replace(options, use_sim_time=True)), "it is not asked for"
    for node in nodes:
        is_timed = not node.ends_itself  # a spawner does not wait for a clock
        assert node.parameters.get("use_sim_time", False) is is_timed
    for real in ("topic", "mock"):
        nodes = hardware_graph(replace(options, hardware_type=real))
        assert not any("use_sim_time" in node.parameters for node in nodes)


def test_a_session_with_ros2_control_differs_in_nothing_else(control_files):
    plain, controlled = record_graph(LED), record_graph(replace(LED, use_ros2_control=True))
    ours = {node.name: node for node in controlled if node.is_ours}
    assert ours.keys() == {node.name for node in plain}
    changed = [node.name for node in plain if node != ours[node.name]]
    assert changed == ["hardware_node"]
    assert {"ros2_control_node", "spawner"} <= {node.executable for node in controlled}


def test_sliders_never_move_a_robot():
    for node in PARTS["view"](replace(SIM, gui=True)):
        if node.package in ("robot_state_publisher", "joint_state_publisher_gui"):
            assert ("joint_states", SLIDER_STATES) in node.remappings


def publishers(*graphs):
    names = [node.package for nodes in graphs for node in nodes]
    return names.count("robot_state_publisher")


def test_beside_a_robot_with_transforms_nothing_publishes_them_again(monkeypatch):
    """Whoever shows RViz or runs ros2_control has a robot_state_publisher, and only one."""
    monkeypatch.setattr(foreign_nodes, "robot_urdf", lambda options, below: f"<{below}>")
    shown = replace(SIM, launch_rviz=True)
    controlled = replace(LED, use_ros2_control=True)
    beside = replace(SIM, launch_description=False)
    for robot, options in ((rl_graph(shown), beside), (record_graph(controlled), controlled)):
        assert publishers(robot) == 1
        assert publishers(robot, PARTS["view"](options), PARTS["moveit"](options)) == 1
    plain = (rl_graph(SIM), PARTS["motion"](SIM))
    assert publishers(*plain) == 0  # then it is theirs
    assert publishers(*plain, PARTS["view"](SIM)) == publishers(*plain, PARTS["moveit"](SIM)) == 1
    assert publishers(PARTS["description"](controlled)) == 1


def test_sliders_have_a_description_of_their_own():
    options = replace(SIM, gui=True, use_ros2_control=True)
    assert publishers(PARTS["view"](options)) == 1
    with pytest.raises(ConfigError, match="gui: sliders need a robot_state_publisher"):
        PARTS["view"](replace(options, launch_description=False))


def test_rviz_looks_for_links_where_a_prefix_puts_them():
    (_, path) = rviz_node(replace(SIM, frame_prefix="left/"), "robot").arguments
    (shipped,) = [
        d for d in displays(shared_path("rviz", "robot.rviz")) if "RobotModel" in d["Class"]
    ]
    (robot,) = [d for d in displays(path) if "RobotModel" in d["Class"]]
    assert "TF Prefix" not in shipped and robot == {**shipped, "TF Prefix": "left"}
    with pytest.raises(ConfigError, match="frame_prefix: 'left_': RViz puts a slash"):
        rviz_node(replace(SIM, frame_prefix="left_"), "robot")


def displays(path):
    return load_yaml(Path(path))["Visualization Manager"]["Displays"]


@pytest.mark.parametrize(
    ("namespace", "frame_prefix", "is_own"),
    [("", "", False), ("left", "", True), ("left", "left/", False)],
)
def test_a_namespace_has_its_own_transforms_unless_frames_have_a_prefix(
    namespace, frame_prefix, is_own
):
    options = replace(SIM, namespace=namespace, frame_prefix=frame_prefix)
    for node in PARTS["view"](options):
        assert (("/tf", "tf") in node.remappings) == (is_own and node.package != "tf2_ros")
    names = {node.name for node in PARTS["view"](options)}
    assert ("base_publisher" in names) == bool(frame_prefix)


def test_where_torch_is_missing_the_rhythm_has_to_be_said(monkeypatch):
    """Launch may run in a Python without it."""
    options = replace(SIM, schedule="sync")
    monkeypatch.setitem(sys.modules, "so101.policies.hold_policy", None)
    monkeypatch.setitem(sys.modules, "so101.policies.checkpoints.checkpoint", None)
    with pytest.raises(ConfigError, match=r"schedule: sync: .* give decision_ticks"):
        up_graph(options)
    with pytest.raises(ConfigError, match=r"checkpoint: here: .* give decision_ticks"):
        prepare(replace(SIM, checkpoint="here"))
    chosen = replace(options, checkpoint="here", decision_ticks=12)
    assert prepare(chosen) == chosen
    ticks = {n.parameters["decision_ticks"] for n in up_graph(chosen) if n.name == "policy_node"}
    assert ticks == {12}
