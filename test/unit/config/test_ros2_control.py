"""The files for ros2_control name what exists: hardware in the URDF, and its joints."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from ros2_parameters import ANY_JOINT, CONTROLLER_MANAGER, CONTROLLERS, wrong

from so101.config import load_yaml
from so101.errors import ConfigError
from so101.kinematics.chain import Chain, so101_chain
from so101.kinematics.urdf import ARGUMENTS, HARDWARE_TYPES, robot_description
from so101.robot import GRIPPER, JOINTS, description_path, so101
from so101.servos.calibration import LAST_TICK, Calibration, JointCalibration
from so101.simulation import gl
from so101.topics import ARM_SETPOINTS, ARM_STATES_RAW, CONTROLLER_TRAJECTORY

ROOT = Path(__file__).resolve().parents[3]
FILES = ("controllers.yaml", "controllers_split.yaml", "controllers_topic.yaml")
PLUGINS = {
    "mock": "mock_components/GenericSystem",
    "topic": "joint_state_topic_hardware_interface/JointStateTopicSystem",
    "feetech": "feetech_ros2_driver/FeetechHardwareInterface",
    "mujoco": "mujoco_ros2_control/MujocoSystemInterface",
    "gazebo": "gz_ros2_control/GazeboSimSystem",
}
CALIBRATION = Calibration(
    tuple(
        JointCalibration(id=number + 1, homing_offset=0, range_min=low, range_max=high)
        for number, (low, high) in enumerate(
            [(900, 3200), (1000, 3000), (940, 3155), (900, 3111), (0, LAST_TICK), (1987, 3421)]
        )
    )
)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """What every kind of hardware needs."""
    path = tmp_path_factory.mktemp("calibration") / "arm.json"
    path.write_text(CALIBRATION.to_text(), encoding="utf-8")
    return {
        "usb_port": "/dev/so101_follower",
        "calibration": str(path),
        "controllers_file": "/controllers.yaml",
    }


def hardware(text):
    """Return plugin, its parameters, and the joints of a URDF's ros2_control, each with them."""
    (control,) = ElementTree.fromstring(text).findall("ros2_control")
    assert control.get("type") == "system"
    plugin = control.findtext("hardware/plugin")
    joints = {joint.get("name"): joint for joint in control.findall("joint")}
    return plugin, parameters(control.find("hardware")), joints


def parameters(element):
    return {param.get("name"): param.text for param in element.findall("param")}


@pytest.mark.parametrize(
    ("hardware_type", "prefix"),
    [(kind, "") for kind in HARDWARE_TYPES]
    + [(kind, "left_") for kind in HARDWARE_TYPES if kind != "mujoco"],  # refused below
)
def test_every_variant_is_the_same_robot(arguments, hardware_type, prefix):
    text = robot_description(prefix, hardware_type=hardware_type, **arguments)
    chain = Chain.from_urdf(text, base=f"{prefix}base_link")
    assert chain.joints == tuple(f"{prefix}{joint}" for joint in JOINTS)
    np.testing.assert_array_equal(
        chain.pose(so101().home, f"{prefix}gripper_frame_link"),
        so101_chain().pose(so101().home, "gripper_frame_link"),
    )
    oracle = gl.load_mujoco().MjModel.from_xml_string(text)  # an independent reader of URDF
    names = tuple(oracle.joint(number).name for number in range(oracle.njnt))
    assert names == chain.joints
    np.testing.assert_allclose(oracle.jnt_range[:, 0], so101().lower)
    np.testing.assert_allclose(oracle.jnt_range[:, 1], so101().upper)


@pytest.mark.parametrize("hardware_type", PLUGINS)
def test_hardware_takes_positions_of_every_joint_within_the_limits(arguments, hardware_type):
    plugin, _, joints = hardware(robot_description(hardware_type=hardware_type, **arguments))
    assert plugin == PLUGINS[hardware_type]
    assert tuple(joints) == JOINTS
    for number, joint in enumerate(joints.values()):
        (command,) = joint.findall("command_interface")
        assert command.get("name") == "position"
        ends = {key: float(value) for key, value in parameters(command).items()}
        assert ends == {"min": so101().lower[number], "max": so101().upper[number]}
        states = [state.get("name") for state in joint.findall("state_interface")]
        assert states[:2] == ["position", "velocity"]


def test_without_hardware_there_is_no_ros2_control():
    assert not ElementTree.fromstring(robot_description()).findall("ros2_control")
    assert set(HARDWARE_TYPES) == {"none", *PLUGINS}


def test_the_list_of_arguments_is_that_of_the_file():
    text = description_path("urdf", "so101.urdf.xacro").read_text(encoding="utf-8")
    assert tuple(re.findall(r'<xacro:arg name="(\w+)"', text)) == ARGUMENTS


def test_in_topic_mode_every_command_is_published_and_no_pose_made_up():
    _, values, joints = hardware(robot_description(hardware_type="topic"))
    assert values["joint_commands_topic"] == ARM_SETPOINTS.name
    assert values["joint_states_topic"] == ARM_STATES_RAW.name
    assert float(values["trigger_joint_command_threshold"]) == -1.0
    for joint in joints.values():
        assert not [param for param in joint.iter("param") if param.get("name") == "initial_value"]


@pytest.mark.parametrize("pose", ["home", "rest"])
def test_mock_hardware_starts_in_a_named_pose(pose):
    _, _, joints = hardware(robot_description(hardware_type="mock", initial_pose=pose))
    starts = [
        float(parameters(joint.find("state_interface"))["initial_value"])
        for joint in joints.values()
    ]
    assert starts == so101().poses[pose].tolist()


def test_feetech_zeroes_are_those_of_the_calibration(arguments):
    """The driver's law is (ticks - offset) * 2π / 4096, for every joint."""
    _, values, joints = hardware(robot_description(hardware_type="feetech", **arguments))
    assert values == {"usb_port": "/dev/so101_follower"}
    given = [parameters(joint) for joint in joints.values()]
    assert [int(one["id"]) for one in given] == list(CALIBRATION.ids)
    offsets = np.array([int(one["offset"]) for one in given])
    tick = 2.0 * np.pi / 4096
    body = slice(0, GRIPPER)
    assert np.abs(offsets - CALIBRATION.to_ticks(np.zeros(6)))[body].max() == 0
    at_ends = (CALIBRATION.range_max - offsets) * tick
    np.testing.assert_allclose(at_ends[body], CALIBRATION.upper[body], atol=2 * tick)
    closed = (CALIBRATION.range_min[GRIPPER] - offsets[GRIPPER]) * tick
    assert closed == pytest.approx(so101().lower[GRIPPER], abs=tick)
    for one in given:
        for letter, gain in (("p", "16"), ("i", "0"), ("d", "32")):
            assert one[f"{letter}_cofficient"] == one[f"{letter}_coefficient"] == gain


def test_mujoco_finds_its_model():
    _, values, _ = hardware(robot_description(hardware_type="mujoco", headless="true"))
    assert values["headless"] == "true"
    model = gl.load_mujoco().MjModel.from_xml_path(values["mujoco_model"])
    assert tuple(model.actuator(number).name for number in range(model.nu)) == JOINTS


def test_gazebo_is_told_the_controllers(arguments):
    root = ElementTree.fromstring(robot_description(hardware_type="gazebo", **arguments))
    (plugin,) = root.findall("gazebo/plugin")
    assert plugin.get("name") == "gz_ros2_control::GazeboSimROS2ControlPlugin"
    assert plugin.findtext("parameters") == "/controllers.yaml"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hardware_type": "real"}, "choose none, mock, topic"),
        ({"hardware_type": "feetech"}, "usb_port"),
        ({"hardware_type": "feetech", "usb_port": "/dev/arm"}, "calibration"),
        ({"hardware_type": "feetech", "calibration": "/no/such/file"}, "/no/such/file"),
        ({"hardware_type": "gazebo"}, "controllers_file"),
        ({"hardware_type": "mujoco", "prefix": "left_"}, "prefix"),
        ({"hardware_type": "mock", "initial_pose": "asleep"}, "asleep"),
        ({"hardware": "mock"}, "unknown hardware"),
    ],
)
def test_what_cannot_work_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        robot_description(**given)


def test_a_calibration_that_is_none_is_refused(tmp_path):
    values = json.loads(CALIBRATION.to_text())
    del values["gripper"]
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ConfigError, match="missing gripper"):
        robot_description(hardware_type="feetech", usb_port="/dev/arm", calibration=str(path))


def sections(name):
    """Return the nodes of a parameter file with their parameters, in any namespace."""
    content = load_yaml(ROOT / "config" / name)
    assert all(key.startswith("/**/") for key in content), "a namespace makes a second robot"
    return {key.removeprefix("/**/"): value["ros__parameters"] for key, value in content.items()}


def controllers_of(nodes):
    """Return the type of every controller that a controller manager is told of."""
    manager = nodes["controller_manager"]
    return {name: value["type"] for name, value in manager.items() if isinstance(value, dict)}


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_is_one_that_is_read(name):
    nodes = sections(name)
    whole = {**sections("controllers.yaml"), **nodes}  # the topic file comes on top of it
    known = controllers_of(whole)
    for node, values in nodes.items():
        if node == "controller_manager":
            values = {k: v for k, v in values.items() if not isinstance(v, dict)}
            assert wrong(values, CONTROLLER_MANAGER, {}) == []
        else:
            assert wrong(values, CONTROLLERS[known[node]], {ANY_JOINT: JOINTS}) == []


@pytest.mark.parametrize("name", FILES[:2])
def test_controllers_are_complete_and_share_the_joints(name):
    nodes = sections(name)
    known = controllers_of(nodes)
    assert set(nodes) == {"controller_manager", *known}
    assert set(known.values()) <= set(CONTROLLERS)
    manager = nodes["controller_manager"]
    assert (manager["update_rate"], manager["enforce_command_limits"]) == (100, True)
    moved = []
    for node in set(known) - {"joint_state_broadcaster"}:
        moved += nodes[node].get("joints", [nodes[node].get("joint")])
    assert sorted(moved) == sorted(JOINTS)


@pytest.mark.parametrize(
    ("name", "controller"),
    [(FILES[0], "joint_trajectory_controller"), (FILES[1], "arm_controller")],
)
def test_trajectories_are_streamed_and_end_at_rest(name, controller):
    values = sections(name)[controller]
    assert tuple(values["joints"]) == JOINTS[: len(values["joints"])]
    assert values["command_interfaces"] == ["position"]
    assert values["state_interfaces"] == ["position", "velocity"]
    assert values["allow_partial_joints_goal"]
    assert values["interpolate_from_desired_state"]
    assert not values["allow_nonzero_velocity_at_trajectory_end"]
    limits = values["constraints"]
    assert values["cmd_timeout"] > limits["goal_time"] > 0.0, "else it is ignored"
    assert set(values["joints"]) <= set(limits), "a joint without tolerances"


def test_the_driver_speaks_to_the_controller_of_all_joints():
    controller, topic = CONTROLLER_TRAJECTORY.name.split("/")
    known = controllers_of(sections("controllers.yaml"))
    assert topic == "joint_trajectory"
    assert known[controller] == "joint_trajectory_controller/JointTrajectoryController"


def test_in_topic_mode_nobody_else_says_joint_states():
    assert sections("controllers_topic.yaml") == {
        "joint_state_broadcaster": {"use_local_topics": True}
    }


def test_the_checker_finds_what_it_looks_for():
    values = {"joints": ["a", 1], "cmd_timeout": 2, "constraints": {"elbow": {"goal": 0.1}}}
    schema = CONTROLLERS["joint_trajectory_controller/JointTrajectoryController"]
    assert wrong(values, schema, {ANY_JOINT: JOINTS}) == [
        "joints: ['a', 1] is no list of texts",
        "cmd_timeout: 2 is no float",
        "constraints.elbow.goal: unknown",
    ]
