"""Stretches of an episode without gaps, each an episode of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from so101.arrays import BoolArray
from so101.episode import Episode, Outcome

_COLUMNS = (
    *("stamps_ns", "positions", "velocities", "effort", "commands", "actions", "sources"),
    *("rewards", "terminated", "truncated", "objects", "wishes"),
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of an episode without gaps: constant rate is all that a LeRobotDataset knows.

    Attributes:
        episode: The stretch as an episode of its own.
        number: Its number within the episode, from 1.
        count: Parts of the episode.
        is_cut: Whether the episode went on behind it.
    """

    episode: Episode
    number: int = 1
    count: int = 1
    is_cut: bool = False


def split_at_gaps(episode: Episode, min_steps: int = 2) -> tuple[list[Part], int]:
    """Cut an episode where a stream was missing; nothing is filled in.

    A part that does not reach the end of the episode is truncated there.

    Args:
        episode: The episode.
        min_steps: Shorter stretches are left out.

    Returns:
        The parts, and the number of ticks that are in none of them.
    """
    is_gap = np.zeros(len(episode), dtype=np.bool_) if episode.is_gap is None else episode.is_gap
    spans = [span for span in _stretches(~is_gap) if span[1] - span[0] >= min_steps]
    parts = []
    for number, (begin, end) in enumerate(spans, start=1):
        part = cut(episode, begin, end)
        is_cut = end < len(episode)
        if is_cut:
            last = np.arange(end - begin) == end - begin - 1
            part = replace(part, truncated=last & ~part.terminated, outcome=Outcome.TRUNCATED)
        if len(spans) > 1:
            facts = replace(part.facts, id=f"{episode.facts.id}.part{number}")
            part = replace(part, facts=facts)
        parts.append(Part(episode=part, number=number, count=len(spans), is_cut=is_cut))
    return parts, len(episode) - sum(end - begin for begin, end in spans)


def cut(episode: Episode, begin: int, end: int) -> Episode:
    """Return the steps from ``begin`` to before ``end``, without chunks and auxiliary arrays."""
    columns: dict[str, Any] = {name: getattr(episode, name) for name in _COLUMNS}
    rows: dict[str, Any] = {
        name: None if column is None else column[begin:end] for name, column in columns.items()
    }
    return replace(
        episode,
        **rows,
        images={camera: jpegs[begin:end] for camera, jpegs in episode.images.items()},
        planned={},
        aux={},
        is_gap=np.zeros(end - begin, dtype=np.bool_),
    )


def _stretches(is_whole: BoolArray) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_whole.astype(np.int8), [0]))))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
