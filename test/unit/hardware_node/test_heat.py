"""Laws of the slow arm and of the pauses between tries."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_node.backoff import LONGEST_NS, Backoff
from hardware_node.heat import SlowWhenHot
from so101.clock import CONTROL_GRID
from so101.robot import so101

SPEC = so101()
OFFSETS = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=40)


@given(OFFSETS)
def test_a_cool_arm_follows_to_the_last_bit(offsets):
    slow = SlowWhenHot(SPEC, 0.2, lambda: False)
    for tick, offset in enumerate(offsets):
        goal = SPEC.home + offset
        assert np.array_equal(slow(goal, None, CONTROL_GRID.stamp(tick)), goal)


@pytest.mark.case(6)
@given(OFFSETS)
def test_a_hot_arm_keeps_to_its_share_of_the_speed_and_gets_there(offsets):
    slow = SlowWhenHot(SPEC, 0.2, lambda: True)
    last = slow(SPEC.home, None, 0)
    wishes = [SPEC.home + offset for offset in offsets] + [SPEC.home] * 60
    for tick, wish in enumerate(wishes, start=1):
        goal = slow(wish, None, CONTROL_GRID.stamp(tick))
        assert (np.abs(goal - last) <= 0.2 * SPEC.max_velocity / 60 + 1e-12).all()
        last = goal
    assert np.array_equal(last, SPEC.home)


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=20))
def test_pauses_double_up_to_a_bound_and_begin_anew(waits_ns):
    backoff, now_ns, pauses = Backoff(), 0, []
    for wait_ns in waits_ns:
        now_ns += wait_ns
        if backoff.is_due(now_ns):
            backoff.failed(now_ns)
            pauses.append(
                next(p for p in range(0, LONGEST_NS + 1, 1000) if backoff.is_due(now_ns + p))
            )
    assert all(later == min(2 * earlier, LONGEST_NS) for earlier, later in pairwise(pauses))
    backoff.reset()
    assert backoff.is_due(0)
