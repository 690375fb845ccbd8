"""Laws of the retreat: an overloaded joint lets go by 2°, in steps, and stays out of the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_node.overload import MOST_OVERLOADS, RETREAT_RAD, OverloadRetreat
from so101.errors import HardwareError
from so101.robot import so101

SPEC = so101()
PERIOD_S = 1.0 / 60.0
STEP = SPEC.max_velocity * PERIOD_S
NONE = np.zeros(6, dtype=bool)


def only(joint):
    mask = NONE.copy()
    mask[joint] = True
    return mask


def test_without_overload_goals_pass_unchanged():
    retreat = OverloadRetreat(SPEC, PERIOD_S)
    retreat.note(NONE, SPEC.home, SPEC.home)
    assert retreat.apply(SPEC.home + 0.05, SPEC.home) is not None
    assert np.array_equal(retreat.apply(SPEC.home + 0.05, SPEC.home), SPEC.home + 0.05)


@pytest.mark.case(8)
@given(st.integers(0, 5), st.sampled_from([-1.0, 1.0]), st.floats(0.0, 0.3))
def test_it_lets_go_by_two_degrees_within_the_velocity_limit(joint, side, push):
    retreat, measured = OverloadRetreat(SPEC, PERIOD_S), SPEC.home
    goal = measured.copy()
    goal[joint] += side * max(push, 1e-6)
    wish, last = goal.copy(), goal
    retreat.note(only(joint), measured, goal)
    for _ in range(30):
        sent = retreat.apply(wish, last)
        assert (np.abs(sent - last) <= STEP + 1e-12).all()
        assert np.array_equal(np.delete(sent, joint), np.delete(wish, joint))
        last = sent
    assert last[joint] == pytest.approx(measured[joint] - side * RETREAT_RAD)
    assert retreat.counts[joint] == 1


@given(st.integers(0, 5), st.sampled_from([-1.0, 1.0]))
def test_who_withdraws_is_followed_again_without_a_step(joint, side):
    retreat, measured = OverloadRetreat(SPEC, PERIOD_S), SPEC.home
    wish = measured.copy()
    wish[joint] += side * 0.2
    last = wish
    retreat.note(only(joint), measured, wish)
    retreat.note(NONE, measured, wish)
    for tick in range(200):
        wish = wish.copy()
        wish[joint] -= side * STEP[joint] / 2 * (tick < 40)
        sent = retreat.apply(wish, last)
        assert (np.abs(sent - last) <= STEP + 1e-12).all()
        last = sent
    assert not retreat.is_active
    assert np.array_equal(last, wish)


@pytest.mark.case(8)
def test_an_alarm_that_lasts_counts_once_and_the_third_one_asks_for_a_person():
    retreat = OverloadRetreat(SPEC, PERIOD_S)
    for count in range(1, MOST_OVERLOADS):
        for _ in range(5):
            retreat.note(only(1), SPEC.home, SPEC.home + 0.1)
        assert retreat.counts[1] == count
        retreat.note(NONE, SPEC.home, SPEC.home)
    with pytest.raises(HardwareError, match="shoulder_lift: overloaded 3 times"):
        retreat.note(only(1), SPEC.home, SPEC.home + 0.1)
    retreat.clear()
    retreat.note(only(1), SPEC.home, SPEC.home + 0.1)
    assert retreat.counts[1] == 1
