"""The line planner: straight, within limits, on the grid, refused when it would collide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.clock import CONTROL_GRID
from so101.control.clearance import Clearance
from so101.control.trajectory import validate
from so101.errors import CollidingLineError, MotionError
from so101.kinematics.collision import CollisionModel
from so101.kinematics.planner import check_way, plan_line, plan_motion
from so101.robot import so101

SPEC = so101()
seeds = st.integers(0, 2**32 - 1)
STAMP = CONTROL_GRID.stamp(600)


def two_poses(seed):
    return np.random.default_rng(seed).uniform(SPEC.lower, SPEC.upper, (2, 6))


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0.05, 1.0))
def test_a_line_is_straight_ends_at_the_goal_and_keeps_the_limits(seed, speed):
    start, goal = two_poses(seed)
    plan = plan_line(start, goal, SPEC, None, speed=speed, stamp_ns=STAMP)
    validate(plan, SPEC.joints)
    np.testing.assert_array_equal(plan.positions[-1], goal)
    np.testing.assert_array_equal(plan.velocities[-1], np.zeros(6))
    way = goal - start
    share = (plan.positions - start) @ way / (way @ way)
    np.testing.assert_allclose(plan.positions, start + share[:, None] * way, atol=1e-9)
    assert (np.diff(share) > -1e-9).all()
    path = np.vstack((start, start, start, plan.positions, goal, goal))
    limits = (SPEC.max_velocity, SPEC.max_acceleration, SPEC.max_jerk)
    for order, limit in enumerate(limits, start=1):
        peak = np.abs(np.diff(path, n=order, axis=0)).max(axis=0) * 60**order
        assert (peak <= speed * limit * (1 + 1e-6)).all()


def test_points_are_due_at_control_ticks():
    plan = plan_line(SPEC.home, SPEC.home + 0.1, SPEC, None, stamp_ns=STAMP)
    due = [STAMP + t for t in plan.times_ns]
    assert due == [CONTROL_GRID.stamp(601 + k) for k in range(len(due))]
    off_grid = plan_line(SPEC.home, SPEC.home + 0.1, SPEC, None, stamp_ns=STAMP + 5)
    np.testing.assert_allclose(np.diff(off_grid.times_ns), 1e9 / 60, atol=1)


def test_no_way_at_all_is_a_plan_that_stays():
    plan = plan_line(SPEC.home, SPEC.home, SPEC, None, stamp_ns=STAMP)
    np.testing.assert_array_equal(plan.positions, SPEC.home[None].repeat(len(plan.times_ns), 0))


@pytest.mark.parametrize(
    ("joint", "way_rad", "speed"), [(5, 5e-3, 0.5), (5, 3e-3, 0.3), (2, 1e-2, 1)]
)
def test_a_way_as_long_as_one_kind_of_profile_reaches_has_a_plan(joint, way_rad, speed):
    """There ruckig alone finds none: the full acceleration is reached for no time at all."""
    start = SPEC.home.copy()
    start[joint] += way_rad
    plan = plan_line(start, SPEC.home, SPEC, None, speed=speed, stamp_ns=STAMP)
    np.testing.assert_array_equal(plan.positions[-1], SPEC.home)


def test_it_takes_no_longer_than_the_limits_demand():
    goal = SPEC.home + np.array([1.0, 0, 0, 0, 0, 0])
    plan = plan_line(SPEC.home, goal, SPEC, None, speed=0.3, stamp_ns=STAMP)
    assert 1.0 / 0.9 < plan.times_ns[-1] * 1e-9 < 1.0 / 0.9 + 0.2


@pytest.mark.parametrize("name", ["home", "rest", "zero"])
def test_named_poses_are_reached_from_one_another(name):
    for start in SPEC.poses.values():
        plan_line(start, SPEC.poses[name], SPEC, CollisionModel(), stamp_ns=STAMP)


def test_a_line_through_the_desk_names_the_pair():
    goal = np.array([0.0, 0.9, 0.5, 1.2, 0.0, 0.1])
    with pytest.raises(MotionError, match=r"desk and \w+ would come within -?\d+\.\d mm after"):
        plan_line(SPEC.home, goal, SPEC, CollisionModel(), stamp_ns=STAMP)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_a_plan_that_is_not_refused_keeps_the_margins(seed):
    model = CollisionModel()
    _, goal = two_poses(seed)
    try:
        plan = plan_line(SPEC.home, goal, SPEC, model, stamp_ns=STAMP)
    except MotionError:
        worst = [model.worst(SPEC.home + s * (goal - SPEC.home)) for s in np.linspace(0, 1, 150)]
        assert min(c.excess for c in worst) < 1e-4
        return
    assert min(model.worst(pose).excess for pose in plan.positions[::4]) >= 0.0


def test_a_violation_may_be_left_but_not_deepened():
    model = CollisionModel()
    deep = np.array([0.0, 0.9, 0.5, 1.2, 0.0, 0.1])
    deepened = deep + np.array([0.0, 0.2, 0.0, 0.0, 0.0, 0.0])
    assert model.worst(deep).excess < 0.0
    plan = plan_line(deep, SPEC.home, SPEC, model, stamp_ns=STAMP)
    assert model.worst(plan.positions[-1]).excess > 0.0
    with pytest.raises(MotionError, match="would come within"):
        plan_line(deep, deepened, SPEC, model, stamp_ns=STAMP)


@pytest.mark.parametrize(
    ("start", "goal", "speed", "reason"),
    [
        (SPEC.home, SPEC.upper + 0.1, 0.3, "goal shoulder_pan=2.0199 rad is outside"),
        (SPEC.home, np.full(6, np.nan), 0.3, "goal is not 6 finite"),
        (np.full(6, np.inf), SPEC.home, 0.3, "start is not 6 finite"),
        (SPEC.home, np.zeros(5), 0.3, "goal is not 6 finite"),
        (SPEC.home, SPEC.home, 0.0, "speed 0.0 is not"),
        (SPEC.home, SPEC.home, 1.5, "speed 1.5 is not"),
    ],
)
def test_impossible_requests_are_refused(start, goal, speed, reason):
    with pytest.raises(MotionError, match=reason):
        plan_line(start, goal, SPEC, None, speed=speed, stamp_ns=STAMP)


FOLDED = np.array([-1.05, -1.65, 1.49, 1.14, -0.49, 0.45])


def detour(start, goal, seed=0, model=None):
    rng = np.random.default_rng(seed)
    return plan_motion(start, goal, SPEC, model or CollisionModel(), rng=rng, stamp_ns=STAMP)


def test_a_free_line_is_taken_as_it_is():
    goal = SPEC.poses["rest"]
    plan, line = detour(SPEC.home, goal), plan_line(SPEC.home, goal, SPEC, None, stamp_ns=STAMP)
    np.testing.assert_array_equal(plan.positions, line.positions)


@pytest.mark.parametrize("seed", range(5))
def test_where_the_line_collides_the_arm_goes_around(seed):
    model = CollisionModel()
    with pytest.raises(CollidingLineError):
        plan_line(FOLDED, SPEC.home, SPEC, model, stamp_ns=STAMP)
    plan = detour(FOLDED, SPEC.home, seed)
    validate(plan, SPEC.joints)
    np.testing.assert_array_equal(plan.positions[-1], SPEC.home)
    assert min(model.worst(pose).excess for pose in plan.positions) >= 0.0
    path = np.vstack((FOLDED, FOLDED, plan.positions, SPEC.home))
    assert (np.abs(np.diff(path, axis=0)) * 60 <= 0.3 * SPEC.max_velocity * (1 + 1e-6)).all()
    bends = np.abs(np.diff(path, n=2, axis=0)) * 3600
    assert (bends <= 0.3 * SPEC.max_acceleration * (1 + 1e-6)).all()
    due = [STAMP + t for t in plan.times_ns]
    assert due == [CONTROL_GRID.stamp(601 + k) for k in range(len(due))]


def test_the_same_seed_gives_the_same_way_around():
    one, same, other = (detour(FOLDED, SPEC.home, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.positions, same.positions)
    assert not np.array_equal(one.positions, other.positions)


class Wall:
    """Poses between two pan angles are barred, unless the shoulder is lifted back."""

    def near(self, positions):
        is_in = abs(positions[0]) < 0.2 and positions[1] > -1.0
        distance = 0.0 if is_in else 0.05
        return (Clearance(pair=("arm", "wall"), distance=distance, stop=0.01, slow=0.02),)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_wall_is_passed_where_it_ends(seed):
    start, goal = np.zeros(6), np.zeros(6)
    start[0], goal[0] = -0.8, 0.8
    plan = detour(start, goal, seed, Wall())
    assert all(c.excess >= 0.0 for pose in plan.positions for c in Wall().near(pose))
    np.testing.assert_array_equal(plan.positions[-1], goal)


class Room:
    """Only poses near the start are free."""

    def near(self, positions):
        distance = 0.05 if abs(positions[0]) < 0.5 or positions[0] > 1.0 else 0.0
        return (Clearance(pair=("arm", "wall"), distance=distance, stop=0.01, slow=0.02),)


def test_no_way_and_a_barred_goal_are_said():
    goal = np.array([1.5, 0, 0, 0, 0, 0.1])
    with pytest.raises(MotionError, match=r"arm and wall would come within .* no way around"):
        detour(np.zeros(6), goal, 0, Room())
    goal[0] = 0.8
    with pytest.raises(MotionError, match=r"at the goal arm and wall would be within 0\.0 mm"):
        detour(np.zeros(6), goal, 0, Room())


def test_a_way_is_looked_at_between_its_corners():
    """Both ends are free, and what is in between is not."""
    model, points = CollisionModel(), SPEC.home[None]
    with pytest.raises(CollidingLineError, match="would come within"):
        check_way(FOLDED, points, model)
    check_way(SPEC.home, points, model)
    check_way(FOLDED, FOLDED[None], model)
