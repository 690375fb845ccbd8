"""Every name in a launch, config or container file exists; one wrong letter is noticed."""

import importlib.util
import json
import re
import shutil
import subprocess
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from factories import make_calibration
from names.config_files import wrong_config
from names.description import wrong_semantics, wrong_urdf
from names.nodes import wrong_node
from names.rviz_files import wrong_rviz
from names.scripts import wrong_page, wrong_script
from names.shipped import ROOT, Shipped

from so101.kinematics.urdf import (
    ARGUMENTS,
    HARDWARE_TYPES,
    robot_description,
    semantic_description,
)
from so101_bringup.agreement import checked_graph
from so101_bringup.launch_arguments import read_options
from so101_bringup.launch_table import LAUNCH_FILES
from so101_bringup.node_spec import NodeSpec

SHIPPED = Shipped()
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
RVIZ = sorted((ROOT / "rviz").glob("*.rviz"))
SCRIPTS = [
    *sorted(ROOT.glob(".github/workflows/*.yml")),
    *(ROOT / name for name in (".ci/run", "docker/Dockerfile", "docker/entrypoint.sh")),
    *(ROOT / ".devcontainer" / name for name in ("Dockerfile", "devcontainer.json", "prepare.sh")),
]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/guides/*"))]
SHELL = [path for path in SCRIPTS if path.suffix == ".sh" or path.name == "run"]


def grid():
    """Return what the tests of the launch files type after each of them."""
    path = ROOT / "test" / "launch" / "test_launch_files.py"
    spec = importlib.util.spec_from_file_location("launch_files_of_names", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GRID


GRID = grid()
CASES = [
    pytest.param(name, given, id=f"{name}-{number}")
    for name, cases in GRID.items()
    for number, given in enumerate(cases)
]


def of(path):
    return path.relative_to(ROOT).as_posix()


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    """Return the nodes of a launch file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bag").symlink_to(ROOT / "test" / "golden" / "episode")
    (tmp_path / "arm.json").write_text(json.dumps(make_calibration()))

    def make(name, **given):
        options = read_options({**given, **LAUNCH_FILES[name].fixed})
        return {node.name: node for node in checked_graph(LAUNCH_FILES[name].graph, options)}

    return make


# --- what launch files start ---


@pytest.mark.parametrize(("name", "given"), CASES)
def test_everything_that_a_launch_file_starts_exists(nodes, name, given):
    assert [
        what for node in nodes(name, **given).values() for what in wrong_node(node, SHIPPED)
    ] == []


def changed(nodes, name, **values):
    """Return what is found in a node with other values."""
    return wrong_node(replace(nodes[name], **values), SHIPPED)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("motion_node", {"executable": "motoin_node"}, "executable motoin_node"),
        ("motion_node", {"config_files": ("motoin_node.yaml",)}, "motoin_node.yaml"),
        ("motion_node", {"parameters": {"spede": 0.3}}, "spede"),
        ("motion_node", {"parameters": {"speed": 9.0}}, "outside"),
        ("motion_node", {"remappings": (("joint_states", "joint_sates"),)}, "joint_sates"),
        ("motion_node", {"own_files": ("/nowhere.yaml",)}, "/nowhere.yaml"),
        ("motion_node", {"after": "joint_sates"}, "joint_sates"),
        ("rviz2", {"executable": "rivz2"}, "rivz2"),
        ("rviz2", {"package": "rivz2"}, "rivz2"),
        ("rviz2", {"arguments": ("-d", "/nowhere.rviz")}, "/nowhere.rviz"),
        ("rviz2", {"arguments": ("-f",)}, "argument -f"),
        ("rviz2", {"remappings": (("/fs", "tf"),)}, "/fs"),
        ("robot_state_publisher", {"parameters": {"robot_descripton": ""}}, "robot_descripton"),
        ("robot_state_publisher", {"parameters": {"publish_frequency": 60}}, "publish_frequency"),
        (
            "robot_state_publisher",
            {"remappings": (("joint_state", "joint_states"),)},
            "joint_state",
        ),
        (
            "robot_state_publisher",
            {"remappings": (("joint_states", "joint_sates"),)},
            "joint_sates",
        ),
        ("base_publisher", {"arguments": ("--child-frame-id", "left/wrold")}, "frame left/wrold"),
        ("base_publisher", {"arguments": ("--xx",)}, "argument --xx"),
        ("base_publisher", {"arguments": ("--x", "one")}, "number one"),
    ],
    ids=str,
)
def test_a_misspelled_name_in_a_graph_is_found(nodes, name, values, words):
    given = {"launch_rviz": "true", "namespace": "left", "frame_prefix": "left/"}
    started = {**nodes("sim", **given), **nodes("motion", robot="sim")}
    assert wrong_node(started[name], SHIPPED) == []
    (line,) = changed(started, name, **values)
    assert line.startswith(f"{name}: ") and words in line


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        (
            "spawner",
            {"arguments": ("joint_trajectroy_controller",)},
            "joint_trajectroy_controller",
        ),
        ("spawner", {"arguments": ("--param-file", "/nowhere.yaml")}, "/nowhere.yaml"),
        ("spawner", {"arguments": ("--controller-manager", "manager")}, "node manager"),
        ("create", {"arguments": ("-topic", "robot_descripton")}, "topic robot_descripton"),
        ("clock_bridge", {"arguments": ("/clok@rosgraph_msgs/msg/Clock[gz.msgs.Clock",)}, "/clok"),
        ("clock_bridge", {"arguments": ("/clock@rosgraph_msgs/msg/Clok[gz.msgs.Clock",)}, "Clok"),
    ],
    ids=str,
)
def test_a_misspelled_name_below_ros2_control_is_found(nodes, name, values, words):
    started = nodes("hardware", hardware_type="gazebo")
    (line,) = changed(started, name, **values)
    assert words in line


def test_a_file_that_is_not_installed_is_no_file_of_a_distribution(nodes):
    """It is in the checkout, and nowhere else."""
    started = nodes("view")
    path = str(ROOT / "test" / "data" / "rosdep.yaml")
    assert changed(started, "rviz2", arguments=("-d", path)) == [f"rviz2: file {path}"]


def test_a_program_of_nobody_is_found():
    node = NodeSpec(package="nobody", executable="nothing", name="nothing")
    assert wrong_node(node, SHIPPED) == ["nothing: executable nobody nothing"]


# --- config and rviz ---


@pytest.mark.parametrize("path", CONFIGS, ids=of)
def test_every_name_in_a_config_file_exists(path):
    assert wrong_config(path.name, read(path), SHIPPED) == []
    assert SHIPPED.is_installed(path)


@pytest.mark.parametrize("path", RVIZ, ids=of)
def test_every_name_in_an_rviz_file_exists(path):
    assert wrong_rviz(read(path)) == []
    assert SHIPPED.is_installed(path)


def set_in(values, keys, new):
    """Return a copy of nested values with one of them replaced; the last key may be renamed."""
    values = deepcopy(values)
    inner = values
    for key in keys[:-1]:
        inner = inner[key]
    if isinstance(new, tuple):
        inner[new[0]] = inner.pop(keys[-1])
    else:
        inner[keys[-1]] = new
    return values


SIMPLE = "moveit_simple_controller_manager"
SCENE = "planning_scene_monitor_options"


@pytest.mark.parametrize(
    ("name", "keys", "new"),
    [
        ("motion_node", ["/**/motion_node"], ("/**/motoin_node",)),
        ("motion_node", ["/**/motion_node", "ros__parameters", "speed"], ("spede",)),
        ("controllers", ["/**/joint_trajectory_controller"], ("/**/joint_trajectroy_controller",)),
        ("controllers_topic", ["/**/joint_state_broadcaster"], ("/**/joint_states_broadcaster",)),
        ("moveit_controllers", [SIMPLE, "controller_names"], ["joint_controller"]),
        ("moveit_cpp", [SCENE, "joint_state_topic"], "joint_state"),
        ("moveit_cpp", [SCENE, "robot_description"], "robot_descripton"),
        ("moveit_cpp", [SCENE, "monitored_planning_scene_topic"], "moveit_cpp/monitored_scene"),
        ("moveit_cpp", ["planning_pipelines", "pipeline_names"], ["opml"]),
        ("kinematics", ["arm"], ("arms",)),
        ("kinematics_kdl", ["arm"], ("arms",)),
        ("joint_limits", ["joint_limits", "gripper"], ("griper",)),
        ("bench_learn", ["demonstrations"], ("demonstratoins",)),
    ],
    ids=str,
)
def test_a_misspelled_name_in_a_config_file_is_found(name, keys, new):
    values = read(ROOT / "config" / f"{name}.yaml")
    assert wrong_config(f"{name}.yaml", values, SHIPPED) == []
    assert wrong_config(f"{name}.yaml", set_in(values, keys, new), SHIPPED)


def test_a_misspelled_action_or_joint_of_moveits_controller_is_found():
    values = read(ROOT / "config" / "moveit_controllers.yaml")
    (name,) = values[SIMPLE]["controller_names"]
    for key, new in (("action_ns", "follow_trajectory"), ("joints", ["griper"])):
        (line,) = wrong_config(
            "moveit_controllers.yaml", set_in(values, [SIMPLE, name, key], new), SHIPPED
        )
        assert "follow_trajectory" in line or "griper" in line


@pytest.mark.parametrize("name", ["motoin_node.yaml", "opml_planning.yaml", "servo.yaml"])
def test_a_config_file_that_nobody_reads_is_found(name):
    assert wrong_config(name, {}, SHIPPED)


@pytest.mark.parametrize(
    ("keys", "new", "words"),
    [
        (["Visualization Manager", "Global Options", "Fixed Frame"], "wrold", "frame wrold"),
        (["Visualization Manager", "Views", "Current", "Class"], "rviz/Orbit", "rviz/Orbit"),
        (["Panels", 0, "Class"], "rviz_common/Display", "rviz_common/Display"),
        (["Visualization Manager", "Tools", 0, "Class"], "rviz/Move", "rviz/Move"),
        (["Visualization Manager", "Displays", 0, "Cell Size"], ("CellSize",), "CellSize"),
        (["Visualization Manager", "Displays", 0, "Class"], "rviz/Grid", "class rviz/Grid"),
        (
            ["Visualization Manager", "Displays", 1, "Description Topic", "Value"],
            "robot_descripton",
            "topic robot_descripton",
        ),
        (
            ["Visualization Manager", "Displays", 3, "Topic", "Reliability Policy"],
            "Best effort",
            "Best effort",
        ),
        (
            ["Visualization Manager", "Displays", 4, "Topic", "Value"],
            "wirst_camera/image_raw",
            "topic wirst_camera/image_raw",
        ),
        (["Visualization Manager", "Displays", 4, "Topic", "Depth"], ("Dept",), "Dept"),
    ],
    ids=str,
)
def test_a_misspelled_name_in_an_rviz_file_is_found(keys, new, words):
    (line,) = wrong_rviz(set_in(read(ROOT / "rviz" / "robot.rviz"), keys, new))
    assert words in line


def test_a_misspelled_group_of_joints_in_rviz_is_found():
    values = read(ROOT / "rviz" / "moveit.rviz")
    (planning,) = [
        display
        for display in values["Visualization Manager"]["Displays"]
        if display["Class"] == "moveit_rviz_plugin/MotionPlanning"
    ]
    planning["Planning Request"]["Planning Group"] = "arms"
    planning["Planned Path"]["Trajectory Topic"] = "display_path"
    assert len(wrong_rviz(values)) == 2


# --- the robot's description ---


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """Every URDF that the xacro files make: kind of hardware and prefix to text."""
    path = tmp_path_factory.mktemp("calibration") / "arm.json"
    path.write_text(json.dumps(make_calibration()))
    needed = {
        "usb_port": "/dev/arm",
        "calibration": str(path),
        "controllers_file": str(ROOT / "config" / "controllers.yaml"),
    }
    return {
        (kind, prefix): robot_description(prefix, hardware_type=kind, **needed)
        for kind in HARDWARE_TYPES
        for prefix in ("", "left_")
        if (kind, prefix) != ("mujoco", "left_")  # refused
    }


def test_every_name_in_the_description_exists(variants):
    for variant, text in variants.items():
        assert wrong_urdf(text, SHIPPED) == [], variant
    for prefix in ("", "left_"):
        assert wrong_semantics(semantic_description(prefix), robot_description(prefix)) == []


MESH = "package://so101_description/meshes/x.stl"


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        ("topic", ">arm/joint_setpoints<", ">arm/joint_setpoint<", "topic arm/joint_setpoint"),
        ("mujoco", "mjcf/pick.xml", "mjcf/pik.xml", "mjcf/pik.xml"),
        ("mock", "</ros2_control>", '<joint name="griper"/></ros2_control>', "joint griper"),
        ("none", "</robot>", f'<mesh filename="{MESH}"/></robot>', "meshes/x.stl"),
    ],
    ids=str,
)
def test_a_misspelled_name_in_the_urdf_is_found(variants, kind, old, new, words):
    text = variants[kind, ""]
    assert old in text
    (line,) = wrong_urdf(text.replace(old, new, 1), SHIPPED)
    assert words in line


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('tip_link="gripper', 'tip_link="griper'),
        ('<joint name="elbow_flex"', '<joint name="elbow_flexx"'),
        ('link1="wrist_link"', 'link1="wirst_link"'),
        ('parent_group="arm"', 'parent_group="arms"'),
    ],
)
def test_a_misspelled_name_in_the_srdf_is_found(old, new):
    text = semantic_description()
    assert old in text
    assert wrong_semantics(text.replace(old, new, 1), robot_description())


def test_every_argument_of_the_xacro_files_is_declared_and_used():
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("so101_description/*/*.xacro")]
    assert len(texts) >= 4
    used = {name for text in texts for name in re.findall(r"\$\(arg (\w+)\)", text)}
    declared = {name for text in texts for name in re.findall(r'<xacro:arg name="(\w+)"', text)}
    assert used == declared == set(ARGUMENTS)
    found = {name for text in texts for name in re.findall(r"\$\(find (\w+)\)", text)}
    assert found <= {"so101_description", "so101_bringup"}


# --- scripts, containers, guides ---


@pytest.mark.parametrize("path", SCRIPTS, ids=of)
def test_every_name_in_a_script_exists(path):
    assert wrong_script(path.read_text(encoding="utf-8"), SHIPPED) == []


@pytest.mark.parametrize("path", PAGES, ids=of)
def test_every_name_that_a_page_says_to_type_exists(path):
    assert wrong_page(path.read_text(encoding="utf-8"), SHIPPED) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COPY packages.xml src/", "file packages.xml"),
        ("pip install -r src/so101_bringup/requirements/runs.in", "file requirements/runs.in"),
        ("bash .devcontainer/prepares.sh", "file .devcontainer/prepares.sh"),
        ("      - run: .ci/runs", "file .ci/runs"),
        ("for file in src/so101_bringup/launch/*.lunch.py; do", "file launch/*.lunch.py"),
        ("ros2 launch so101_bringup rll.launch.py robot:=sim", "launch file rll.launch.py"),
        ("ros2 launch so101_bring rl.launch.py", "package so101_bring"),
        ("ros2 launch so101_bringup rl.launch.py robt:=sim", "argument rl.launch.py robt"),
        ("ros2 run so101_bringup policy", "program so101_bringup policy"),
        ("ros2 pkg prefix so101_descripton", "package so101_descripton"),
        ("ros2 topic echo /joint_sates", "topic joint_sates"),
        ("ros2 topic pub --once label x", ""),
        ("ros2 service call /episode/begin std_srvs/srv/Trigger", "service episode/begin"),
        ("apt-get install -y python3-venvs && true", "apt python3-venvs"),
        ("sudo apt install ros-$ROS_DISTRO-pick-ikk", "apt ros-$ROS_DISTRO-pick-ikk"),
        ("sudo apt install ros-$ROS_DISTRO-pick-ik \\\n  ros-${ROS_DISTRO}-moveit-py", ""),
        ('pip install "numpy<2" pytests', "pip pytests"),
        ("make sets", "make sets"),
    ],
)
def test_a_misspelled_name_in_a_script_is_found(text, words):
    assert wrong_script(text, SHIPPED) == ([words] if words else [])


@pytest.mark.parametrize("path", SHELL, ids=of)
def test_a_shell_script_parses(path):
    shell = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#!").strip()
    assert shutil.which(shell)
    subprocess.run([shell, "-n", str(path)], check=True, timeout=20)


def test_the_devcontainer_is_built_from_what_is_there():
    values = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert (ROOT / ".devcontainer" / values["build"]["dockerfile"]).exists()
    folder = values["workspaceFolder"]
    assert f"target={folder}," in values["workspaceMount"]
    prepare = (ROOT / ".devcontainer" / "prepare.sh").read_text(encoding="utf-8")
    assert f"cd {Path(folder).parents[1]}\n" in prepare
    for file in (ROOT / "docker" / "Dockerfile", ROOT / ".devcontainer" / "Dockerfile"):
        text = file.read_text(encoding="utf-8")
        assert "ARG ROS_DISTRO=" in text and "FROM ros:${ROS_DISTRO}" in text
    assert set(values["build"]["args"]) == {"ROS_DISTRO"}


def test_the_workflows_run_on_what_is_supported():
    data = read(ROOT / "test" / "data" / "rosdep.yaml")
    jobs = read(ROOT / ".github" / "workflows" / "ros.yml")["jobs"]
    for job in jobs.values():
        assert job["strategy"]["matrix"]["distribution"] == data["distributions"]


def test_the_lists_of_files_are_not_empty():
    assert len(CONFIGS) > 20 and len(RVIZ) >= 3 and len(SHELL) == 3 and len(PAGES) > 20
    assert set(GRID) == set(LAUNCH_FILES)
