"""Laws of forward kinematics and Jacobians."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so101.errors import ConfigError
from so101.kinematics.chain import GRASP_FRAME, Chain, so101_chain
from so101.kinematics.urdf import robot_description
from so101.robot import JOINTS, so101

REFERENCE = json.loads(
    (Path(__file__).parents[2] / "data" / "fk_reference.json").read_text(encoding="utf-8")
)
FRAMES = {
    "gripper_frame_link": "gripper_frame_link",
    "gripper_link": "gripper_link",
    "moving_jaw_link": "moving_jaw_so101_v1_link",
}
any_pose = hnp.arrays(np.float64, len(JOINTS), elements=st.floats(-3.0, 3.0))
any_frame = st.sampled_from(sorted(so101_chain().frames))


def rotation(quaternion):
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def angle_between(a, b):
    return 2.0 * np.arcsin(min(1.0, np.linalg.norm(a - b) / np.sqrt(8.0)))


@pytest.mark.parametrize("index", range(len(REFERENCE["samples"])))
def test_poses_agree_with_the_official_model(index):
    sample = REFERENCE["samples"][index]
    for name, frame in FRAMES.items():
        pose = so101_chain().pose(np.array(sample["q"], dtype=float), frame)
        np.testing.assert_allclose(pose[:3, 3], sample[name]["xyz"], atol=1e-5)
        assert angle_between(pose[:3, :3], rotation(sample[name]["quat_xyzw"])) < 1e-4


def test_the_reference_names_the_same_joints():
    assert tuple(REFERENCE["joint_names"]) == JOINTS
    assert len(REFERENCE["samples"]) >= 10


@given(any_pose, any_frame)
def test_every_pose_is_rigid(positions, frame):
    pose = so101_chain().pose(positions, frame)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])


@given(any_pose, any_frame, hnp.arrays(np.float64, 3, elements=st.floats(-0.1, 0.1)))
def test_the_jacobian_is_the_derivative_of_the_pose(positions, frame, offset):
    chain = so101_chain()
    jacobian = chain.jacobian(positions, frame, offset=offset)
    point = np.append(offset, 1.0)
    pose = chain.pose(positions, frame)
    step = 1e-6
    for joint in range(len(JOINTS)):
        change = np.zeros(len(JOINTS))
        change[joint] = step
        ahead, behind = (chain.pose(positions + sign * change, frame) for sign in (1.0, -1.0))
        slope = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(jacobian[:3, joint], (slope @ point)[:3], atol=1e-8)
        spin = slope[:3, :3] @ pose[:3, :3].T
        np.testing.assert_allclose(
            jacobian[3:, joint], [spin[2, 1], spin[0, 2], spin[1, 0]], atol=1e-8
        )


def test_pan_turns_the_arm_to_its_right():
    positions = np.zeros(6)
    positions[0] = 0.5
    assert so101_chain().pose(positions, GRASP_FRAME)[1, 3] < -0.1


def test_joints_keep_the_order_that_was_asked_for():
    swapped = Chain.from_urdf(robot_description(), joints=JOINTS[::-1])
    home = so101().home
    np.testing.assert_allclose(
        swapped.pose(home[::-1], GRASP_FRAME), so101_chain().pose(home, GRASP_FRAME), atol=1e-15
    )


def test_an_unknown_frame_is_named():
    with pytest.raises(ConfigError, match="no frame 'elbow'"):
        so101_chain().pose(np.zeros(6), "elbow")
    with pytest.raises(ConfigError, match="its joints are"):
        Chain.from_urdf(robot_description(), joints=("shoulder_pan",))
    with pytest.raises(ConfigError, match="base frame"):
        Chain.from_urdf(robot_description(), base="desk")


def test_a_prismatic_joint_is_refused():
    text = robot_description().replace('type="revolute"', 'type="prismatic"', 1)
    with pytest.raises(ConfigError, match="prismatic"):
        Chain.from_urdf(text)
