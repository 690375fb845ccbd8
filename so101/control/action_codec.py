"""Between absolute joint positions and the numbers a policy's network works in.

The gripper is its own column in every space: absolute [rad] when continuous, or a wish to close
(-1), stay (0) or open (1) when ternary.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from so101.action import ActionSpace
from so101.arrays import FloatArray
from so101.kinematics.gripper_pose import GripperPose
from so101.observation import Observation
from so101.robot import GRIPPER, JOINTS, RobotSpec, so101

TERNARY_DEADBAND = 0.01
"""Change of the gripper command per point below which it counts as staying [rad]."""


class Kinematics(Protocol):
    """Pose of the gripper frame, both ways. Needed by ``ee_delta`` only."""

    def forward(self, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the position [m], shape (3,), and rotation matrix, shape (3, 3)."""
        ...

    def inverse(self, position: FloatArray, rotation: FloatArray, seed: FloatArray) -> FloatArray:
        """Return joint positions [rad] near ``seed`` that reach a pose. Shape (joints,)."""
        ...


class ActionCodec:
    """Encodes and decodes chunks of one action space."""

    def __init__(
        self,
        space: ActionSpace,
        robot: RobotSpec | None = None,
        kinematics: Kinematics | None = None,
    ) -> None:
        """Prepare for a space; ``ee_delta`` is of the SO-101 without other kinematics."""
        self._robot = robot or so101()
        self._space = space
        self._kinematics = kinematics or GripperPose()

    @property
    def native_size(self) -> int:
        """Numbers per chunk point."""
        return self.size(self._space)

    @staticmethod
    def size(space: ActionSpace) -> int:
        """Return the numbers per chunk point of a space."""
        return 7 if space.kind == "ee_delta" else len(JOINTS)

    def reference(self, observation: Observation) -> FloatArray:
        """Return the pose that deltas are taken from [rad]. Shape (joints,)."""
        measured = self._space.reference == "measured"
        return observation.positions if measured else observation.command

    def encode(self, actions: npt.ArrayLike, reference: npt.ArrayLike) -> FloatArray:
        """Return native actions.

        Args:
            actions: Absolute joint positions [rad]. Shape (..., horizon, joints).
            reference: Reference pose [rad]. Shape (..., joints).

        Returns:
            Shape (..., horizon, native_size).
        """
        actions = np.asarray(actions, dtype=np.float64)
        reference = np.asarray(reference, dtype=np.float64)
        if self._space.kind == "ee_delta":
            native = self._encode_poses(actions, reference)
        else:
            native = actions.copy()
            if self._space.kind == "joint_delta":
                native -= reference[..., None, :]
        native[..., -1] = self._encode_gripper(actions[..., GRIPPER], reference[..., GRIPPER])
        return native

    def decode(self, native: npt.ArrayLike, reference: npt.ArrayLike) -> FloatArray:
        """Return absolute joint positions, the inverse of `encode`.

        Args:
            native: Shape (..., horizon, native_size).
            reference: Reference pose [rad]. Shape (..., joints).

        Returns:
            [rad]. Shape (..., horizon, joints).
        """
        native = np.asarray(native, dtype=np.float64)
        reference = np.asarray(reference, dtype=np.float64)
        if self._space.kind == "ee_delta":
            actions = self._decode_poses(native, reference)
        else:
            actions = native.copy()
            if self._space.kind == "joint_delta":
                actions += reference[..., None, :]
        actions[..., GRIPPER] = self._decode_gripper(native[..., -1], reference[..., GRIPPER])
        return actions

    def _encode_gripper(self, gripper: FloatArray, reference: FloatArray) -> FloatArray:
        if self._space.gripper == "continuous":
            return gripper
        before = np.concatenate([reference[..., None], gripper[..., :-1]], axis=-1)
        change = gripper - before
        return np.where(np.abs(change) > TERNARY_DEADBAND, np.sign(change), 0.0)

    def _decode_gripper(self, native: FloatArray, reference: FloatArray) -> FloatArray:
        if self._space.gripper == "continuous":
            return native
        wish = np.rint(np.clip(native, -1.0, 1.0))
        closed, opened = self._robot.lower[GRIPPER], self._robot.upper[GRIPPER]
        gripper = np.empty_like(wish)
        current = reference
        for i in range(wish.shape[-1]):
            current = np.where(
                wish[..., i] > 0, opened, np.where(wish[..., i] < 0, closed, current)
            )
            gripper[..., i] = current
        return gripper

    def _encode_poses(self, actions: FloatArray, reference: FloatArray) -> FloatArray:
        horizon = actions.shape[-2]
        rows = actions.reshape(-1, horizon, actions.shape[-1])
        poses = np.broadcast_to(reference, (*actions.shape[:-2], reference.shape[-1]))
        native = np.zeros((*rows.shape[:2], 7))
        for row, pose, out in zip(rows, poses.reshape(-1, pose_size(poses)), native, strict=True):
            origin, frame = self._kinematics.forward(pose)
            for point, values in zip(row, out, strict=True):
                position, rotation = self._kinematics.forward(point)
                values[:3] = frame.T @ (position - origin)
                values[3:6] = rotation_vector(frame.T @ rotation)
        return native.reshape(*actions.shape[:-1], 7)

    def _decode_poses(self, native: FloatArray, reference: FloatArray) -> FloatArray:
        horizon = native.shape[-2]
        rows = native.reshape(-1, horizon, 7)
        poses = np.broadcast_to(reference, (*native.shape[:-2], reference.shape[-1]))
        joints = pose_size(poses)
        actions = np.zeros((*rows.shape[:2], joints))
        for row, pose, out in zip(rows, poses.reshape(-1, joints), actions, strict=True):
            origin, frame = self._kinematics.forward(pose)
            seed = pose
            for i, values in enumerate(row):
                position = origin + frame @ values[:3]
                rotation = frame @ rotation_matrix(values[3:6])
                seed = self._kinematics.inverse(position, rotation, seed)
                out[i] = seed
        return actions.reshape(*native.shape[:-1], joints)


def pose_size(poses: FloatArray) -> int:
    """Return the number of joints in an array of poses. Shape (..., joints)."""
    return int(poses.shape[-1])


def rotation_matrix(vector: npt.ArrayLike) -> FloatArray:
    """Return the matrix of a rotation vector [rad] (Rodrigues). Shape (3, 3)."""
    vector = np.asarray(vector, dtype=np.float64)
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned: FloatArray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turned


def rotation_vector(matrix: npt.ArrayLike) -> FloatArray:
    """Return the rotation vector [rad] of a matrix, the inverse of `rotation_matrix` below pi."""
    matrix = np.asarray(matrix, dtype=np.float64)
    skew = np.array(
        [matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]
    )
    sine, cosine = np.linalg.norm(skew) / 2.0, (np.trace(matrix) - 1.0) / 2.0
    angle = float(np.arctan2(sine, cosine))
    if sine < 1e-9:
        if cosine > 0:
            return skew / 2.0
        axis = np.sqrt(np.maximum((np.diag(matrix) + 1.0) / 2.0, 0.0))
        largest = int(np.argmax(axis))
        signs = np.where(matrix[largest] >= 0, 1.0, -1.0)
        signs[largest] = 1.0
        return np.asarray(axis * signs * angle)
    return np.asarray(skew / (2.0 * sine) * angle)
