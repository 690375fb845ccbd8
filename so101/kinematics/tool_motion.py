"""Moves the tool as a stick says, tick by tick: inverse kinematics by joint velocities.

Five joints meet a position, the pitch of the fingers and their roll. The pitch is the sum of
shoulder lift, elbow and wrist, whose axes are parallel; the roll is the last joint's own angle.
That leaves four equations for four joints, solved by Newton's steps from the last tick's pose.
"""

from dataclasses import astuple, dataclass, replace

import numpy as np

from so101.arrays import FloatArray
from so101.devices.sticks import HandWish
from so101.kinematics.chain import GRASP_FRAME, Chain, so101_chain
from so101.robot import GRIPPER, RobotSpec, so101

ROLL = GRIPPER - 1
_PITCHING = slice(1, 4)
_DAMPING = 1e-8
_MOST_STEPS = 6
_SAME_M, _SAME_RAD = 1e-6, 1e-5
_MOST_TRIES = 4
_ALMOST = 0.98
_PARTS = ("x", "y", "z", "pitch", "roll", "gripper")


@dataclass(frozen=True, kw_only=True)
class ToolSpeeds:
    """Largest speeds.

    Attributes:
        linear: Of the grasp frame along each axis of the base [m/s].
        angular: Pitch and roll [rad/s].
        gripper: Of the jaw [rad/s].
        joint: Of any joint but the gripper [rad/s]. Near a singular pose a slow tool needs fast
            joints; there the tool gets slower.
    """

    linear: float = 0.08
    angular: float = 0.8
    gripper: float = 1.2
    joint: float = 1.1


class ToolMotion:
    """Turns wishes into joint positions. It remembers nothing: each step starts where it is told.

    Where a step cannot be taken it is shortened, then its parts are tried one by one, so that the
    tool slides along the edge of its reach; what cannot be done at all is left.
    """

    def __init__(
        self,
        speeds: ToolSpeeds | None = None,
        *,
        chain: Chain | None = None,
        robot: RobotSpec | None = None,
    ) -> None:
        """Take speeds, a chain and its limits, the SO-101's by default."""
        self._speeds = speeds or ToolSpeeds()
        self._chain = chain or so101_chain()
        robot = robot or so101()
        self._lower, self._upper = robot.lower, robot.upper

    def step(self, positions: FloatArray, wish: HandWish, duration_s: float) -> FloatArray:
        """Return where the joints are after one step.

        Args:
            positions: Where they are [rad]; those outside their range count as at its end.
                Shape (joints,).
            wish: What the person wants.
            duration_s: Time of the step [s].

        Returns:
            Inside the limits [rad]. Shape (joints,).
        """
        start = np.clip(positions, self._lower, self._upper)
        share = 1.0
        for _ in range(_MOST_TRIES):
            found = self._reach(start, wish, share * duration_s)
            slower = 0.5
            if found is not None:
                slower = self._speeds.joint * duration_s / max(_peak(found - start), 1e-12)
                if slower >= 1.0:
                    return found
            share *= _ALMOST * slower
        return self._slide(start, wish, duration_s)

    def _slide(self, start: FloatArray, wish: HandWish, duration_s: float) -> FloatArray:
        """Return where the joints are when only those parts are done that can be."""
        at = start
        for part in _PARTS:
            alone = replace(HandWish(), **{part: getattr(wish, part)})
            found = self._reach(at, alone, duration_s)
            if found is not None and _peak(found - start) <= self._speeds.joint * duration_s:
                at = found
        return at

    def _reach(self, start: FloatArray, wish: HandWish, moving_s: float) -> FloatArray | None:
        """Return the joints after moving for a while, or None where the limits are in the way."""
        x, y, z, pitch, roll, gripper = astuple(wish)
        speeds = self._speeds
        moved = start.copy()
        moved[ROLL] += roll * speeds.angular * moving_s
        moved[GRIPPER] += gripper * speeds.gripper * moving_s
        moved = np.clip(moved, self._lower, self._upper)
        if not any((x, y, z, pitch, roll)):
            return moved
        way = speeds.linear * moving_s * np.array([x, y, z])
        target = self._chain.pose(start, GRASP_FRAME)[:3, 3] + way
        turned = float(start[_PITCHING].sum()) - pitch * speeds.angular * moving_s
        found = self._solve(moved, target, turned)
        if found is None or (found < self._lower).any() or (found > self._upper).any():
            return None
        return found

    def _solve(self, seed: FloatArray, target: FloatArray, pitch: float) -> FloatArray | None:
        """Return joints near a seed that meet position [m] and pitch [rad], or None."""
        found = seed.copy()
        rows = np.zeros((4, 4))
        rows[3, _PITCHING] = 1.0
        error = np.empty(4)
        for _ in range(_MOST_STEPS):
            pose, jacobian = self._chain.pose_and_jacobian(found, GRASP_FRAME)
            error[:3] = target - pose[:3, 3]
            error[3] = pitch - found[_PITCHING].sum()
            if np.abs(error[:3]).max() < _SAME_M and abs(error[3]) < _SAME_RAD:
                return found
            rows[:3] = jacobian[:3, :4]
            normal = rows.T @ rows + _DAMPING * np.eye(4)
            found[:4] += np.linalg.solve(normal, rows.T @ error)
        return None


def _peak(moved: FloatArray) -> float:
    """Return how far the fastest joint moved, the gripper apart [rad]."""
    return float(np.abs(moved[:GRIPPER]).max())
