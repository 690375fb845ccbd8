"""Which steps of columns are meant. Pure."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from so101.arrays import IntArray
from so101.data.training.columns import Columns
from so101.data.training.sampling import StepSampler
from so101.episode import SOURCE_CODES, ControlSource, EpisodeFacts, Outcome
from so101.errors import ConfigError

EpisodeTest = Callable[[EpisodeFacts, Outcome | None], bool]
"""Tells from facts and outcome whether an episode is meant."""

_MAX_SAMPLERS = 8


def find_step(columns: Columns, episode: str | int, tick: int) -> int:
    """Return the number of the step at a tick of an episode.

    Args:
        columns: The episodes.
        episode: Its id, or its number.
        tick: Counted from the episode's first tick, gaps and idle ones included.

    Raises:
        ConfigError: There is no such episode, or it has no such step: a gap, or left out as idle.
    """
    if isinstance(episode, str):
        if episode not in columns.episodes:
            raise ConfigError(f"dataset: no episode {episode!r}")
        episode = columns.episodes.index(episode)
    first, past = np.searchsorted(columns.episode, [episode, episode + 1]).tolist()
    step: int = first + int(np.searchsorted(columns.ticks[first:past], tick))
    if step == past or columns.ticks[step] != tick:
        raise ConfigError(f"dataset: episode {episode}: tick {tick} is a gap, idle or no tick")
    return step


def select_steps(
    columns: Columns,
    *,
    where: EpisodeTest | None = None,
    sources: Collection[ControlSource] | None = None,
    length: int = 1,
) -> IntArray:
    """Return the numbers of steps, ascending; see `EpisodeDataset.steps`. Shape (n,)."""
    usable = np.arange(len(columns)) + length - 1 <= columns.segment_last
    if where is not None:
        told = zip(columns.facts, columns.outcomes, strict=True)
        usable &= np.array([where(*one) for one in told], dtype=np.bool_)[columns.episode]
    if sources is not None:
        usable &= np.isin(columns.sources, [SOURCE_CODES[source] for source in sources])
    found: IntArray = np.flatnonzero(usable)
    return found


class EpisodeSamplers:
    """Samplers by weight of the episodes and length, made when they are first asked for."""

    def __init__(self, columns: Columns, *, is_episode_uniform: bool) -> None:
        """Prepare to draw from columns; see `StepSampler`."""
        self._columns, self._is_episode_uniform = columns, is_episode_uniform
        self._known: dict[object, StepSampler] = {}

    def get(self, weights: Sequence[float] | None, length: int) -> StepSampler:
        """Return the sampler of steps that have ``length`` steps ahead, itself included."""
        key = (None if weights is None else tuple(weights), length)
        if key not in self._known:
            if len(self._known) > _MAX_SAMPLERS:  # weights that change with every call
                self._known.clear()
            steps = select_steps(self._columns, length=length)
            counts = np.bincount(self._columns.episode[steps], minlength=len(self._columns.facts))
            self._known[key] = StepSampler(
                np.split(steps, np.cumsum(counts)[:-1]),
                is_episode_uniform=self._is_episode_uniform,
                weights=weights,
            )
        return self._known[key]
