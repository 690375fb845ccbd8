"""Encoding and decoding of every action space are inverses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so101.action import ActionSpace
from so101.control.action_codec import (
    TERNARY_DEADBAND,
    ActionCodec,
    rotation_matrix,
    rotation_vector,
)
from so101.kinematics.gripper_pose import GripperPose
from so101.robot import GRIPPER, so101

ROBOT = so101()


def poses(*shape):
    return hnp.arrays(np.float64, (*shape, 6), elements=st.floats(-1.6, 1.6))


class SixAxes:
    """A made-up arm whose joints are the pose: three slides and a rotation vector."""

    def forward(self, positions):
        return positions[:3], rotation_matrix(np.append(positions[3:5], 0.2))

    def inverse(self, position, rotation, seed):
        positions = seed.copy()
        positions[:3] = position
        positions[3:5] = rotation_vector(rotation)[:2]
        return positions


@pytest.mark.parametrize("kind", ["joint_absolute", "joint_delta"])
@given(actions=poses(2, 4), reference=poses(2))
def test_decoding_undoes_encoding(kind, actions, reference):
    codec = ActionCodec(ActionSpace(kind=kind))
    native = codec.encode(actions, reference)
    assert native.shape == (2, 4, codec.native_size)
    np.testing.assert_allclose(codec.decode(native, reference), actions, atol=1e-12)


@given(actions=poses(2, 3), reference=poses(2))
def test_decoding_undoes_encoding_of_gripper_poses(actions, reference):
    codec = ActionCodec(ActionSpace(kind="ee_delta"), kinematics=SixAxes())
    native = codec.encode(actions, reference)
    assert native.shape == (2, 3, 7)
    np.testing.assert_allclose(codec.decode(native, reference), actions, atol=1e-6)


@given(
    reference=st.builds(
        lambda share: ROBOT.lower + share * (ROBOT.upper - ROBOT.lower),
        hnp.arrays(np.float64, 6, elements=st.floats(0.1, 0.9)),
    ),
    steps=hnp.arrays(np.float64, (8, 6), elements=st.floats(-0.04, 0.04)),
)
def test_gripper_poses_of_the_arm_are_met_again(reference, steps):
    """Where a joint angle can be told from the pose, it is met too; the pose always."""
    codec, arm = ActionCodec(ActionSpace(kind="ee_delta")), GripperPose()
    actions = np.clip(reference + steps.cumsum(axis=0), ROBOT.lower, ROBOT.upper)
    again = codec.decode(codec.encode(actions, reference), reference)
    for wanted, found in zip(actions, again, strict=True):
        np.testing.assert_allclose(arm.forward(found)[0], arm.forward(wanted)[0], atol=1e-6)
        np.testing.assert_allclose(arm.forward(found)[1], arm.forward(wanted)[1], atol=1e-5)
    assert np.array_equal(again[:, GRIPPER], actions[:, GRIPPER])


@given(actions=poses(4), reference=poses())
def test_deltas_are_zero_at_the_reference(actions, reference):
    for kind, kinematics in (("joint_delta", None), ("ee_delta", SixAxes())):
        codec = ActionCodec(ActionSpace(kind=kind), kinematics=kinematics)
        native = codec.encode(np.tile(reference, (4, 1)), reference)
        np.testing.assert_allclose(native[:, :-1], 0.0, atol=1e-9)
        assert np.array_equal(native[:, -1], np.full(4, reference[GRIPPER]))


@pytest.mark.parametrize("kind", ["joint_absolute", "joint_delta"])
@given(
    wishes=hnp.arrays(np.float64, 6, elements=st.sampled_from([-1.0, 0.0, 1.0])),
    actions=poses(6),
    reference=poses(),
)
def test_ternary_grippers_are_inverse_on_what_they_can_say(kind, wishes, actions, reference):
    codec = ActionCodec(ActionSpace(kind=kind, gripper="ternary"))
    reference = np.clip(reference, ROBOT.lower, ROBOT.upper)
    native = codec.encode(actions, reference)
    native[:, -1] = wishes
    said = codec.decode(native, reference)
    again = codec.decode(codec.encode(said, reference), reference)
    np.testing.assert_allclose(again, said, atol=TERNARY_DEADBAND)


def test_a_ternary_gripper_opens_stays_and_closes():
    codec = ActionCodec(ActionSpace(gripper="ternary"))
    native = np.zeros((4, 6))
    native[:, -1] = [0.0, 1.0, 0.0, -1.0]
    gripper = codec.decode(native, np.full(6, 0.3))[:, GRIPPER]
    low, high = ROBOT.lower[GRIPPER], ROBOT.upper[GRIPPER]
    assert gripper.tolist() == [0.3, high, high, low]


@given(hnp.arrays(np.float64, 3, elements=st.floats(-1.7, 1.7)))
def test_rotation_vectors_and_matrices_are_inverse(vector):
    np.testing.assert_allclose(rotation_vector(rotation_matrix(vector)), vector, atol=1e-7)


def test_half_turns_keep_their_axis():
    for axis in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, -0.8], [-0.6, 0.8, 0]):
        matrix = rotation_matrix(np.pi * np.array(axis, dtype=np.float64))
        np.testing.assert_allclose(rotation_matrix(rotation_vector(matrix)), matrix, atol=1e-7)
