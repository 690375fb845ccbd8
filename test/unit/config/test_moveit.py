"""MoveIt's files say of the robot what its own files say, and only what MoveIt understands."""

import importlib.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from ros2_parameters import (
    ADAPTERS,
    CARTESIAN_LIMITS,
    EXECUTION,
    JOINT_LIMITS,
    MOVEIT_CPP,
    OMPL,
    PIPELINE,
    SOLVER,
    SOLVERS,
    wrong,
)

from motion_node.params import MotionParams
from so101.config import load_yaml
from so101.kinematics.urdf import robot_description
from so101.robot import GRIPPER, JOINTS, description_path, so101
from so101.services import FOLLOW_TRAJECTORY
from so101_bringup.foreign_nodes import move_group_node
from so101_bringup.graph_options import GraphOptions

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config"
GROUPS = ("arm", "gripper", "all")
CHECKED = 300
"""Poses of the test's own; the file itself rests on many more."""


def load_tool():
    """Return tools/write_moveit.py as a module."""
    spec = importlib.util.spec_from_file_location(
        "write_moveit", ROOT / "tools" / "write_moveit.py"
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture(scope="module")
def tool():
    return load_tool()


@pytest.fixture(scope="module")
def touching(tool):
    return tool.Touching()


def semantic(prefix=""):
    """Return the SRDF as MoveIt gets it."""
    import xacro

    path = description_path("srdf", "so101.srdf.xacro")
    document = xacro.process_file(str(path), mappings={"prefix": prefix})
    return ElementTree.fromstring(document.toxml())


def disabled(root):
    return {
        (e.get("link1"), e.get("link2")): e.get("reason")
        for e in root.findall("disable_collisions")
    }


def test_the_written_files_are_up_to_date(tool):
    text = tool.SRDF.read_text(encoding="utf-8")
    assert text == tool.srdf_text(disabled(semantic()))
    assert tool.LIMITS.read_text(encoding="utf-8") == tool.limits_text()


@pytest.mark.parametrize("prefix", ["", "left_"])
def test_the_srdf_names_what_the_urdf_has(prefix):
    urdf, srdf = ElementTree.fromstring(robot_description(prefix)), semantic(prefix)
    links = {link.get("name") for link in urdf.findall("link")}
    joints = {joint.get("name") for joint in urdf.findall("joint")}
    assert srdf.get("name") == urdf.get("name")
    assert tuple(group.get("name") for group in srdf.findall("group")) == GROUPS
    (chain,) = srdf.findall("group[@name='arm']/chain")
    assert {chain.get("base_link"), chain.get("tip_link")} <= links
    (effector,) = srdf.findall("end_effector")
    assert effector.get("parent_link") in links
    assert {effector.get("group"), effector.get("parent_group")} <= set(GROUPS)
    assert {joint.get("name") for joint in srdf.iter("joint")} <= joints
    assert {link for pair in disabled(srdf) for link in pair} <= links


def test_named_states_are_the_robots_poses_and_in_range():
    states = {
        (e.get("group"), e.get("name")): {
            j.get("name"): float(j.get("value")) for j in e.findall("joint")
        }
        for e in semantic().findall("group_state")
    }
    assert {name for group, name in states if group == "arm"} == {
        "home",
        "rest",
        "zero",
        "extended",
    }
    assert {name for group, name in states if group == "gripper"} == {"open", "closed"}
    limits = dict(zip(JOINTS, zip(so101().lower, so101().upper, strict=True), strict=True))
    for (group, name), values in states.items():
        expected = {"arm": JOINTS[:GRIPPER], "all": JOINTS, "gripper": JOINTS[GRIPPER:]}[group]
        assert tuple(values) == expected
        for joint, value in values.items():
            assert limits[joint][0] <= value <= limits[joint][1]
        if group != "gripper":
            pose = so101().poses[name]
            assert list(values.values()) == pose[: len(values)].tolist()
    assert states["gripper", "open"]["gripper"] > states["gripper", "closed"]["gripper"]


def test_what_is_not_checked_needs_no_check(tool, touching):
    """Links that a joint joins, and those that no pose brings together."""
    pairs = disabled(semantic())
    adjacent = {pair for pair, reason in pairs.items() if reason == "Adjacent"}
    assert adjacent == set(touching.adjacent())
    never = {pair for pair, reason in pairs.items() if reason == "Never"}
    for pose in tool.poses(CHECKED, seed=7):
        assert not touching.at(pose) & never


def test_no_named_state_is_a_collision(tool, touching):
    pairs = set(disabled(semantic()))
    for name in (*tool.ARM_STATES, *tool.GRIPPER_STATES):
        assert touching.at(tool.state_pose(name)) <= pairs, name


def test_a_folded_arm_is_a_collision(touching):
    """Something is checked at all: the jaws can reach the base."""
    pairs = set(disabled(semantic()))
    folded = np.array([0.0, -1.7, 1.6, 1.6, 0.0, 0.0])
    rng = np.random.default_rng(3)
    spread = rng.uniform(so101().lower, so101().upper, (CHECKED, len(JOINTS)))
    assert any(touching.at(pose) - pairs for pose in (folded, *spread))


def test_moveit_plans_within_our_limits():
    values = load_yaml(CONFIG / "joint_limits.yaml")
    assert wrong(values, JOINT_LIMITS, {"<joint>": JOINTS}) == []
    assert tuple(values["joint_limits"]) == JOINTS
    spec = so101()
    for number, limit in enumerate(values["joint_limits"].values()):
        assert limit["has_velocity_limits"] and limit["has_acceleration_limits"]
        assert 0.0 < limit["max_velocity"] <= spec.max_velocity[number]
        assert 0.0 < limit["max_acceleration"] <= spec.max_acceleration[number]
    for name in ("default_velocity_scaling_factor", "default_acceleration_scaling_factor"):
        assert 0.0 < values[name] <= 0.3, "people are near"


@pytest.mark.parametrize("name", ["kinematics.yaml", "kinematics_kdl.yaml"])
def test_the_solver_knows_that_five_joints_are_five(name):
    for group, values in load_yaml(CONFIG / name).items():
        assert group in GROUPS
        solver = values["kinematics_solver"]
        assert wrong(values, SOLVER | SOLVERS[solver], {}) == []
        assert values.get("position_only_ik") or values["rotation_scale"] < 0.5


@pytest.mark.parametrize(
    ("file", "action"),
    [
        ("moveit_controllers.yaml", FOLLOW_TRAJECTORY.name),
        ("moveit_ros2_control.yaml", "joint_trajectory_controller/follow_joint_trajectory"),
    ],
)
def test_plans_go_to_who_moves_all_joints(file, action):
    """Our node's action, or the controller that controllers.yaml has."""
    values = load_yaml(CONFIG / file)
    listed = values["moveit_simple_controller_manager"]
    names = listed["controller_names"]
    assert wrong(values, EXECUTION, {"<controller>": names}) == []
    assert {key for key in listed if key != "controller_names"} == set(names)
    ((name, only),) = ((name, listed[name]) for name in names)
    assert tuple(only["joints"]) == JOINTS
    assert only["type"] == FOLLOW_TRAJECTORY.type.rpartition("/")[2]
    assert f"{name}/{only['action_ns']}" == action
    if name != FOLLOW_TRAJECTORY.name.partition("/")[0]:
        controllers = load_yaml(CONFIG / "controllers.yaml")["/**/controller_manager"]
        assert name in controllers["ros__parameters"]
    start_rad = values["trajectory_execution"]["allowed_start_tolerance"]
    assert start_rad <= MotionParams().start_tolerance, "else MoveIt starts what is then refused"


@pytest.mark.parametrize("below", ["", "topic", "mock", "feetech", "mujoco", "gazebo"])
def test_moveit_is_told_who_executes(below):
    """Where none of our nodes run there is no action of ours."""
    options = GraphOptions(robot="real", hardware_type=below)
    names = move_group_node(options).parameters[
        "moveit_simple_controller_manager.controller_names"
    ]
    ours = "arm_controller" if below in ("", "topic") else "joint_trajectory_controller"
    assert names == (ours,)


def test_pipelines_are_named_as_moveit_looks_for_them():
    """It takes every file called <pipeline>_planning.yaml."""
    files = {
        path.name.removesuffix("_planning.yaml"): path for path in CONFIG.glob("*_planning.yaml")
    }
    assert set(files) == {"ompl", "pilz_industrial_motion_planner"}
    ompl, pilz = (load_yaml(files[name]) for name in sorted(files))
    planners = tuple(ompl["planner_configs"])
    assert wrong(ompl, OMPL, {"<planner>": planners, "<group>": GROUPS}) == []
    assert wrong(pilz, PIPELINE, {}) == []
    for values in (ompl, pilz):
        assert {*values["request_adapters"], *values["response_adapters"]} <= ADAPTERS
    for group in GROUPS:
        assert set(ompl[group]["planner_configs"]) <= set(planners)
        assert ompl[group]["default_planner_config"] in ompl[group]["planner_configs"]
    limits = load_yaml(CONFIG / "pilz_cartesian_limits.yaml")
    assert wrong(limits, CARTESIAN_LIMITS, {}) == []
    assert limits["cartesian_limits"]["max_trans_dec"] < 0.0, "Pilz wants it so"


def test_moveit_cpp_uses_the_pipelines_that_are_there():
    values = load_yaml(CONFIG / "moveit_cpp.yaml")
    assert wrong(values, MOVEIT_CPP, {}) == []
    names = values["planning_pipelines"]["pipeline_names"]
    request = values["plan_request_params"]
    assert all((CONFIG / f"{name}_planning.yaml").exists() for name in names)
    assert request["planning_pipeline"] in names
    ompl = load_yaml(CONFIG / "ompl_planning.yaml")
    assert request["planner_id"] in ompl["planner_configs"]


def builder_files(bringup, description):
    """Return what MoveItConfigsBuilder("so101", package_name="so101_bringup") reads, by its rules.

    Args:
        bringup: share/so101_bringup.
        description: share/so101_description.
    """
    assistant = load_yaml(bringup / ".setup_assistant")["moveit_setup_assistant_config"]
    assert assistant["urdf"]["package"] == "so101_description"
    found = {
        path.name.removesuffix("_controllers.yaml")
        for path in (bringup / "config").glob("*_controllers.yaml")
    }
    chosen = next(name for name in ("moveit", "moveit2", "so101") if name in found)
    assert "moveit_ros2_control" not in found, "its name must not be one that is looked for"
    config = [
        bringup / "config" / name
        for name in (
            "kinematics.yaml",
            "joint_limits.yaml",
            "pilz_cartesian_limits.yaml",
            "moveit_cpp.yaml",
            f"{chosen}_controllers.yaml",
        )
    ]
    return [
        description / assistant["urdf"]["relative_path"],
        bringup / assistant["srdf"]["relative_path"],
        *config,
    ]


def test_moveit_finds_its_files_where_they_are_installed(tmp_path):
    """Packages are beside one another below share."""
    share = tmp_path / "share"
    bringup, description = share / "so101_bringup", share / "so101_description"
    bringup.mkdir(parents=True)
    for name in ("config", ".setup_assistant"):
        (bringup / name).symlink_to(ROOT / name)
    description.symlink_to(ROOT / "so101_description")
    missing = [path for path in builder_files(bringup, description) if not path.exists()]
    assert missing == []
    assert not (CONFIG / "so101.urdf.xacro").exists(), "it would be taken in place of the URDF"
