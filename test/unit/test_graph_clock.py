"""The graph's clock agrees with the date as it was when the graph began, and stays so."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.clock import NS_PER_S
from so101.errors import ClockError, ConfigError
from so101.graph_clock import AHEAD_NS, ANCHOR, GraphClock, check_past, measured_anchor

HOUR_NS = 3600 * NS_PER_S
DATE_NS = 1_800_000_000 * NS_PER_S


class Machine:
    """Steady time and a date that is set."""

    def __init__(self):
        self.steady, self.date = 5 * NS_PER_S, DATE_NS

    def clock(self, **environ):
        return GraphClock.of(environ, steady_ns=lambda: self.steady, system_ns=lambda: self.date)


@given(st.lists(st.tuples(st.integers(0, HOUR_NS), st.integers(-HOUR_NS, HOUR_NS))))
def test_it_begins_with_the_date_and_counts_steady_time(steps):
    machine = Machine()
    clock = machine.clock()
    assert clock.now_ns() == machine.date
    set_ns = 0
    for passed_ns, moved_ns in steps:
        before_ns = clock.now_ns()
        machine.steady += passed_ns
        machine.date += passed_ns + moved_ns
        set_ns += moved_ns
        assert clock.now_ns() - before_ns == passed_ns
        assert clock.behind_ns(lambda: machine.date) == set_ns


@given(st.integers(-HOUR_NS, HOUR_NS))
def test_who_is_started_again_after_the_date_was_set_has_its_graphs_clock(moved_ns):
    machine = Machine()
    first = machine.clock()
    environ = {ANCHOR: str(first.anchor_ns)}
    machine.date += moved_ns
    assert machine.clock(**environ).now_ns() == first.now_ns()
    assert machine.clock().now_ns() == machine.date  # by hand, without it: another one


@pytest.mark.parametrize("text", ["", "soon", "1e18", str(-DATE_NS), str(2**32 * NS_PER_S)])
def test_an_anchor_that_makes_no_clock_is_refused_by_name(text):
    with pytest.raises(ConfigError, match=ANCHOR):
        Machine().clock(**{ANCHOR: text})


def test_a_reading_that_was_held_up_does_not_count():
    steady = itertools.accumulate([0, 10, 0, 900, 0, 2, 0, 50, 0, 70], initial=100)
    readings = iter([*steady])
    begun = []

    def steady_ns():
        begun.append(next(readings))
        return begun[-1]

    assert measured_anchor(steady_ns, lambda: begun[-1] + 7) in range(5, 9)


def test_what_was_measured_later_than_now_is_refused_and_the_past_is_not_judged():
    for stamp_ns in (0, DATE_NS - HOUR_NS, DATE_NS, DATE_NS + AHEAD_NS):
        check_past(stamp_ns, DATE_NS)
    with pytest.raises(ClockError, match=r"3600\.000 s ahead"):
        check_past(DATE_NS + HOUR_NS, DATE_NS)
