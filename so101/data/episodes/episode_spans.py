"""Stretches and moments of an episode, for whoever draws or describes it. Pure arithmetic."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from so101.arrays import BoolArray, FloatArray, IntArray
from so101.clock import NS_PER_S, POLICY_HZ
from so101.episode import Episode

FEW_REWARDS = 12
"""So many can be told one by one; more of them are a curve."""


def elapsed_s(episode: Episode) -> FloatArray:
    """Return the time of every tick since the first [s]. Shape (steps,)."""
    return np.asarray((episode.stamps_ns - episode.stamps_ns[0]) / NS_PER_S, dtype=np.float64)


def end_s(episode: Episode) -> float:
    """Return the time at which the last tick's period is over [s]."""
    return episode.duration_s + 1 / POLICY_HZ


def runs(values: IntArray | BoolArray) -> Iterator[tuple[int, int, int]]:
    """Yield (value, first, past-last) of every stretch of equal values."""
    if not len(values):
        return
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    for first, past in pairwise(edges):
        yield int(values[first]), first, past


def spread_ticks(steps: int, count: int) -> tuple[int, ...]:
    """Return up to ``count`` evenly spaced ticks of an episode, its first and last among them."""
    if steps <= count:
        return tuple(range(steps))
    places = np.linspace(0, steps - 1, count)
    return tuple(int(place) for place in np.round(places))


def few_rewards(episode: Episode) -> FloatArray:
    """Return the rewards of an episode that has few, else zeros. Shape (steps,)."""
    rewards = episode.rewards
    return rewards if np.count_nonzero(rewards) <= FEW_REWARDS else np.zeros_like(rewards)


def rewards_between(rewards: FloatArray, ticks: tuple[int, ...]) -> tuple[float, ...]:
    """Return what was earned up to each tick, since the tick before it in the list."""
    total = np.concatenate(([0.0], np.cumsum(rewards)))
    ends = [0, *(tick + 1 for tick in ticks)]
    return tuple(float(total[past] - total[first]) for first, past in pairwise(ends))
