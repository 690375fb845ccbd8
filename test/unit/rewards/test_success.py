"""Laws of the pick's success, on made-up motions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.clock import POLICY_GRID
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.rewards.success import FailureKind, PickSuccess
from so101.robot import so101

HOME = so101().home
AWAY = HOME + np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
ON_DESK = np.array([0.22, 0.0, 0.0125])


def held(positions, offset=(0.0, 0.0, 0.0)):
    pose = so101_chain().pose(positions, GRASP_FRAME)
    return pose[:3, 3] + pose[:3, :3] @ np.array(offset)


def beside(distance):
    return ON_DESK + np.array([distance, 0.0, 0.0])


def play(moments, first_tick=0):
    """Rate (positions, cube) pairs, one per policy tick."""
    rater = PickSuccess()
    samples = []
    for tick, (positions, cube) in enumerate(moments, start=first_tick):
        objects = np.array([[*cube, 0.0, 0.0, 0.0, 1.0]])
        samples.append(rater.update(POLICY_GRID.stamp(tick), positions, objects))
    return rater, samples


def test_a_null_policy_scores_zero():
    rater, samples = play([(HOME, ON_DESK)] * 360)
    assert not any(sample.is_success or sample.probability for sample in samples)
    assert rater.failure_kind() is FailureKind.NEVER_TOUCHED


@given(st.integers(0, 10**6))
def test_success_needs_a_fifth_of_a_second(first_tick):
    _, samples = play([(HOME, ON_DESK)] + [(HOME, held(HOME))] * 10, first_tick)
    assert [sample.is_success for sample in samples] == [False] * 7 + [True] * 4
    assert samples[-1].probability == 1.0
    assert samples[-1].stable_grip


@pytest.mark.parametrize(
    ("positions", "cube", "kind"),
    [
        (AWAY, held(AWAY), FailureKind.NOT_HOME),
        (HOME, held(HOME, (0.0, 0.0, 0.04)), FailureKind.MISSED_GRASP),  # beyond the jaws
        (HOME, np.array([*held(HOME)[:2], 0.049]), FailureKind.MISSED_GRASP),  # too low
        (HOME, beside(0.01), FailureKind.MISSED_GRASP),
        (HOME, beside(0.002), FailureKind.NEVER_TOUCHED),
    ],
)
def test_every_condition_counts(positions, cube, kind):
    rater, samples = play([(HOME, ON_DESK)] + [(positions, cube)] * 30)
    assert not samples[-1].is_success
    assert rater.failure_kind() is kind


@pytest.mark.parametrize(("height", "is_success"), [(0.0499, False), (0.0501, True)])
def test_the_cube_must_be_above_five_centimetres(height, is_success):
    """At the grasp point in both cases, so that nothing but the height decides."""
    at_grasp = np.array([*held(HOME)[:2], height])
    assert np.linalg.norm(at_grasp - held(HOME)) < 0.02
    _, samples = play([(HOME, ON_DESK)] + [(HOME, at_grasp)] * 30)
    assert samples[-1].lifted == samples[-1].is_success == is_success


def test_a_break_starts_the_wait_again():
    good, bad = (HOME, held(HOME)), (AWAY, held(AWAY))
    rater, samples = play([good] * 6 + [bad] + [good] * 6)
    assert not any(sample.is_success for sample in samples)
    assert rater.failure_kind() is FailureKind.NOT_SETTLED


def test_a_drop_is_seen_and_can_be_made_good():
    lifted, lost = (AWAY, held(AWAY)), (AWAY, ON_DESK)
    rater, samples = play([(HOME, ON_DESK), lifted, lifted, lost, lost])
    assert [sample.dropped for sample in samples] == [False, False, False, True, True]
    assert samples[-1].drops == 1
    assert rater.failure_kind() is FailureKind.DROPPED
    _, again = play([lifted, lost, lifted] + [(HOME, held(HOME))] * 7)
    assert again[-1].is_success and not again[-1].dropped and again[-1].drops == 1


@given(st.lists(st.floats(-0.01, 0.01), min_size=2, max_size=12))
def test_slip_is_the_largest_motion_in_the_gripper(offsets):
    poses = [HOME + 0.01 * i * np.array([1, 0, 0, 0, 0, 0]) for i in range(len(offsets))]
    _, samples = play(
        [(pose, held(pose, (0.0, y, 0.0))) for pose, y in zip(poses, offsets, strict=True)]
    )
    expected = max(abs(y - offsets[0]) for y in offsets)
    assert samples[-1].slip_m == pytest.approx(expected, abs=1e-9)
    assert samples[-1].stable_grip == (expected < 0.005) or abs(expected - 0.005) < 1e-9


def test_success_stays_until_reset():
    rater, _ = play([(HOME, held(HOME))] * 8)
    objects = np.array([[*ON_DESK, 0, 0, 0, 1]])
    assert rater.update(POLICY_GRID.stamp(100), AWAY, objects).is_success
    rater.reset()
    assert not rater.update(POLICY_GRID.stamp(101), AWAY, objects).is_success
    assert rater.failure_kind() is FailureKind.NEVER_TOUCHED
