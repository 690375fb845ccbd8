"""Another program reads every URDF that the xacro files make, and sees the same robot."""

import io
import json

import numpy as np
import pytest
from factories import make_calibration

from so101.kinematics.chain import Chain
from so101.kinematics.urdf import HARDWARE_TYPES, robot_description
from so101.robot import JOINTS, so101
from so101.simulation import gl

TIP = "gripper_frame_link"
VARIANTS = [(kind, "") for kind in HARDWARE_TYPES] + [
    (kind, "left_")
    for kind in HARDWARE_TYPES
    if kind != "mujoco"  # which takes no prefix
]
variants = pytest.mark.parametrize(("kind", "prefix"), VARIANTS)


@pytest.fixture(scope="module")
def urdf(tmp_path_factory):
    """Return the text of a variant."""
    path = tmp_path_factory.mktemp("calibration") / "arm.json"
    path.write_text(json.dumps(make_calibration()))
    needed = {"usb_port": "/dev/arm", "calibration": str(path), "controllers_file": "/c.yaml"}
    return lambda kind, prefix: robot_description(prefix, hardware_type=kind, **needed)


def poses():
    """Return joint positions all over the robot's range. Shape (20, 6) [rad]."""
    rng = np.random.default_rng(11)
    return rng.uniform(so101().lower, so101().upper, (20, len(JOINTS)))


@variants
def test_yourdfpy_sees_the_same_robot(urdf, kind, prefix):
    yourdfpy = pytest.importorskip("yourdfpy")
    text = urdf(kind, prefix)
    robot = yourdfpy.URDF.load(io.StringIO(text), load_meshes=False)
    assert robot.validate() and robot.errors == []
    assert robot.actuated_joint_names == [f"{prefix}{joint}" for joint in JOINTS]
    limits = [joint.limit for joint in robot.actuated_joints]
    np.testing.assert_array_equal([limit.lower for limit in limits], so101().lower)
    np.testing.assert_array_equal([limit.upper for limit in limits], so101().upper)
    chain = Chain.from_urdf(text, base=f"{prefix}base_link")
    for pose in poses():
        robot.update_cfg(pose)
        theirs = robot.get_transform(f"{prefix}{TIP}", f"{prefix}base_link")
        np.testing.assert_allclose(chain.pose(pose, f"{prefix}{TIP}"), theirs, atol=1e-9)


@variants
def test_mujoco_moves_the_same_robot(urdf, kind, prefix):
    """Which joins what does not move: the gripper's frame is found from the link that it is on."""
    mujoco = gl.load_mujoco()
    text = urdf(kind, prefix)
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    chain = Chain.from_urdf(text, base="world")
    link = f"{prefix}gripper_link"
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, link)
    for pose in poses():
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        ours = chain.pose(pose, link)
        np.testing.assert_allclose(ours[:3, 3], data.xpos[body], atol=1e-9)
        np.testing.assert_allclose(ours[:3, :3], data.xmat[body].reshape(3, 3), atol=1e-9)
