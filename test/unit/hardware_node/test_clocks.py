"""Whose clock is not the arm's is named, with by how much; who was only held up is not."""

from hypothesis import given
from hypothesis import strategies as st

from hardware_node.clocks import FORGOTTEN_NS, REPORTS, Clocks
from so101.clock import NS_PER_S
from so101.events import ERROR, OK, WARN
from so101.graph_clock import ANCHOR, GraphClock, measured_anchor

HOUR_NS = 3600 * NS_PER_S


def clock_at(*, set_by_ns=0):
    """The arm's clock, on a machine whose date was set meanwhile."""
    return GraphClock(anchor_ns=measured_anchor() - set_by_ns)


def hear(clocks, clock, lates_ns, name="wrist_camera"):
    for late_ns in lates_ns:
        now_ns = clock.now_ns()
        clocks.hear(name, now_ns - late_ns, now_ns)


@given(st.lists(st.integers(0, 60 * NS_PER_S), max_size=20), st.integers(0, NS_PER_S // 2))
def test_a_process_that_is_held_up_at_times_has_the_arms_clock(lates_ns, least_ns):
    clocks, clock = Clocks("hardware_node"), clock_at()
    for late_ns in lates_ns:
        hear(clocks, clock, [late_ns, least_ns])
    event = clocks.report(clock)
    assert (event.level, clocks.news) == (OK, "")


def test_another_clock_is_an_error_that_names_who_how_much_and_what_to_do():
    for late_ns, words in ((HOUR_NS, "3600.000 s behind the arm"), (-HOUR_NS, "ahead of the arm")):
        clocks, clock = Clocks("hardware_node"), clock_at()
        hear(clocks, clock, [late_ns] * REPORTS, "wrist_camera: camera")
        event = clocks.report(clock)
        assert event.level == ERROR
        assert "wrist_camera: 3600.000 s" in event.message and words in event.message
        assert f"{ANCHOR}={clock.anchor_ns}" in event.message
        assert clocks.news == event.message
        clocks.report(clock)
        assert clocks.news == ""  # said once, told every second


def test_who_is_gone_is_forgotten():
    clocks, clock = Clocks("hardware_node"), clock_at()
    now_ns = clock.now_ns() - FORGOTTEN_NS - NS_PER_S
    for _ in range(REPORTS):
        clocks.hear("wrist_camera", now_ns - HOUR_NS, now_ns)
    assert clocks.report(clock).level == OK


def test_a_date_that_was_set_is_a_warning():
    for set_by_ns, words in ((HOUR_NS, "behind the date"), (-HOUR_NS, "ahead of the date")):
        clocks, clock = Clocks("hardware_node"), clock_at(set_by_ns=set_by_ns)
        event = clocks.report(clock)
        assert (event.level, clocks.news) == (WARN, event.message)
        assert words in event.message and "restart it" in event.message
