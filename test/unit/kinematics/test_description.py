"""URDF and MJCF describe the same robot, the one of so101.robot()."""

import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so101.kinematics.chain import Chain, so101_chain
from so101.kinematics.urdf import robot_description
from so101.robot import CAMERAS, JOINTS, description_path, so101
from so101.simulation import gl

mujoco = gl.load_mujoco()
MJCF = mujoco.MjModel.from_xml_path(str(description_path("mjcf", "pick.xml")))
URDF = ElementTree.fromstring(robot_description())
LINKS = (
    "base_link",
    "shoulder_link",
    "upper_arm_link",
    "lower_arm_link",
    "wrist_link",
    "gripper_link",
    "moving_jaw_so101_v1_link",
)
SITES = {"tcp": "gripper_frame_link", "grasp": "grasp_frame_link"}


def numbers(text):
    return np.array([float(word) for word in text.split()])


def urdf_joints():
    return {e.get("name"): e for e in URDF.iter("joint") if e.get("type") == "revolute"}


def urdf_parts():
    """Yield link, name, size (MuJoCo's half sizes), position of every drawn part."""
    for link in URDF.iter("link"):
        for visual in link.iter("visual"):
            shape = visual.find("geometry")[0]
            if shape.tag == "box":
                size = 0.5 * numbers(shape.get("size"))
            else:
                size = np.array([float(shape.get("radius")), 0.5 * float(shape.get("length")), 0])
            origin = visual.find("origin")
            yield link.get("name"), size, numbers(origin.get("xyz")), numbers(origin.get("rpy"))


def test_joint_names_and_limits_are_the_same_everywhere():
    robot = so101()
    assert tuple(urdf_joints()) == JOINTS
    assert tuple(MJCF.joint(i).name for i in range(len(JOINTS))) == JOINTS
    assert tuple(MJCF.actuator(i).name for i in range(MJCF.nu)) == JOINTS
    limits = np.stack((robot.lower, robot.upper), axis=1)
    np.testing.assert_allclose(MJCF.jnt_range[: len(JOINTS)], limits, atol=1e-12)
    np.testing.assert_allclose(MJCF.actuator_ctrlrange, limits, atol=1e-12)
    for index, joint in enumerate(urdf_joints().values()):
        limit = joint.find("limit")
        assert [float(limit.get("lower")), float(limit.get("upper"))] == limits[index].tolist()
        assert float(limit.get("velocity")) == robot.max_velocity[index]
        assert float(limit.get("effort")) == robot.max_effort[index]


@given(hnp.arrays(np.float64, len(JOINTS), elements=st.floats(-1.7, 1.7)))
def test_kinematics_agree(positions):
    data = mujoco.MjData(MJCF)
    data.qpos[: len(JOINTS)] = positions
    mujoco.mj_kinematics(MJCF, data)
    for link in LINKS:
        pose = so101_chain().pose(positions, link)
        np.testing.assert_allclose(data.body(link).xpos, pose[:3, 3], atol=1e-8)
        np.testing.assert_allclose(data.body(link).xmat.reshape(3, 3), pose[:3, :3], atol=1e-8)
    for site, frame in SITES.items():
        pose = so101_chain().pose(positions, frame)
        np.testing.assert_allclose(data.site(site).xpos, pose[:3, 3], atol=1e-8)
        np.testing.assert_allclose(data.site(site).xmat.reshape(3, 3), pose[:3, :3], atol=1e-8)


@pytest.mark.parametrize("camera", CAMERAS)
def test_cameras_stand_where_their_optical_frames_are(camera):
    data = mujoco.MjData(MJCF)
    data.qpos[: len(JOINTS)] = so101().home
    mujoco.mj_forward(MJCF, data)
    pose = so101_chain().pose(so101().home, f"{camera}_camera_optical_frame")
    np.testing.assert_allclose(data.camera(camera).xpos, pose[:3, 3], atol=1e-4)
    # MuJoCo's cameras look along -z with y up, optical frames along z with y down.
    drawn = data.camera(camera).xmat.reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
    np.testing.assert_allclose(drawn, pose[:3, :3], atol=1e-4)


def test_inertias_agree():
    for link in LINKS:
        inertial = URDF.find(f"link[@name='{link}']/inertial")
        body = MJCF.body(link)
        np.testing.assert_allclose(
            body.ipos, numbers(inertial.find("origin").get("xyz")), atol=1e-9
        )
        assert body.mass[0] == pytest.approx(float(inertial.find("mass").get("value")))
        tensor = inertial.find("inertia")
        trace = sum(float(tensor.get(key)) for key in ("ixx", "iyy", "izz"))
        assert body.inertia.sum() == pytest.approx(trace, rel=1e-6)


def test_urdf_and_mjcf_draw_the_same_parts():
    drawn = {link: [] for link in LINKS}
    for link, size, position, rpy in urdf_parts():
        drawn[link].append((size, position, rpy))
    for link in LINKS:
        body = MJCF.body(link)
        count = int(body.geomnum[0])
        assert count == len(drawn[link])
        for geom, (size, position, rpy) in enumerate(drawn[link], start=int(body.geomadr[0])):
            np.testing.assert_allclose(MJCF.geom_size[geom], size, atol=1e-9)
            np.testing.assert_allclose(MJCF.geom_pos[geom], position, atol=1e-9)
            quaternion = np.zeros(4)
            mujoco.mju_euler2Quat(quaternion, rpy, "XYZ")
            np.testing.assert_allclose(MJCF.geom_quat[geom], quaternion, atol=1e-9)


def test_a_prefix_renames_links_and_joints():
    prefixed = robot_description("left_")
    chain = Chain.from_urdf(prefixed, base="left_base_link")
    assert chain.joints == tuple(f"left_{name}" for name in JOINTS)
    pose = chain.pose(so101().home, "left_grasp_frame_link")
    np.testing.assert_array_equal(pose, so101_chain().pose(so101().home, "grasp_frame_link"))


def test_ctrl_c_while_the_xacro_is_read_stays_ctrl_c(monkeypatch):
    """As when xacro's own imports are torn apart: it would make an error of its own of it."""

    class Torn:
        def find_spec(self, name, path, target=None):
            if name == "xacro.substitution_args":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "xacro.substitution_args")
    monkeypatch.setattr(sys, "meta_path", [Torn(), *sys.meta_path])
    with pytest.raises(KeyboardInterrupt):
        robot_description.__wrapped__()
