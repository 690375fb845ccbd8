"""A LeRobotDataset's episodes to bags of a store, one by one; what cannot be taken says why."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from so101.arrays import IntArray
from so101.clock import NS_PER_S, POLICY_HZ, TickGrid
from so101.config import option
from so101.data.exchange.episode_bag import write_episode
from so101.data.exchange.lerobot_facts import ToldEpisode, read_told
from so101.data.exchange.lerobot_format import check_installed
from so101.data.exchange.lerobot_images import find_cameras, read_images
from so101.data.exchange.lerobot_source import (
    LeRobotSource,
    SourceEpisode,
    read_columns,
)
from so101.data.exchange.lerobot_units import UnitName, find_units, joint_order
from so101.data.exchange.lerobot_values import (
    ACTION,
    DONE,
    EPISODE_ID,
    EXACT,
    EXACT_REWARD,
    INTERVENTION,
    OBJECTS,
    POLICY_ID,
    REWARD,
    SOURCE,
    STAMP,
    STATE,
    SUCCESS,
    TRUNCATED,
    Taken,
    Units,
    from_columns,
    own_stamps,
)
from so101.data.stores.episode_store import EPISODE_NAME, EpisodeStore
from so101.data.training.fitness import SkippedEpisode
from so101.episode import EpisodeFacts
from so101.errors import BagError
from so101.images import encode_jpeg

MIN_FPS = 20
_INDEX = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_TAKEN: tuple[str, ...] = (
    *(STATE, ACTION, REWARD, DONE, TRUNCATED, SUCCESS, INTERVENTION, SOURCE, POLICY_ID),
    *(EPISODE_ID, STAMP, EXACT_REWARD, OBJECTS, *EXACT.values()),
)
_START_NS = NS_PER_S
_GRID_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """How a dataset is understood."""

    units: UnitName = option("auto", "of the joint values: degrees, or normalized to -100..100")
    calibration: str = option("", "LeRobot's calibration file, for normalized values")
    cameras: dict[str, str] = field(default_factory=dict)
    """Camera id to image column; the columns that are not named keep their own names."""
    jpeg_quality: int = option(95, "of the images in the bags", range=(1, 100))


@dataclass(kw_only=True)
class ImportReport:
    """What became of a dataset.

    Attributes:
        episodes: Ids of the episodes in the store.
        frames: Their steps.
        skipped: Episodes that are not in the store, and why.
        ignored: Columns that bags have no place for.
        edited: Standard column to the number of values that differ from our exact ones.
    """

    episodes: list[str] = field(default_factory=list)
    frames: int = 0
    skipped: list[SkippedEpisode] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    edited: dict[str, int] = field(default_factory=dict)

    def notes(self, source: LeRobotSource) -> list[str]:
        """Return what a person should know about the bags."""
        lines = [f"{count} values of {c} were changed since" for c, count in self.edited.items()]
        if source.fps != POLICY_HZ:
            lines.append(
                f"{source.fps} frames/s: every frame keeps its time; the reader takes the newest "
                f"at each of {POLICY_HZ} ticks/s"
            )
        if self.ignored:
            lines.append(f"not taken over: {', '.join(self.ignored)}")
        if self.skipped:
            lines.append(f"{len(self.skipped)} episodes skipped, see above")
        return lines


def check_readable() -> None:
    """Refuse to begin where what reads parquet and video is absent.

    Raises:
        ConfigError: It is not installed; the message says how to get it.
    """
    check_installed(("pyarrow", "av"))


def import_episodes(
    source: LeRobotSource,
    chosen: Sequence[SourceEpisode],
    store: EpisodeStore,
    config: ImportConfig,
    *,
    wall_time: str,
    say: Callable[[str], None] = lambda line: None,
) -> ImportReport:
    """Write episodes of a dataset as bags.

    Args:
        source: The dataset.
        chosen: Which of its episodes.
        store: Where the bags go.
        config: How the dataset is understood.
        wall_time: ``YYYYMMDD-HHMMSS``, the first part of the bags' names.
        say: Called with one line per episode.

    Raises:
        BagError: The dataset is of another robot or rate, or its units are unknown.
        ConfigError: A camera or the calibration is not usable.
        StoreError: The store cannot be written.
    """
    reading = _Reading(source, config)
    report = ImportReport(ignored=reading.ignored)
    known = {entry.facts.id for entry in store.episodes()} if store.root.is_dir() else set()
    for episode in chosen:
        name = f"episode {episode.index}"
        try:
            taken, told = reading.take(episode)
            name = taken.episode.facts.id
            if name in known:
                raise BagError(f"the store has an episode {name!r} already")
            images = {c: reading.jpegs(episode, column, taken) for c, column in reading.cameras}
            write_episode(store, taken, images, wall_time, reading.custom_data(episode, told))
        except BagError as error:
            report.skipped.append(SkippedEpisode(episode=name, reason=str(error)))
            say(f"{name}: {error}")
            continue
        for label in () if told is None else told.labels:
            store.add_label(label)
        known.add(name)
        report.episodes.append(name)
        report.frames += len(taken.episode)
        for column, count in taken.edited.items():
            report.edited[column] = report.edited.get(column, 0) + count
        say(f"{name}: {len(taken.episode)} frames")
    return report


class _Reading:
    """What holds for every episode of a dataset."""

    def __init__(self, source: LeRobotSource, config: ImportConfig) -> None:
        self.source, self._config = source, config
        if source.fps < MIN_FPS:
            raise BagError(
                f"{source.root}: {source.fps} frames/s; a bag's reader takes joint states for at "
                f"most 50 ms, so it needs {MIN_FPS}"
            )
        self._orders = {column: joint_order(source, column) for column in (STATE, ACTION)}
        calibration = Path(config.calibration).expanduser() if config.calibration else None
        self._units: Units = find_units(source, config.units, calibration)
        self.cameras = tuple(sorted(find_cameras(source, config.cameras).items()))
        taken = {*_TAKEN, *_INDEX, *(column for _, column in self.cameras)}
        self.ignored = tuple(name for name in source.features if name not in taken)

    def take(self, episode: SourceEpisode) -> tuple[Taken, ToldEpisode | None]:
        """Return the values of an episode, and what our own file says about it."""
        where = f"{self.source.root}: episode {episode.index}"
        columns = read_columns(self.source, episode, (*_TAKEN, *_INDEX))
        for column, order in self._orders.items():
            columns[column] = columns[column][:, order]
            if not np.isfinite(columns[column]).all():
                raise BagError(f"{where}: {column}: a value is not finite")
        names = set(columns.get(EPISODE_ID, ()))
        told = None
        if len(names) == 1:
            told = read_told(self.source.extra, names.pop(), str(self.source.root))
        facts = self._facts(episode, columns) if told is None else told.facts
        stamps_ns, period_ns = self._stamps(columns, where)
        outcome = None if told is None else told.recorded
        taken = from_columns(columns, facts, self._units, stamps_ns, period_ns, outcome)
        return taken, told

    def jpegs(self, episode: SourceEpisode, column: str, taken: Taken) -> Iterator[bytes]:
        """Yield the JPEG of every step."""
        since = np.arange(len(taken.episode)) * NS_PER_S // self.source.fps
        for image in read_images(self.source, episode, column, since):
            yield encode_jpeg(image, self._config.jpeg_quality)

    def custom_data(self, episode: SourceEpisode, told: ToldEpisode | None) -> dict[str, str]:
        """Return what the bag's metadata says about where it comes from."""
        source = self.source
        return {
            **({} if told is None else told.custom_data),
            "imported_from": f"{source.root.name}, LeRobotDataset {source.version}",
            "imported_episode": str(episode.index),
            "imported_fps": str(source.fps),
            "imported_jpeg_quality": str(self._config.jpeg_quality),
        }

    def _facts(self, episode: SourceEpisode, columns: Mapping[str, Any]) -> EpisodeFacts:
        task = self.source.tasks.get(int(columns["task_index"].flat[0]), "")
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", self.source.root.name).strip("-_") or "dataset"
        told = set(columns.get(EPISODE_ID, ()))  # LeRobot's tools keep columns, not our file
        is_named = len(told) == 1 and all(EPISODE_NAME.fullmatch(one) for one in told)
        acted = next(iter(columns.get(SOURCE, ())), "teleop")
        return EpisodeFacts(
            id=told.pop() if is_named else f"{name[:64]}-{episode.index:06d}",
            task=task,
            source=acted,
            checkpoint=next((one for one in columns.get(POLICY_ID, ()) if one), ""),
        )

    def _stamps(self, columns: Mapping[str, Any], where: str) -> tuple[IntArray, int]:
        """Return when each step was [ns], and the time between two steps."""
        fps = self.source.fps
        if fps == POLICY_HZ:
            stamps = own_stamps(columns)
            if stamps is not None:
                return stamps, NS_PER_S // fps
        grid = TickGrid(rate_hz=fps, origin_ns=_START_NS)
        stamps = np.array([grid.stamp(i) for i in range(len(columns[STATE]))], dtype=np.int64)
        told = columns["timestamp"].reshape(-1).astype(np.float64)
        off = np.abs(told - told[0] - (stamps - _START_NS) / NS_PER_S)
        if not (off <= _GRID_S).all():
            at = int(np.argmax(~(off <= _GRID_S)))
            raise BagError(f"{where}: step {at} is {off[at] * 1e3:.1f} ms off {fps} frames/s")
        return stamps, NS_PER_S // fps
