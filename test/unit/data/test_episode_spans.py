"""Stretches and moments of an episode."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from factories import make_episode
from hypothesis import given
from hypothesis import strategies as st

from so101.data.episodes.episode_spans import (
    FEW_REWARDS,
    elapsed_s,
    end_s,
    few_rewards,
    rewards_between,
    runs,
    spread_ticks,
)


@given(st.lists(st.integers(0, 3), max_size=30))
def test_runs_put_together_are_the_values(values):
    found = list(runs(np.array(values, dtype=np.int64)))
    assert [value for value, first, past in found for _ in range(first, past)] == values
    assert all(a[0] != b[0] and a[2] == b[1] for a, b in pairwise(found))


@given(steps=st.integers(1, 5000), count=st.integers(2, 20))
def test_ticks_are_spread_evenly_from_the_first_to_the_last(steps, count):
    ticks = spread_ticks(steps, count)
    assert (ticks[0], ticks[-1], len(ticks)) == (0, steps - 1, min(steps, count))
    assert len({*ticks}) == len(ticks)
    assert np.ptp(np.diff(ticks)) <= 1 if len(ticks) > 1 else steps == 1


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(2, 9))
def test_what_was_earned_between_the_ticks_is_everything(rewards, count):
    ticks = spread_ticks(len(rewards), count)
    earned = rewards_between(np.array(rewards, dtype=np.float64), ticks)
    assert len(earned) == len(ticks)
    assert earned[0] == rewards[0]
    assert sum(earned) == sum(rewards)


def test_time_counts_from_the_first_tick_to_the_end_of_the_last():
    episode = make_episode(steps=61)
    assert elapsed_s(episode)[[0, 30, 60]].tolist() == [0.0, 1.0, 2.0]
    assert end_s(episode) == pytest.approx(61 / 30)


@pytest.mark.parametrize(("count", "is_few"), [(FEW_REWARDS, True), (FEW_REWARDS + 1, False)])
def test_many_rewards_are_not_told_one_by_one(count, is_few):
    rewards = np.zeros(40)
    rewards[:count] = 0.5
    episode = replace(make_episode(steps=40), rewards=rewards)
    assert few_rewards(episode).any() == is_few
