"""Laws of inverse kinematics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.kinematics.ik import GraspTarget, IkSolver
from so101.robot import so101

SOLVER = IkSolver()
near_home = st.lists(st.floats(-0.4, 0.4), min_size=5, max_size=5)


def target_of(positions):
    pose = so101_chain().pose(positions, GRASP_FRAME)
    return GraspTarget(position=pose[:3, 3], approach=pose[:3, 2], opening=-pose[:3, 0])


@given(near_home)
def test_a_reachable_pose_is_found_again(offset):
    robot = so101()
    wanted = robot.home.copy()
    wanted[:5] += offset
    solution = SOLVER.solve(target_of(np.clip(wanted, robot.lower, robot.upper)), [robot.home])
    assert solution.is_reached
    assert solution.position_error_m <= 1.5e-3


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 2**31 - 1))
def test_limits_hold_and_the_verdict_is_true(x, y, z, seed):
    robot = so101()
    target = GraspTarget(position=np.array([x, y, z]), approach=np.array([0.0, 0.0, -1.0]))
    rng = np.random.default_rng(seed)
    solution = SOLVER.solve(target, [robot.home], restarts=1, rng=rng)
    assert (solution.positions >= robot.lower).all()
    assert (solution.positions <= robot.upper).all()
    assert solution.positions[5] == robot.home[5]
    reached = so101_chain().pose(solution.positions, GRASP_FRAME)[:3, 3]
    distance = np.linalg.norm(reached - target.position)
    assert solution.position_error_m == pytest.approx(distance, abs=1e-12)
    assert not solution.is_reached or distance <= 1.5e-3


def test_out_of_reach_is_a_clear_failure():
    far = GraspTarget(position=np.array([0.8, 0.0, 0.1]), approach=np.array([1.0, 0.0, 0.0]))
    solution = SOLVER.solve(far, [so101().home], restarts=2, rng=np.random.default_rng(0))
    assert not solution.is_reached
    assert solution.position_error_m > 0.2


def test_restarts_find_what_the_seed_misses():
    robot = so101()
    wanted = np.array([1.2, 0.3, -0.8, 1.0, -1.5, 0.1])
    bad_seed = np.array([-1.9, -1.7, 1.6, -1.6, 2.8, 0.1])
    solver = IkSolver(max_iterations=25)
    alone = solver.solve(target_of(wanted), [bad_seed])
    helped = solver.solve(target_of(wanted), [bad_seed], restarts=40, rng=np.random.default_rng(1))
    assert not alone.is_reached
    assert helped.is_reached
    assert (helped.positions <= robot.upper).all()


def test_misuse_is_an_error():
    target = target_of(so101().home)
    with pytest.raises(ValueError, match="generator"):
        SOLVER.solve(target, [so101().home], restarts=1)
