"""Bags to episodes: columns on the policy grid, joined as the policy joined them live.

Nothing is filled in: a tick without a sample is a gap that says so, and an episode with too many
is refused by name. Images stay compressed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from so101.arrays import IntArray
from so101.clock import nanoseconds
from so101.data.bags.bag import open_bag
from so101.data.bags.custom_data import check_schema_version, outcome_from_text
from so101.data.episodes.assembly import Recorded, assemble_episode
from so101.data.episodes.robot_topics import find_namespace
from so101.data.episodes.segments import ReaderConfig, find_segments, observation_config
from so101.data.episodes.timeline import Timeline, read_timeline
from so101.data.labels.labels import merge_labels, read_labels, resolve_advantage, resolve_outcome
from so101.data.labels.value_series import ValueSeries, align_series, check_ticks, read_series
from so101.episode import Episode, Outcome
from so101.errors import BagError
from so101.events import LabelEvent
from so101.topics import LABEL

_AFTER_S = 1.0  # samples that arrive after the end and belong to it


def read_episode(path: Path, config: ReaderConfig | None = None) -> Episode:
    """Read a bag that holds one episode; see `EpisodeReader`.

    Raises:
        BagError: The bag is corrupt or foreign, holds another number of episodes, or misses too
            much.
    """
    reader = EpisodeReader(path, config)
    if len(reader) != 1:
        raise BagError(f"{path}: holds {len(reader)} episodes, expected one")
    return reader.read(0)


def read_episodes(path: Path, config: ReaderConfig | None = None) -> list[Episode]:
    """Read every episode of a bag; see `EpisodeReader`.

    Raises:
        BagError: The bag is corrupt or foreign, or an episode misses too much.
    """
    return list(EpisodeReader(path, config))


def check_series(path: Path, series: ValueSeries) -> None:
    """Refuse numbers whose ticks are not those of their episode.

    Raises:
        BagError: The bag cannot be read, does not hold the episode, or a tick is none of it.
    """
    found = [one for one in EpisodeReader(path).segments if one.facts.id == series.episode]
    if not found:
        raise BagError(f"{path}: no episode {series.episode!r}")
    check_ticks(series, (found[0].start_ns, found[0].end_ns))


class EpisodeReader:
    """Opens a bag once, says what is in it, and reads any of its episodes.

    An episode lasts from where the episode topic says that it runs to where it says that it is
    over; a bag without that topic is one episode. Messages are decoded when the first episode is
    asked for, so that every bag can be looked at, also one of another robot.

    Attributes:
        path: The bag.
        config: How it is read.
        bag: Its messages, with the contract's topic names.
    """

    def __init__(self, path: Path, config: ReaderConfig | None = None) -> None:
        """Open a bag directory, or a single .mcap or .db3 file.

        Raises:
            BagError: It is missing, corrupt, not a bag or of a later version.
        """
        self.path = path
        self.config = config or ReaderConfig()
        bag = open_bag(path)
        check_schema_version(bag.custom_data, str(path))
        front = f"/{(self.config.namespace or '').strip('/')}/".replace("//", "/")
        names = {theirs: front + ours for theirs, ours in self.config.renames.items()}
        self.bag = bag.renamed(names) if names else bag

    @property
    def damage(self) -> str:
        """Why the bag is not whole; empty when it is."""
        return self.bag.damage

    @property
    def streams(self) -> Mapping[str, tuple[str, int]]:
        """ROS type and number of messages of every topic."""
        counts = self.bag.counts()
        return {topic: (kind, counts[topic]) for topic, kind in self.bag.types.items()}

    @cached_property
    def segments(self) -> tuple[Recorded, ...]:
        """Where its episodes lie, and what is known about each.

        Raises:
            BagError: It holds no robot, or its messages contradict themselves.
        """
        return tuple(find_segments(self.bag, self._timeline))

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.segments)

    def __iter__(self) -> Iterator[Episode]:
        """Read one episode after the other."""
        return (self.read(number) for number in range(len(self)))

    def readable(self) -> tuple[list[Episode], dict[str, str]]:
        """Read every episode that is good enough; the others are named, each with its reason."""
        episodes: list[Episode] = []
        refused: dict[str, str] = {}
        for number, recorded in enumerate(self.segments):
            try:
                episodes.append(self.read(number))
            except BagError as error:
                refused[recorded.facts.id] = str(error)
        return episodes, refused

    def read(self, number: int) -> Episode:
        """Read one episode.

        Args:
            number: Its place in ``segments``.

        Raises:
            BagError: It misses too much; the message names episode, topic, reason and limit.
        """
        recorded = self.segments[number]
        timeline = self._cut(recorded)
        joining = observation_config(self.bag, timeline, recorded, self.config)
        try:
            episode = assemble_episode(timeline, recorded, joining, self.config.quality)
            series = [one for one in self._series if one.episode == recorded.facts.id]
            span_ns = (recorded.start_ns, recorded.end_ns)
            values = align_series(series, episode.stamps_ns, span_ns)
        except BagError as error:
            raise BagError(f"{self.path}: {error}") from error
        advantage = resolve_advantage(self.said(number))
        return replace(
            episode,
            outcome=self.outcome(number),
            labels={} if advantage is None else {"advantage": advantage},
            values=values,
        )

    def said(self, number: int) -> tuple[LabelEvent, ...]:
        """Return what was said of an episode, in the bag and beside it, oldest first."""
        episode = self.segments[number].facts.id
        return tuple(label for label in self._labels if label.episode == episode)

    def outcome(self, number: int) -> Outcome | None:
        """Return how an episode went by what was recorded and said; None when nobody says."""
        recorded = self.segments[number].outcome
        told = outcome_from_text(self.bag.custom_data, str(self.path))
        # What ended before the last episode is whole, even if the recorder died in that one.
        is_whole = recorded is not None and number < len(self) - 1
        if (self.damage and not (is_whole and self.bag.is_cut)) or (
            told is Outcome.INCOMPLETE and not is_whole
        ):
            return Outcome.INCOMPLETE
        return resolve_outcome(recorded or told, self.said(number))

    @cached_property
    def _timeline(self) -> Timeline:
        prefix = find_namespace(self.bag, self.config.namespace)
        is_by_arrival = self.config.stamps == "arrival"
        return read_timeline(self.bag, self.config.joints, prefix, by_arrival=is_by_arrival)

    @cached_property
    def _labels(self) -> tuple[LabelEvent, ...]:
        return merge_labels(self._timeline.events[LABEL.name], read_labels(self.path))

    @cached_property
    def _series(self) -> tuple[ValueSeries, ...]:
        return read_series(self.path)

    @cached_property
    def _stamps(self) -> IntArray:
        return np.array([sample.stamp_ns for sample in self._timeline.samples], dtype=np.int64)

    def _cut(self, recorded: Recorded) -> Timeline:
        """Return the timeline with the samples of one episode only."""
        before_ns = nanoseconds(self.config.quality.max_command_age_s)
        begin_ns, end_ns = recorded.start_ns - before_ns, recorded.end_ns + nanoseconds(_AFTER_S)
        places = np.flatnonzero((self._stamps >= begin_ns) & (self._stamps <= end_ns))
        samples = self._timeline.samples
        return replace(self._timeline, samples=[samples[place] for place in places.tolist()])
