"""Bags to episodes: columns on the policy grid, joined as the policy joined them live.

Nothing is filled in: a tick without a sample is a gap that says so, and an episode with too many
is refused by name. Images stay compressed.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from so101.data.assembly import Recorded, assemble_episode
from so101.data.bag import Bag, open_bag
from so101.data.custom_data import outcome_from_text
from so101.data.labels import read_labels, resolve_advantage, resolve_outcome
from so101.data.segments import ReaderConfig, find_segments, observation_config
from so101.data.timeline import Timeline, find_namespace, read_timeline
from so101.episode import Episode, Outcome
from so101.errors import BagError
from so101.events import LabelEvent
from so101.topics import LABEL


def read_episode(path: Path, config: ReaderConfig | None = None) -> Episode:
    """Read a bag that holds one episode.

    Raises:
        BagError: The bag is corrupt or foreign, holds another number of episodes, or misses too
            much.
    """
    episodes = read_episodes(path, config)
    if len(episodes) != 1:
        raise BagError(f"{path}: holds {len(episodes)} episodes, expected one")
    return episodes[0]


def read_episodes(path: Path, config: ReaderConfig | None = None) -> list[Episode]:
    """Read every episode of a bag: one per run of the episode topic, else the whole bag.

    Raises:
        BagError: The bag is corrupt or foreign, or an episode misses too much.
    """
    config = config or ReaderConfig()
    bag = open_bag(path)
    timeline = read_timeline(bag, config.joints, find_namespace(bag, config.namespace))
    segments = find_segments(bag, timeline)
    labels = (*timeline.events[LABEL.name], *read_labels(path))
    return [
        _read_segment(bag, timeline, segment, labels, config, is_last=segment is segments[-1])
        for segment in segments
    ]


def _read_segment(
    bag: Bag,
    timeline: Timeline,
    recorded: Recorded,
    labels: Sequence[LabelEvent],
    config: ReaderConfig,
    *,
    is_last: bool,
) -> Episode:
    joining = observation_config(bag, timeline, recorded, config)
    try:
        episode = assemble_episode(timeline, recorded, joining, config.quality)
    except BagError as error:
        raise BagError(f"{bag.path}: {error}") from error
    said = [label for label in labels if label.episode == recorded.facts.id]
    advantage = resolve_advantage(said)
    return replace(
        episode,
        outcome=_find_outcome(bag, recorded, said, is_last=is_last),
        labels={} if advantage is None else {"advantage": advantage},
    )


def _find_outcome(
    bag: Bag, recorded: Recorded, said: Sequence[LabelEvent], *, is_last: bool
) -> Outcome | None:
    told = outcome_from_text(bag.custom_data, str(bag.path))
    if told is Outcome.INCOMPLETE:
        # Its recorder died at the end of the bag: what ended before the last episode is whole.
        told = Outcome.INCOMPLETE if is_last else None
    if bag.is_recovered or told is Outcome.INCOMPLETE:
        return Outcome.INCOMPLETE
    return resolve_outcome(recorded.outcome or told, said)
