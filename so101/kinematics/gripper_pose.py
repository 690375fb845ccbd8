"""The pose of the gripper frame, both ways: what the action space ``ee_delta`` is made of.

Five joints cannot meet every pose. One that they can meet is met exactly when the seed is near;
of any other the nearest is taken, a radian counting as much as `RADIAN_M`.
"""

import numpy as np

from so101.arrays import FloatArray
from so101.kinematics.chain import GRASP_FRAME, Chain, so101_chain
from so101.robot import GRIPPER, RobotSpec, so101

RADIAN_M = 0.1
"""Metres that one radian of wrong direction counts."""
_MOST_STEPS = 60
_LARGEST_STEP_RAD = 0.3
_ARRIVED_RAD = 1e-11
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-6, 1e-14, 1e2


class GripperPose:
    """Forward and inverse kinematics of one arm."""

    def __init__(self, chain: Chain | None = None, robot: RobotSpec | None = None) -> None:
        """Take a chain and its limits, the SO-101's by default."""
        self._chain = chain or so101_chain()
        robot = robot or so101()
        self._lower, self._upper = robot.lower[:GRIPPER], robot.upper[:GRIPPER]

    def forward(self, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the gripper frame in the base frame.

        Args:
            positions: Joint positions [rad]. Shape (joints,).

        Returns:
            Position [m], shape (3,), and rotation matrix, shape (3, 3).
        """
        pose = self._chain.pose(positions, GRASP_FRAME)
        return pose[:3, 3], pose[:3, :3]

    def inverse(self, position: FloatArray, rotation: FloatArray, seed: FloatArray) -> FloatArray:
        """Return joint positions near a seed whose pose is nearest to a wanted one.

        Levenberg-Marquardt on position and rotation error, within the joint limits.

        Args:
            position: Wanted position [m]. Shape (3,).
            rotation: Wanted rotation matrix. Shape (3, 3).
            seed: Where to start [rad]; its gripper is kept. Shape (joints,).

        Returns:
            [rad]. Shape (joints,).
        """
        found = np.array(seed, dtype=np.float64)
        found[:GRIPPER] = np.clip(found[:GRIPPER], self._lower, self._upper)
        damping = _FIRST_DAMPING
        error, rows = self._linearise(found, position, rotation)
        for _ in range(_MOST_STEPS):
            normal = rows.T @ rows + damping * np.eye(GRIPPER)
            step = np.linalg.solve(normal, rows.T @ error)
            step *= min(1.0, _LARGEST_STEP_RAD / max(float(np.abs(step).max()), 1e-300))
            tried = found.copy()
            tried[:GRIPPER] = np.clip(found[:GRIPPER] + step, self._lower, self._upper)
            new_error, new_rows = self._linearise(tried, position, rotation)
            moved = float(np.abs(tried - found).max())
            if new_error @ new_error <= error @ error:
                found, error, rows = tried, new_error, new_rows
                damping = max(damping / 10.0, _LEAST_DAMPING)
            else:
                damping = min(damping * 10.0, _MOST_DAMPING)
            if moved < _ARRIVED_RAD:
                break
        return found

    def _linearise(
        self, positions: FloatArray, position: FloatArray, rotation: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return what is missing, and how each joint changes it."""
        pose, jacobian = self._chain.pose_and_jacobian(positions, GRASP_FRAME)
        turn = 0.5 * np.cross(pose[:3, :3].T, rotation.T).sum(axis=0)  # axis times sine
        error = np.concatenate([position - pose[:3, 3], RADIAN_M * turn])
        rows = jacobian[:, :GRIPPER].copy()
        rows[3:] *= RADIAN_M
        return error, rows
