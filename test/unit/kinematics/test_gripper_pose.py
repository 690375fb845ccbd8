"""The pose of the gripper frame and back."""

import numpy as np
import pytest

from so101.kinematics.gripper_pose import GripperPose
from so101.robot import GRIPPER, so101

ROBOT = so101()
ARM = GripperPose()


def distance(positions, position, rotation):
    found, turned = ARM.forward(positions)
    return np.linalg.norm(found - position), np.abs(turned - rotation).max()


@pytest.mark.parametrize("number", range(20))
def test_a_pose_is_met_from_a_seed_near_by_and_tells_the_joints(number):
    rng = np.random.default_rng(number)
    wanted = ROBOT.lower + rng.uniform(0.15, 0.85, 6) * (ROBOT.upper - ROBOT.lower)
    seed = wanted + rng.uniform(-0.1, 0.1, 6)
    found = ARM.inverse(*ARM.forward(wanted), seed)
    off_m, off = distance(found, *ARM.forward(wanted))
    assert off_m < 1e-8
    assert off < 1e-7
    np.testing.assert_allclose(found[:GRIPPER], wanted[:GRIPPER], atol=1e-6)
    assert found[GRIPPER] == seed[GRIPPER]


def test_a_pose_out_of_reach_is_approached_within_the_limits():
    position, rotation = ARM.forward(ROBOT.home)
    far = position + np.array([1.0, 0.0, 0.0])
    found = ARM.inverse(far, rotation, ROBOT.home)
    assert (found >= ROBOT.lower).all()
    assert (found <= ROBOT.upper).all()
    assert distance(found, far, rotation)[0] < 1.0
