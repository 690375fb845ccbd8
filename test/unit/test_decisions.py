"""Laws of the decision clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.clock import POLICY_GRID
from so101.decisions import DecisionClock, after
from so101.errors import ConfigError

stamps = st.integers(0, 10**15)
ticks = st.integers(1, 60)


@given(start_ns=stamps, decision_ticks=ticks, decisions=st.integers(1, 30))
def test_prompt_decisions_are_evenly_spaced_from_the_first_tick(
    start_ns, decision_ticks, decisions
):
    clock = DecisionClock()
    clock.start(start_ns, decision_ticks)
    first = POLICY_GRID.ceil(start_ns)
    for k in range(decisions):
        assert clock.due_ns == POLICY_GRID.stamp(first + k * decision_ticks)
        assert clock.count == k
        clock.decided(clock.due_ns)


@given(start_ns=stamps, decision_ticks=ticks, late=st.lists(st.integers(0, 10**10), max_size=20))
def test_a_slow_source_never_decides_about_the_past(start_ns, decision_ticks, late):
    clock = DecisionClock()
    clock.start(start_ns, decision_ticks)
    first = due = POLICY_GRID.ceil(start_ns)
    for late_ns in late:
        newest_ns = POLICY_GRID.stamp(due) + late_ns
        clock.decided(newest_ns)
        after_ns = clock.due_ns
        next_due = POLICY_GRID.floor(after_ns)
        assert next_due > due
        assert (next_due - first) % decision_ticks == 0  # still this episode's decision ticks
        assert POLICY_GRID.stamp(next_due + decision_ticks) > newest_ns  # not over yet
        if next_due > due + decision_ticks:  # skipped only what was over
            assert after_ns <= newest_ns
        due = next_due


@given(start_ns=stamps, decision_ticks=ticks, late_ticks=st.integers(-100, 1000))
def test_a_decision_is_given_up_when_its_successor_is_due(start_ns, decision_ticks, late_ticks):
    clock, other = DecisionClock(), DecisionClock()
    clock.start(start_ns, decision_ticks)
    other.start(start_ns, decision_ticks)
    due = POLICY_GRID.floor(clock.due_ns)
    newest_ns = POLICY_GRID.stamp(max(0, due + late_ticks))
    is_given_up = clock.skip(newest_ns)
    assert is_given_up == (late_ticks >= decision_ticks)
    other.decided(newest_ns)
    assert clock.due_ns == (other.due_ns if is_given_up else POLICY_GRID.stamp(due))
    assert clock.count == 0
    assert not clock.skip(newest_ns)


@given(stamp_ns=stamps, n=ticks, m=ticks)
def test_decision_ticks_add_up(stamp_ns, n, m):
    assert after(after(stamp_ns, n), m) == after(stamp_ns, n + m)
    assert POLICY_GRID.is_tick(after(stamp_ns, n))


def test_a_stopped_clock_owes_nothing():
    clock = DecisionClock()
    clock.start(0, 8)
    clock.stop()
    clock.decided(10**9)
    assert not clock.skip(10**9)
    assert clock.due_ns is None
    assert clock.count == 0


def test_a_new_episode_starts_counting_again():
    clock = DecisionClock()
    clock.start(0, 8)
    clock.decided(0)
    clock.start(10**9 + 1, 4)
    assert clock.count == 0
    assert clock.due_ns == POLICY_GRID.stamp(31)


@pytest.mark.parametrize("decision_ticks", [0, -8])
def test_a_source_without_decisions_has_no_clock(decision_ticks):
    clock = DecisionClock()
    with pytest.raises(ConfigError, match="at least 1"):
        clock.start(0, decision_ticks)
    assert clock.due_ns is None


@given(start_ns=stamps, decision_ticks=ticks, late_ticks=st.integers(-100, 1000))
def test_what_came_to_nothing_is_decided_again_on_the_newest_tick(
    start_ns, decision_ticks, late_ticks
):
    clock = DecisionClock()
    clock.start(start_ns, decision_ticks)
    first = POLICY_GRID.ceil(start_ns)
    newest_ns = POLICY_GRID.stamp(max(0, first + late_ticks))
    clock.decided(clock.due_ns)
    clock.again(newest_ns)
    assert clock.due_ns == POLICY_GRID.stamp(max(first, POLICY_GRID.floor(newest_ns)))
    clock.decided(newest_ns)
    assert clock.due_ns > max(newest_ns, POLICY_GRID.stamp(first))


@given(start_ns=stamps, decision_ticks=ticks, late_ticks=st.integers(-100, 1000))
def test_overdue_are_all_decisions_from_the_due_one_to_the_newest_tick(
    start_ns, decision_ticks, late_ticks
):
    clock = DecisionClock()
    assert clock.overdue(start_ns) == 0
    clock.start(start_ns, decision_ticks)
    first = POLICY_GRID.ceil(start_ns)
    newest = max(0, first + late_ticks)
    due = range(first, newest + 1, decision_ticks)
    assert clock.overdue(POLICY_GRID.stamp(newest)) == len(due)


def test_stopped_it_owes_nothing_again():
    clock = DecisionClock()
    clock.again(10**9)


@given(start_ns=stamps, decision_ticks=ticks, waited_ns=st.integers(-(10**9), 10**10))
def test_a_postponed_decision_is_the_first_tick_from_then_on_and_never_sooner(
    start_ns, decision_ticks, waited_ns
):
    clock = DecisionClock()
    clock.start(start_ns, decision_ticks)
    clock.decided(clock.due_ns)
    due_ns = clock.due_ns
    free_ns = max(0, due_ns + waited_ns)
    clock.postpone(free_ns)
    assert clock.due_ns == max(due_ns, POLICY_GRID.stamp(POLICY_GRID.ceil(free_ns)))
    assert clock.count == 1
    clock.stop()
    clock.postpone(free_ns)
    assert clock.due_ns is None
