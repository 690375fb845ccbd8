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
from so101.data.labels import merge_labels, read_labels, resolve_advantage, resolve_outcome
from so101.data.segments import ReaderConfig, find_segments, observation_config
from so101.data.timeline import Timeline, find_namespace, read_timeline
from so101.data.value_series import ValueSeries, align_series, check_ticks, read_series
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
    labels = merge_labels(timeline.events[LABEL.name], read_labels(path))
    episodes = [_read_segment(bag, timeline, segment, labels, config) for segment in segments]
    series = read_series(path)
    return [_add_values(*one, series, path) for one in zip(episodes, segments, strict=True)]


def check_series(path: Path, series: ValueSeries) -> None:
    """Refuse numbers whose ticks are not those of their episode.

    Raises:
        BagError: The bag cannot be read, does not hold the episode, or a tick is none of it.
    """
    bag, joints = open_bag(path), ReaderConfig().joints
    timeline = read_timeline(bag, joints, find_namespace(bag, None))
    spans = [
        (recorded.start_ns, recorded.end_ns)
        for recorded in find_segments(bag, timeline)
        if recorded.facts.id == series.episode
    ]
    if not spans:
        raise BagError(f"{path}: no episode {series.episode!r}")
    check_ticks(series, spans[0])


def _read_segment(
    bag: Bag,
    timeline: Timeline,
    recorded: Recorded,
    labels: Sequence[LabelEvent],
    config: ReaderConfig,
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
        outcome=_find_outcome(bag, recorded, said),
        labels={} if advantage is None else {"advantage": advantage},
    )


def _add_values(
    episode: Episode, recorded: Recorded, series: Sequence[ValueSeries], path: Path
) -> Episode:
    said = [one for one in series if one.episode == recorded.facts.id]
    span_ns = (recorded.start_ns, recorded.end_ns)
    try:
        return replace(episode, values=align_series(said, episode.stamps_ns, span_ns))
    except BagError as error:
        raise BagError(f"{path}: {error}") from error


def _find_outcome(bag: Bag, recorded: Recorded, said: Sequence[LabelEvent]) -> Outcome | None:
    told = outcome_from_text(bag.custom_data, str(bag.path))
    if bag.is_recovered or told is Outcome.INCOMPLETE:
        return Outcome.INCOMPLETE
    return resolve_outcome(recorded.outcome or told, said)
