"""Episodes of a store to a LeRobotDataset: which go in, in which parts, what is left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from so101.data.episodes.episode_parts import Part, split_at_gaps
from so101.data.episodes.episode_reader import read_episodes
from so101.data.exchange.lerobot_facts import FILE_NAME, facts_file, part_facts
from so101.data.exchange.lerobot_format import LeRobotWriter, check_free, check_installed
from so101.data.exchange.lerobot_values import IMAGE_PREFIX, features, to_columns
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.training.fitness import SkippedEpisode
from so101.episode import Episode, Outcome
from so101.errors import BagError
from so101.images import decode_image, image_shape

_NEVER = (Outcome.DISCARDED, Outcome.INCOMPLETE)
Say = Callable[[str], None]


@dataclass(kw_only=True)
class ExportReport:
    """What became of the episodes.

    Attributes:
        episodes: Episodes of the dataset.
        frames: Its steps.
        left_out: Ticks in no part, because a stream was missing at them.
        skipped: Episodes that are not in the dataset, and why.
    """

    episodes: int = 0
    frames: int = 0
    left_out: int = 0
    skipped: list[SkippedEpisode] = field(default_factory=list)

    def since(self, before: "ExportReport") -> str:
        """Return what became of the episode that came in between, for a person."""
        said = f"{self.frames - before.frames} frames"
        left_out = self.left_out - before.left_out
        if not left_out:
            return said
        parts = self.episodes - before.episodes
        return f"{said} in {parts} parts, {left_out} ticks at gaps left out"


def export_episodes(
    store: EpisodeStore,
    entries: Sequence[EpisodeEntry],
    directory: Path,
    *,
    repo_id: str,
    images: Literal["video", "image"] = "video",
    say: Say = lambda line: None,
) -> ExportReport:
    """Write episodes as a LeRobotDataset; after an error nothing of it stays.

    Args:
        store: Where they are.
        entries: Which episodes.
        directory: Where the dataset will be; must not exist.
        repo_id: What LeRobot calls it.
        images: How camera images are kept.
        say: Called with one line per episode.

    Raises:
        ConfigError: LeRobot is not installed.
        StoreError: The directory exists or cannot be written.
        BagError: No episode can be exported; the message says why.
    """
    check_installed()
    check_free(directory)
    export = _Export(directory, repo_id, images)
    try:
        for entry in entries:
            before = replace(export.report)
            reason = export.add(store, entry)
            if reason:
                export.report.skipped.append(SkippedEpisode(episode=entry.facts.id, reason=reason))
            say(f"{entry.facts.id}: {reason or export.report.since(before)}")
        if export.writer is None:
            why = "; ".join(f"{one.episode}: {one.reason}" for one in export.report.skipped[:5])
            raise BagError(f"{store.root}: no episode to export: {why or 'there is none'}")
        export.writer.finish({FILE_NAME: facts_file(export.told)})
    except BaseException:
        if export.writer is not None:
            export.writer.abandon()
        raise
    return export.report


class _Export:
    """An export under way; the first episode that goes in says what the others must have."""

    def __init__(self, directory: Path, repo_id: str, images: Literal["video", "image"]) -> None:
        self.report = ExportReport()
        self.told: dict[str, Any] = {}
        self.writer: LeRobotWriter | None = None
        self._directory, self._repo_id, self._images = directory, repo_id, images
        self._shapes: dict[str, tuple[int, int]] = {}
        self._objects = 0

    def add(self, store: EpisodeStore, entry: EpisodeEntry) -> str:
        """Write an episode and return why not; empty when it was."""
        if entry.problem:
            return entry.problem
        if entry.outcome in _NEVER:
            return f"is {entry.outcome.value}"
        try:
            episodes = read_episodes(entry.path)
            for episode in episodes:
                self._check(episode)
        except BagError as error:
            return str(error)
        split = [split_at_gaps(episode) for episode in episodes]
        if not any(parts for parts, _ in split):
            return "has no two ticks without a gap between them"
        for parts, left_out in split:
            self.report.left_out += left_out
            for part in parts:
                self._write(part)
                labels = store.labels(entry.path.name)
                self.told[part.episode.facts.id] = part_facts(entry, labels, part)
        return ""

    def _check(self, episode: Episode) -> None:
        shapes = image_shapes(episode)
        objects = 0 if episode.objects is None else episode.objects.shape[1]
        if self.writer is None:
            self._shapes, self._objects = shapes, objects
        elif shapes != self._shapes:
            raise BagError(f"has {_named(shapes)}, the dataset {_named(self._shapes)}")
        elif objects != self._objects:
            raise BagError(f"has {objects} objects, the dataset {self._objects}")

    def _write(self, part: Part) -> None:
        if self.writer is None:
            self.writer = LeRobotWriter(
                self._directory,
                features(self._shapes, self._objects, self._images),
                repo_id=self._repo_id,
                images=self._images,
            )
        episode, columns = part.episode, to_columns(part.episode)
        for i in range(len(episode)):
            pixels = {
                IMAGE_PREFIX + camera: decode_image(jpegs[i] or b"")
                for camera, jpegs in episode.images.items()
            }
            values = {name: column[i] for name, column in columns.items()}
            self.writer.add_frame(values, pixels, episode.facts.words)
        self.writer.save_episode(len(episode), f"episode {episode.facts.id}")
        self.report.episodes += 1
        self.report.frames += len(episode)


def image_shapes(episode: Episode) -> dict[str, tuple[int, int]]:
    """Return height and width of every camera of an episode [px].

    Raises:
        BagError: A camera has images of several sizes.
    """
    shapes: dict[str, tuple[int, int]] = {}
    for camera, jpegs in episode.images.items():
        found = {image_shape(jpeg) for jpeg in jpegs if jpeg is not None}
        if len(found) != 1:
            raise BagError(f"{camera} camera: images of {len(found)} sizes: {sorted(found)}")
        (shapes[camera],) = found
    return shapes


def _named(shapes: dict[str, tuple[int, int]]) -> str:
    named = (f"{camera} {width}x{height}" for camera, (height, width) in sorted(shapes.items()))
    return ", ".join(named) or "no camera"
