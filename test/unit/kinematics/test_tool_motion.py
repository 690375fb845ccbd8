"""Moving the tool by stick: bounded, inside the limits, still at the edge of reach."""

import itertools
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.devices.sticks import HandWish
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.kinematics.tool_motion import ToolMotion, ToolSpeeds
from so101.robot import so101

SPEC, CHAIN, MOTION, SPEEDS = so101(), so101_chain(), ToolMotion(), ToolSpeeds()
DT = 1.0 / 60.0
shares = st.floats(-1.0, 1.0)
wishes = st.builds(
    HandWish, x=shares, y=shares, z=shares, pitch=shares, roll=shares, gripper=shares
)


def tool(positions):
    return CHAIN.pose(positions, GRASP_FRAME)[:3, 3]


def play(positions, wish, ticks):
    path = [positions]
    for _ in range(ticks):
        path.append(MOTION.step(path[-1], wish, DT))
    return np.array(path)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), plan=st.lists(wishes, min_size=1, max_size=4))
def test_every_step_is_bounded_and_inside_the_limits(seed, plan):
    start = np.random.default_rng(seed).uniform(SPEC.lower, SPEC.upper)
    path = np.vstack([start, *(p[1:] for p in _segments(start, plan))])
    assert ((path >= SPEC.lower) & (path <= SPEC.upper)).all()
    steps = np.abs(np.diff(path, axis=0))
    assert steps[:, :5].max() <= SPEEDS.joint * DT + 1e-9
    assert steps[:, 5].max() <= SPEEDS.gripper * DT + 1e-9
    ways = np.abs(np.diff([tool(pose) for pose in path], axis=0))
    assert ways.max() <= SPEEDS.linear * DT + 1e-5


def _segments(start, plan):
    for wish in plan:
        path = play(start, wish, 20)
        start = path[-1]
        yield path


@pytest.mark.parametrize("part", ["x", "y", "z"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_tool_goes_where_the_stick_points_and_nowhere_else(part, sign):
    path = play(SPEC.home, HandWish(**{part: sign}), 18)
    way = tool(path[-1]) - tool(path[0])
    wanted = sign * 18 * DT * SPEEDS.linear * np.eye(3)["xyz".index(part)]
    np.testing.assert_allclose(way, wanted, atol=1e-4)
    pitch = path[:, 1:4].sum(axis=1)
    np.testing.assert_allclose(pitch, pitch[0], atol=1e-3)
    np.testing.assert_array_equal(path[:, 4:], path[:1, 4:].repeat(19, 0))


@pytest.mark.parametrize("part", ["pitch", "roll"])
def test_turning_leaves_the_fingertips_where_they_are(part):
    path = play(SPEC.home, HandWish(**{part: 0.5}), 30)
    still = tool(SPEC.home)[None].repeat(31, 0)
    np.testing.assert_allclose([tool(p) for p in path], still, atol=1e-4)
    assert np.abs(path[-1] - path[0]).max() > 0.1


def test_the_gripper_moves_alone():
    path = play(SPEC.home, HandWish(gripper=1.0), 10)
    np.testing.assert_array_equal(path[:, :5], SPEC.home[None, :5].repeat(11, 0))
    assert path[-1, 5] == pytest.approx(SPEC.home[5] + SPEEDS.gripper * 10 * DT)


@pytest.mark.parametrize("part", ["x", "y", "z"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_at_the_edge_of_reach_it_stands_still_and_comes_back_at_once(part, sign):
    wish = HandWish(**{part: sign})
    path = play(SPEC.home, wish, 1200)
    resting = path[-60:]
    assert np.abs(np.diff(resting, axis=0)).max() < 1e-3  # it does not shiver
    back = play(path[-1], HandWish(**{part: -sign}), 3)
    for before, after in itertools.pairwise(back):  # as fast as tool or joints may
        moved = -sign * (tool(after) - tool(before))["xyz".index(part)]
        is_full = moved > 0.95 * SPEEDS.linear * DT
        assert is_full or (moved > 0.0 and np.abs(after - before).max() > 0.9 * SPEEDS.joint * DT)


def test_no_wish_moves_nothing():
    assert HandWish().is_still and not any(astuple(HandWish()))
    np.testing.assert_array_equal(MOTION.step(SPEC.home, HandWish(), DT), SPEC.home)


def test_an_arm_outside_its_range_counts_as_at_its_end():
    start = SPEC.home.copy()
    start[1] = SPEC.lower[1] - 0.1
    assert MOTION.step(start, HandWish(), DT)[1] == SPEC.lower[1]
