"""The robot as data: LeRobot's units, limits and poses agree, and damaged files are named."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so101.errors import ConfigError
from so101.robot import (
    GRIPPER,
    JOINTS,
    description_path,
    from_lerobot,
    load_robot,
    so101,
    to_lerobot,
)

LIMITS = yaml.safe_load(description_path("joint_limits.yaml").read_text())
POSES = yaml.safe_load(description_path("poses.yaml").read_text())

shapes = hnp.array_shapes(min_dims=0, max_dims=2, max_side=4).map(lambda shape: (*shape, 6))
arrays = hnp.arrays(np.float64, shapes, elements=st.floats(-1e3, 1e3))


@given(arrays)
def test_conversions_to_and_from_lerobot_are_inverse(positions):
    np.testing.assert_allclose(from_lerobot(to_lerobot(positions)), positions, atol=1e-12)
    np.testing.assert_allclose(to_lerobot(from_lerobot(positions)), positions, atol=1e-9)


@given(arrays)
def test_conversions_leave_their_input_alone(positions):
    before = positions.copy()
    positions.setflags(write=False)
    to_lerobot(positions)
    from_lerobot(positions)
    np.testing.assert_array_equal(positions, before)


def test_the_gripper_goes_from_0_to_100_and_the_rest_in_degrees():
    robot = so101()
    lower, upper = to_lerobot(robot.lower), to_lerobot(robot.upper)
    assert lower[GRIPPER] == pytest.approx(0.0)
    assert upper[GRIPPER] == pytest.approx(100.0)
    np.testing.assert_allclose(lower[:GRIPPER], np.degrees(robot.lower[:GRIPPER]))
    np.testing.assert_allclose(to_lerobot(np.zeros(6))[:GRIPPER], 0.0)


def test_limits_and_poses_agree():
    robot = so101()
    assert robot.joints == JOINTS
    assert len(JOINTS) == len(set(JOINTS)) == 6
    assert (robot.lower < robot.upper).all()
    assert ((robot.lower < robot.home) & (robot.home < robot.upper)).all()
    for pose in robot.poses.values():
        assert ((robot.lower <= pose) & (pose <= robot.upper)).all()
    for name in ("max_velocity", "max_acceleration", "max_jerk", "max_effort"):
        assert (getattr(robot, name) > 0).all()
    assert (robot.max_velocity <= 4.7).all()  # what the servo can do without load


def test_the_shipped_robot_cannot_be_changed_by_its_holders():
    robot = so101()
    assert so101() is robot
    arrays = [robot.lower, robot.upper, robot.max_velocity, *robot.poses.values()]
    assert not any(array.flags.writeable for array in arrays)


def damaged(content, *keys, value=None):
    """Return a copy in which one entry has another value, or is gone without one."""
    copy = yaml.safe_load(yaml.safe_dump(content))
    entry = copy
    for key in keys[:-1]:
        entry = entry[key]
    if value is None:
        del entry[keys[-1]]
    else:
        entry[keys[-1]] = value
    return copy


LIMIT = ("joint_limits", "elbow_flex")
DAMAGED_LIMITS = [
    (damaged(LIMITS, *LIMIT), "missing or unknown joints: elbow_flex"),
    (damaged(LIMITS, "joint_limits", "elbow", value={}), "elbow: missing key 'min_position'"),
    (damaged(LIMITS, *LIMIT, "max_jerk"), "elbow_flex: missing key 'max_jerk'"),
    (
        damaged(LIMITS, *LIMIT, "max_jrk", value=1.0),
        "unknown key 'max_jrk', did you mean 'max_jerk'?",
    ),
    (
        damaged(LIMITS, *LIMIT, "max_velocity", value=0.0),
        "max_velocity must be positive: elbow_flex",
    ),
    (damaged(LIMITS, *LIMIT, "max_effort", value=-1), "max_effort must be positive: elbow_flex"),
    (damaged(LIMITS, *LIMIT, "min_position", value=2.0), "below max_position: elbow_flex"),
    (
        damaged(LIMITS, *LIMIT, "max_jerk", value=float("nan")),
        "elbow_flex: max_jerk: nan is not finite",
    ),
    (damaged(LIMITS, *LIMIT, "max_jerk", value="fast"), "elbow_flex: max_jerk: expected a number"),
    (damaged(LIMITS, *LIMIT, "max_jerk", value=True), "elbow_flex: max_jerk: expected a number"),
    ({}, "missing key 'joint_limits'"),
    ([], "expected a mapping"),
]
HOME = ("poses", "home")
DAMAGED_POSES = [
    (damaged(POSES, *HOME), "missing pose 'home'"),
    (damaged(POSES, *HOME, value=[0.0] * 5), "pose 'home' is not 6 values in range"),
    (damaged(POSES, *HOME, value=[0.0] * 7), "pose 'home' is not 6 values in range"),
    (
        damaged(POSES, "poses", "far", value=[0.0, 3.0, 0, 0, 0, 0]),
        "pose 'far' is not 6 values in",
    ),
    (damaged(POSES, *HOME, value=["x"] * 6), "home[0]: expected a number, got 'x'"),
    (damaged(POSES, *HOME, value=[float("inf")] * 6), "home[0]: inf is not finite"),
    (damaged(POSES, *HOME, value=3), "home: expected a list"),
]


@pytest.mark.parametrize(("content", "reason"), DAMAGED_LIMITS)
def test_a_damaged_limits_file_is_named_with_the_joint(tmp_path, content, reason):
    path = tmp_path / "limits.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_robot(limits_file=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(("content", "reason"), DAMAGED_POSES)
def test_a_damaged_poses_file_is_named_with_the_pose(tmp_path, content, reason):
    path = tmp_path / "poses.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_robot(poses_file=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)


def test_an_absent_file_is_named(tmp_path):
    for name in ("limits_file", "poses_file"):
        with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
            load_robot(**{name: tmp_path / "absent.yaml"})
