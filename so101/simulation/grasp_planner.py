"""Where to put the gripper to pick up a cube: grasp and pre-grasp poses of the arm."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.kinematics.ik import GraspTarget, IkSolver
from so101.robot import GRIPPER, so101
from so101.simulation.tasks.pick import CUBE_SIZE_M

OPEN_RAD = 0.6
"""Gripper position for approaching: 60 mm between the jaws."""
CLOSED_RAD = 0.0
"""Gripper goal for holding: the cube stops the jaw at about 0.1 rad."""

_HALF_M = 0.5 * CUBE_SIZE_M
_PRE_GRASP_M = 0.06  # the fingertips clear the cube's top by 3 cm
_FIXED_JAW_M = 0.0125  # from the grasp frame to the fixed pad
_JAW_GAP_M = 0.007  # between the fixed pad and the cube: a finger must not land on the cube
_TIP_CLEARANCE_M = 0.004
_GRASP_HEIGHT_M = 0.0165  # pointing straight down, the fingertips are then 4 mm above the desk
_TILTS_RAD = (0.0, 0.2, 0.4, 0.6, 0.8)
_RAD_PER_M = 100.0  # a grip 1 cm too high is as bad as a turn by 1 rad
_FACES_RAD = (0.0, 0.5 * np.pi, np.pi, 1.5 * np.pi)
_PAN_X_M = 0.0388353

# Corners of the lowest parts of both jaws, in gripper_link and in moving_jaw_so101_v1_link [m].
_FIXED_TIP = np.array(
    [[x, y, z, 1.0] for x, z in ((-0.0118, -0.1049), (-0.0090, -0.1035)) for y in (-0.006, 0.006)]
)
_MOVING_TIP = np.array(
    [[x, y, z, 1.0] for x, y in ((-0.0042, -0.0813), (-0.0112, -0.0808)) for z in (0.0129, 0.0249)]
)


@dataclass(frozen=True, kw_only=True)
class GraspPlan:
    """Arm poses for one grasp, gripper open.

    Attributes:
        pre_grasp: Above the cube [rad]. Shape (joints,).
        halfway: On the straight line between the two [rad]. Shape (joints,).
        grasp: Around the cube [rad]. Shape (joints,).
        seen: Where the cube seemed to be [m]. Shape (3,).
    """

    pre_grasp: FloatArray
    halfway: FloatArray
    grasp: FloatArray
    seen: FloatArray


class GraspPlanner:
    """Plans grasps of the cube by inverse kinematics."""

    def __init__(self) -> None:
        """Prepare the solver."""
        self._solver = IkSolver()
        self._home = so101().home

    def plan(self, cube: FloatArray, current: FloatArray) -> GraspPlan | None:
        """Return the grasp nearest to the present pose, or None when none can be reached.

        The gripper points straight down where the arm allows it, else tilts outward.

        Args:
            cube: Pose of the cube, x y z qx qy qz qw [m]. Shape (7,).
            current: Present joint positions [rad]. Shape (joints,).
        """
        for tilt in _TILTS_RAD:
            plans = [plan for plan in self._plans(cube, tilt) if plan is not None]
            if plans:
                return min(plans, key=lambda plan: _effort(plan, current))
        return None

    def raised(self, positions: FloatArray) -> FloatArray:
        """Return a pose with the gripper straight above where it is, else home.

        Args:
            positions: Joint positions [rad]. Shape (joints,).
        """
        pose = so101_chain().pose(positions, GRASP_FRAME)
        position = pose[:3, 3].copy()
        position[2] = _HALF_M + _PRE_GRASP_M
        target = GraspTarget(position=position, approach=pose[:3, 2], approach_weight=0.01)
        solution = self._solver.solve(target, [positions])
        if solution.position_error_m < _HALF_M:
            return solution.positions
        return _with_gripper(self._home, float(positions[GRIPPER]))

    def _plans(self, cube: FloatArray, tilt: float) -> Iterator[GraspPlan | None]:
        bearing = np.arctan2(cube[1], cube[0] - _PAN_X_M)
        radial = np.array([np.cos(bearing), np.sin(bearing), 0.0])
        approach = np.sin(tilt) * radial - np.cos(tilt) * np.array([0.0, 0.0, 1.0])
        yaw = cube_yaw(cube)
        for face in _FACES_RAD:
            normal = np.array([np.cos(yaw + face), np.sin(yaw + face), 0.0])
            opening = normal - (normal @ approach) * approach
            yield self._plan_face(cube[:3], approach, opening / np.linalg.norm(opening))

    def _plan_face(
        self, cube: FloatArray, approach: FloatArray, opening: FloatArray
    ) -> GraspPlan | None:
        position = cube + opening * (_FIXED_JAW_M - _HALF_M - _JAW_GAP_M)
        # A first guess of the height, then what the fingertips of the solution need.
        position[2] = max(_HALF_M, _GRASP_HEIGHT_M)
        seed = self._seed(position, opening)
        grasp = self._solve(position, approach, opening, seed)
        if grasp is None:
            return None
        lowest = min(fingertip_height(grasp), fingertip_height(_with_gripper(grasp, CLOSED_RAD)))
        if lowest < _TIP_CLEARANCE_M:
            position[2] += _TIP_CLEARANCE_M - lowest
            grasp = self._solve(position, approach, opening, grasp)
            if grasp is None:
                return None
        up = np.array([0.0, 0.0, _PRE_GRASP_M])
        halfway = self._solve(position + 0.5 * up, approach, opening, grasp)
        if halfway is None:
            return None
        pre_grasp = self._solve(position + up, approach, opening, halfway)
        if pre_grasp is None:
            return None
        return GraspPlan(pre_grasp=pre_grasp, halfway=halfway, grasp=grasp, seen=cube.copy())

    def _seed(self, position: FloatArray, opening: FloatArray) -> FloatArray:
        """Return home turned to the cube, with the roll that suits the opening direction."""
        robot = so101()
        seed = _with_gripper(self._home, OPEN_RAD)
        seed[0] = -np.arctan2(position[1], position[0] - _PAN_X_M)
        pose = so101_chain().pose(seed, GRASP_FRAME)
        wanted = np.arctan2(opening[1], opening[0])
        present = np.arctan2(-pose[1, 0], -pose[0, 0])
        # Of a gripper that points down, the heading grows with the roll.
        seed[4] += (wanted - present + np.pi) % (2.0 * np.pi) - np.pi
        return np.clip(seed, robot.lower, robot.upper)

    def _solve(
        self,
        position: FloatArray,
        approach: FloatArray,
        opening: FloatArray,
        seed: FloatArray,
    ) -> FloatArray | None:
        target = GraspTarget(position=position, approach=approach, opening=opening)
        solution = self._solver.solve(target, [seed])
        return solution.positions if solution.is_reached else None


def cube_yaw(cube: FloatArray) -> float:
    """Return the heading of a horizontal edge of the cube, whichever face it lies on [rad].

    Args:
        cube: Pose, x y z qx qy qz qw. Shape (7,).
    """
    x, y, z, w = cube[3:]
    axes = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
            [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
        ]
    )
    edge = axes[np.argmin(np.abs(axes[:, 2]))]
    return float(np.arctan2(edge[1], edge[0]))


def fingertip_height(positions: FloatArray) -> float:
    """Return the height of the lowest point of both jaws above the desk [m].

    Args:
        positions: Joint positions [rad]. Shape (joints,).
    """
    chain = so101_chain()
    fixed = _FIXED_TIP @ chain.pose(positions, "gripper_link")[2]
    moving = _MOVING_TIP @ chain.pose(positions, "moving_jaw_so101_v1_link")[2]
    return float(min(fixed.min(), moving.min()))


def _effort(plan: GraspPlan, current: FloatArray) -> float:
    """Return how far the arm has to turn, and how badly the cube would sit in the jaws."""
    turn = float(np.abs(plan.pre_grasp - current)[:GRIPPER].max())
    height = float(so101_chain().pose(plan.grasp, GRASP_FRAME)[2, 3])
    return turn + _RAD_PER_M * (height - _HALF_M)


def _with_gripper(positions: FloatArray, gripper: float) -> FloatArray:
    changed = np.array(positions)
    changed[GRIPPER] = gripper
    return changed
