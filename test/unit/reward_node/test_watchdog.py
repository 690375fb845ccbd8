"""Whoever waits long says once for what; nothing else comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_node.watchdog import Wait, Watchdog

BOUND_S = 60.0
ARM = Wait(what="the arm: it is disarmed")
LEARNER = Wait(what="the learner to fine-tune")


def said(looks, bound_s=BOUND_S):
    """Return what is said at looks of (wait, seconds since the last look)."""
    watchdog, now_s, words = Watchdog(bound_s), 1000.0, []
    for wait, later_s in looks:
        now_s += later_s
        words.append(watchdog.look(wait, now_s))
    return words


def test_it_speaks_after_the_bound_and_once():
    looks = [(ARM, 0.0), (ARM, 59.0), (ARM, 1.0), (ARM, 600.0), (ARM, 600.0)]
    assert said(looks) == [None, None, "60 s for the arm: it is disarmed", None, None]


def test_another_cause_waits_anew_and_ends_what_was_announced():
    looks = [(ARM, 0.0), (ARM, 70.0), (LEARNER, 1.0), (LEARNER, 60.0), (None, 1.0)]
    assert said(looks) == [
        None,
        "70 s for the arm: it is disarmed",
        "",
        "60 s for the learner to fine-tune",
        "",
    ]


def test_progress_begins_the_wait_anew():
    steps = [Wait(what="the learner to fine-tune", progress=step) for step in range(100)]
    assert set(said([(wait, 59.0) for wait in steps])) == {None}


def test_what_comes_again_is_said_again():
    once = [(ARM, 0.0), (ARM, 60.0), (None, 0.0)]
    assert [word for word in said(once * 2) if word] == ["60 s for the arm: it is disarmed"] * 2


waits = st.sampled_from([None, ARM, LEARNER, Wait(what=LEARNER.what, progress=1)])


@given(st.lists(st.tuples(waits, st.floats(0.0, 100.0)), max_size=40))
def test_it_never_speaks_of_what_is_not_waited_for_nor_before_the_bound(looks):
    since_s, spoken, before = 0.0, False, None
    for (wait, later_s), words in zip(looks, said(looks), strict=True):
        since_s = since_s + later_s if wait == before else 0.0
        if wait != before:
            assert words == ("" if spoken else None)
            spoken = False
        elif words is not None:
            assert wait is not None and wait.what in words
            assert since_s >= BOUND_S - 1e-6 and not spoken
            spoken = True
        before = wait


@pytest.mark.parametrize("bound_s", [1.0, 60.0])
def test_nothing_is_never_waited_for(bound_s):
    assert said([(None, 1e6)] * 3, bound_s) == [None] * 3


def test_what_must_not_wait_is_said_at_the_next_look():
    hot = Wait(what="the robot: it is hot", patience_s=0.0)
    looks = [(ARM, 0.0), (hot, 1.0), (hot, 1.0), (hot, 1.0), (None, 1.0)]
    assert said(looks) == [None, None, "1 s for the robot: it is hot", None, ""]
