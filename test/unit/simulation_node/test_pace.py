"""Pacing: simulated time never runs ahead of its multiple of real time, nor catches up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation_node.pace import LATE_NS, Pace
from so101.clock import NS_PER_S

speeds = st.sampled_from([0.25, 0.5, 1.0, 2.0])
MS = 1_000_000


def test_without_a_speed_nobody_waits():
    pace = Pace(0.0)
    assert all(pace.ahead_s(10 * k * NS_PER_S, k) == 0.0 for k in range(5))


@given(speed=speeds, costs=st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_whoever_waits_as_told_keeps_the_pace(speed, costs):
    """Each tick costs some milliseconds; waiting as told puts it exactly on time, or late."""
    pace, now_ns, stamp_ns = Pace(speed), 5 * NS_PER_S, 7 * NS_PER_S
    origin = now_ns
    for tick, cost in enumerate(costs):
        now_ns += cost * MS if tick else 0
        wait_s = pace.ahead_s(stamp_ns + tick * 20 * MS, now_ns)
        due_ns = origin + tick * 20 * MS / speed
        assert wait_s == pytest.approx(max(0.0, (due_ns - now_ns) * 1e-9), abs=1e-9)
        if due_ns - now_ns < -LATE_NS:
            origin = now_ns - tick * 20 * MS / speed
        now_ns += round(wait_s * NS_PER_S)


@given(speed=speeds, pause_ns=st.integers(LATE_NS + 1, 100 * NS_PER_S))
def test_lost_time_is_never_caught_up(speed, pause_ns):
    pace = Pace(speed)
    pace.ahead_s(0, 0)
    assert pace.ahead_s(0, pause_ns) == 0.0
    assert pace.ahead_s(NS_PER_S, pause_ns) == pytest.approx(1.0 / speed)


def test_a_little_lateness_is_caught_up():
    pace = Pace(1.0)
    pace.ahead_s(0, 0)
    assert pace.ahead_s(100 * MS, 200 * MS) == 0.0
    assert pace.ahead_s(400 * MS, 300 * MS) == pytest.approx(0.1)


def test_a_jump_of_simulated_time_costs_no_real_time():
    pace = Pace(1.0)
    pace.ahead_s(0, 0)
    pace.restart()
    assert pace.ahead_s(10 * NS_PER_S, 1) == 0.0
    assert pace.ahead_s(10 * NS_PER_S + 50 * MS, 1) == pytest.approx(0.05)
