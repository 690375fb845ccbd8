"""Where episodes lie in simulated time, and how far it runs ahead of its judge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation_node.episode_time import (
    GAP_NS,
    LEAD_NS,
    JudgedEpisode,
    is_cancelled,
    next_start_ns,
)
from so101.clock import CONTROL_GRID, NS_PER_S
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent

FACTS = EpisodeFacts(id="demo-0001")
OTHER = EpisodeFacts(id="demo-0000")
stamps = st.integers(0, 10**15)


def event(state, facts=FACTS, stamp_ns=NS_PER_S):
    return EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=facts)


@given(ended_ns=stamps, spent=st.lists(st.integers(0, GAP_NS - 1), min_size=2, max_size=2))
def test_the_next_start_does_not_depend_on_how_long_the_reset_took(ended_ns, spent):
    starts = {next_start_ns(ended_ns, ended_ns + time_ns) for time_ns in spent}
    assert starts == {ended_ns + GAP_NS}


@given(ended_ns=stamps, last_ns=stamps)
def test_the_next_start_is_later_than_everything_before(ended_ns, last_ns):
    start_ns = next_start_ns(ended_ns, last_ns)
    assert start_ns > last_ns and start_ns > ended_ns
    assert start_ns - max(ended_ns, last_ns) <= GAP_NS


def test_time_waits_for_the_judge_of_a_running_episode():
    judged = JudgedEpisode()
    assert judged.may_pass(10**12)
    judged.on_reset(FACTS, NS_PER_S)
    assert judged.may_pass(NS_PER_S)  # the first tick is judged only when it was published
    assert not judged.may_pass(NS_PER_S + LEAD_NS)
    judged.on_reward(NS_PER_S + 1)
    assert judged.may_pass(NS_PER_S + LEAD_NS)
    assert not judged.may_pass(NS_PER_S + LEAD_NS + 1)


def test_a_reset_that_was_done_before_it_was_taken_back_counts_for_the_next_start():
    judged = JudgedEpisode()
    judged.on_reset(FACTS, 10 * NS_PER_S)
    judged.on_episode(event(EpisodeState.DISCARDED, stamp_ns=NS_PER_S))  # it did not see the reset
    assert next_start_ns(judged.ended_ns, 10 * NS_PER_S) == 10 * NS_PER_S + GAP_NS


@given(rewards=st.lists(st.integers(0, 200), max_size=30), seed=st.randoms())
def test_the_lead_is_bounded_whatever_comes_when(rewards, seed):
    judged, tick, judged_tick = JudgedEpisode(), 60, 60
    judged.on_reset(FACTS, CONTROL_GRID.stamp(tick))
    for ahead in rewards:
        while seed.random() < 0.9 and judged.may_pass(CONTROL_GRID.stamp(tick)):
            tick += 1
        judged_tick = max(judged_tick, min(tick, judged_tick - 3 + ahead))
        judged.on_reward(CONTROL_GRID.stamp(judged_tick))
        assert CONTROL_GRID.stamp(tick - 1) - CONTROL_GRID.stamp(judged_tick) < LEAD_NS


@pytest.mark.parametrize("state", [s for s in EpisodeState if s.is_end])
def test_nobody_judges_what_comes_after_the_end(state):
    judged = JudgedEpisode()
    judged.on_reset(FACTS, NS_PER_S)
    judged.on_episode(event(state, OTHER))
    judged.on_episode(event(EpisodeState.RUNNING))
    assert not judged.may_pass(NS_PER_S + LEAD_NS)
    judged.on_episode(event(state, stamp_ns=2 * NS_PER_S))
    assert judged.may_pass(10**12)
    assert judged.ended_ns == 2 * NS_PER_S


def test_only_its_own_end_takes_a_reset_back():
    assert is_cancelled(FACTS, event(EpisodeState.DISCARDED))
    assert not is_cancelled(FACTS, event(EpisodeState.DISCARDED, OTHER))
    assert not is_cancelled(FACTS, event(EpisodeState.RUNNING))
