"""Inverse kinematics of the five body joints: damped least squares with limits and restarts.

Five joints cannot meet a full pose. The position is met first; the direction of the fingers and
the turn about it come after, by their weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray
from so101.kinematics.chain import GRASP_FRAME, Chain, so101_chain
from so101.robot import GRIPPER, RobotSpec, so101

_MAX_STEP_RAD = 0.3
_DAMPING = 1e-4
_STALLED_RAD = 1e-4
_HOPELESS_AFTER = 20
_HOPELESS_M = 0.02  # a descent this far off by then is not going to arrive


@dataclass(frozen=True, kw_only=True)
class GraspTarget:
    """Where the grasp frame should be.

    Attributes:
        position: Of the grasp frame in the base frame [m]. Shape (3,).
        approach: Unit direction in which the fingers point. Shape (3,).
        opening: Unit direction from the fixed to the moving jaw, normal to ``approach``; None
            leaves the turn about ``approach`` free. Shape (3,).
        approach_weight: Metres that one radian of wrong ``approach`` counts.
        roll_weight: Metres that one radian of wrong ``opening`` counts.
    """

    position: FloatArray
    approach: FloatArray
    opening: FloatArray | None = None
    approach_weight: float = 0.1
    roll_weight: float = 0.05


@dataclass(frozen=True, kw_only=True)
class IkTolerance:
    """Errors up to which a solution counts as reached."""

    position_m: float = 1.5e-3
    approach_rad: float = 0.052
    roll_rad: float = 0.15


@dataclass(frozen=True, kw_only=True)
class IkSolution:
    """The best configuration found.

    Attributes:
        positions: Joint positions inside the limits, the gripper as in the seed [rad].
            Shape (joints,).
        position_error_m: Distance to the target position [m].
        approach_error_rad: Angle to the target's approach direction [rad].
        roll_error_rad: Angle to the target's opening direction [rad].
        is_reached: Whether all errors are within the tolerance; False is the failure value.
    """

    positions: FloatArray
    position_error_m: float
    approach_error_rad: float
    roll_error_rad: float
    is_reached: bool

    @property
    def cost(self) -> float:
        """Weighted sum of the errors, to compare two failures."""
        return self.position_error_m + 0.1 * self.approach_error_rad + 0.05 * self.roll_error_rad


class IkSolver:
    """Solves for the grasp frame of one robot."""

    def __init__(
        self,
        *,
        chain: Chain | None = None,
        robot: RobotSpec | None = None,
        tolerance: IkTolerance | None = None,
        max_iterations: int = 60,
    ) -> None:
        """Take a chain and its limits, the SO-101's by default."""
        self._chain = chain or so101_chain()
        robot = robot or so101()
        self._lower, self._upper = robot.lower[:GRIPPER], robot.upper[:GRIPPER]
        self._tolerance = tolerance or IkTolerance()
        self._max_iterations = max_iterations

    def solve(
        self,
        target: GraspTarget,
        seeds: Sequence[FloatArray],
        *,
        restarts: int = 0,
        rng: np.random.Generator | None = None,
    ) -> IkSolution:
        """Return the first solution reached from the seeds, or the best failure.

        Args:
            target: Where the grasp frame should be.
            seeds: Configurations to start from, in order [rad]. Each of shape (joints,).
            restarts: Random configurations to try after them.
            rng: Draws the restarts; needed when there are any.
        """
        best: IkSolution | None = None
        for seed in [*seeds, *self._draw(seeds[0], restarts, rng)]:
            solution = self._descend(target, seed)
            if solution.is_reached:
                return solution
            if best is None or solution.cost < best.cost:
                best = solution
        if best is None:
            raise ValueError("inverse kinematics needs at least one seed")
        return best

    def _draw(
        self, first: FloatArray, restarts: int, rng: np.random.Generator | None
    ) -> list[FloatArray]:
        if restarts == 0:
            return []
        if rng is None:
            raise ValueError("random restarts need a generator")
        draws = rng.uniform(self._lower, self._upper, (restarts, GRIPPER))
        return [np.concatenate((draw, first[GRIPPER:])) for draw in draws]

    def _descend(self, target: GraspTarget, seed: FloatArray) -> IkSolution:
        positions = np.array(seed, dtype=np.float64)
        damping = _DAMPING * np.eye(GRIPPER)
        for iteration in range(self._max_iterations):
            pose, jacobian = self._chain.pose_and_jacobian(positions, GRASP_FRAME)
            rows, error = _task(target, pose, jacobian[:, :GRIPPER])
            if iteration == _HOPELESS_AFTER and float(error @ error) > _HOPELESS_M**2:
                break
            step = np.linalg.solve(rows.T @ rows + damping, rows.T @ error)
            step *= min(1.0, _MAX_STEP_RAD / max(float(np.abs(step).max()), 1e-12))
            old = positions[:GRIPPER].copy()
            positions[:GRIPPER] = np.clip(old + step, self._lower, self._upper)
            if np.abs(positions[:GRIPPER] - old).max() < _STALLED_RAD:
                break
        return self._judge(target, positions)

    def _judge(self, target: GraspTarget, positions: FloatArray) -> IkSolution:
        pose = self._chain.pose(positions, GRASP_FRAME)
        distance = float(np.linalg.norm(target.position - pose[:3, 3]))
        approach = _angle(target.approach, pose[:3, 2])
        roll = 0.0 if target.opening is None else _angle(target.opening, -pose[:3, 0])
        tolerance = self._tolerance
        return IkSolution(
            positions=positions,
            position_error_m=distance,
            approach_error_rad=approach,
            roll_error_rad=roll,
            is_reached=distance <= tolerance.position_m
            and approach <= tolerance.approach_rad
            and roll <= tolerance.roll_rad,
        )


def _task(
    target: GraspTarget, pose: FloatArray, jacobian: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the weighted Jacobian and error of all rows of a target."""
    approach = pose[:3, 2]
    turn = _cross(approach, target.approach)
    rows = [jacobian[:3], target.approach_weight * jacobian[3:]]
    errors = [target.position - pose[:3, 3], target.approach_weight * turn]
    if target.opening is not None:
        roll = float(approach @ _cross(-pose[:3, 0], target.opening))
        rows.append(target.roll_weight * (approach @ jacobian[3:])[None, :])
        errors.append(np.array([target.roll_weight * roll]))
    return np.concatenate(rows), np.concatenate(errors)


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.array(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


def _angle(a: FloatArray, b: FloatArray) -> float:
    return float(np.arccos(np.clip(a @ b, -1.0, 1.0)))
