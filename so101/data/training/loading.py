"""Episodes to the columns of a dataset: which are fit, and where their pictures are kept."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from so101.arrays import ImageArray, IntArray
from so101.config import option
from so101.data.episodes.episode_reader import EpisodeReader
from so101.data.episodes.segments import ReaderConfig
from so101.data.pictures.bag_cache import BagCache
from so101.data.pictures.frames import CompressedPictures, DecodedPictures, Frames, PictureSource
from so101.data.pictures.jpegs import digest
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.training.columns import Columns, episode_columns, joined_columns
from so101.data.training.fitness import (
    Scene,
    SkippedEpisode,
    check_arrays,
    check_entry,
    check_episode,
)
from so101.data.training.tick_cache import BagTables, TickCache
from so101.data.training.tick_table import TickTable, left_in_bag, tick_table
from so101.data.training.trimming import TrimConfig
from so101.episode import Episode
from so101.errors import BagError, ConfigError
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Which episodes and steps are trained on, and where their pictures are kept."""

    trim: TrimConfig = field(default_factory=TrimConfig)
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    outcomes: tuple[str, ...] = option(
        ("success", "failure", "truncated"), "outcomes of the episodes that are used"
    )
    is_episode_uniform: bool = option(False, "every episode counts the same, however long")
    gamma: float = option(0.99, "discount per step of the returns in samples", range=(0.0, 1.0))
    images: Literal["memory", "lazy", "cache"] = option(
        "memory",
        "memory: decoded once and held; lazy: decoded from the bags whenever asked for; "
        "cache: decoded once into cache_dir and mapped",
    )
    cache_dir: str = option("", "where opened bags and pictures are kept; empty: nowhere")
    max_memory_gb: float = option(
        8.0, "refuse to hold more images than this in memory [GB]", range=(0.0, 1e6)
    )
    decode_threads: int = option(
        1, "threads that decode the pictures of one lazy batch", range=(1, 256)
    )


class Loader:
    """Collects the columns of fit episodes.

    Attributes:
        parts: Columns of each fit episode.
        skipped: Episodes that were left out.
    """

    def __init__(
        self,
        spec: PolicySpec,
        config: DatasetConfig,
        arrays: Sequence[str] = (),
        before: Columns | None = None,
    ) -> None:
        """Begin.

        Args:
            spec: What the policy sees and does.
            config: Which episodes and steps are used.
            arrays: Names of arrays that every episode of a policy must hold.
            before: Columns of the dataset that is extended.

        Raises:
            ConfigError: ``images`` is ``cache`` and no ``cache_dir`` is named.
        """
        if config.images == "cache" and not config.cache_dir:
            raise ConfigError("dataset: images: cache needs a cache_dir")
        self._spec, self._config, self._arrays = spec, config, tuple(arrays)
        self._cache = BagCache(Path(config.cache_dir)) if config.cache_dir else None
        self._ticks = TickCache(self._cache, config.reader, spec.cameras) if self._cache else None
        self._scene = None if before is None else Scene.of(before)
        self.parts: list[Columns] = [] if before is None else [before]
        self.skipped: list[SkippedEpisode] = []
        frames = [] if before is None else before.images.values()
        self._held_bytes = sum(one.held_bytes for one in frames)

    def add_bags(
        self,
        entries: Iterable[EpisodeEntry],
        fetch: Callable[[EpisodeEntry], Path] = lambda entry: entry.path,
    ) -> None:
        """Read bags of a store; an unfit or broken one is skipped.

        Args:
            entries: The episodes.
            fetch: Brings an episode's bag to this machine, see `EpisodeStore.fetch`.

        Raises:
            BagError: An image of a fit episode cannot be decoded.
            ConfigError: The images need more memory than is allowed.
            StoreError: The cache cannot be written.
        """
        for entry in entries:
            reason = check_entry(entry, self._config.outcomes)
            if not reason:
                try:
                    fetch(entry)
                    bag = self._read(entry)
                except BagError as error:
                    reason = str(error)
            if reason:
                self.skipped.append(SkippedEpisode(episode=entry.facts.id, reason=reason))
            else:
                self.skipped += (
                    SkippedEpisode(episode=e, reason=r) for e, r in bag.refused.items()
                )
                self._take(bag.tables)

    def add_episodes(self, episodes: Iterable[Episode]) -> None:
        """Take episodes that are already read; raises as `add_bags`."""
        for episode in episodes:
            self._take([tick_table(episode, self._spec.cameras)])

    def columns(self, where: str) -> Columns:
        """Return the columns of all.

        Raises:
            BagError: No episode is fit; the message says why.
        """
        if not self.parts:
            why = "; ".join(f"{one.episode}: {one.reason}" for one in self.skipped[:5])
            raise BagError(f"{where}: no episode to train on: {why or 'there is none'}")
        return joined_columns(self.parts)

    def _read(self, entry: EpisodeEntry) -> BagTables:
        known = None if self._ticks is None else self._ticks.read(entry)
        if known is not None:
            return known
        episodes, refused = EpisodeReader(entry.path, self._config.reader).readable()
        bag = BagTables([tick_table(one, self._spec.cameras) for one in episodes], refused)
        if self._ticks is not None and episodes:
            return self._ticks.keep(entry, bag)
        if self._config.images == "lazy":
            return bag._replace(tables=left_in_bag(entry.path, bag.tables))
        return bag

    def _take(self, tables: Sequence[TickTable]) -> None:
        for table in tables:
            reason = check_arrays(table, self._arrays) or check_episode(
                table, self._spec, self._config.outcomes, self._scene
            )
            if reason:
                self.skipped.append(SkippedEpisode(episode=table.facts.id, reason=reason))
                continue
            part = episode_columns(table, self._spec, self._config.trim, self._frames)
            self._scene = self._scene or Scene.of(part)
            self.parts.append(part)

    def _frames(self, table: TickTable, camera: str, rows: IntArray) -> Frames:
        """Return the pictures of one episode's camera, as `PictureReader` asks."""
        seen = table.cameras[camera]
        size = self._spec.image_size if self._spec.image_size != (0, 0) else seen.shapes[0]
        where = f"{table.facts.id}: {camera} camera"
        compressed = CompressedPictures(jpegs=seen.jpegs, where=where)
        source: PictureSource = compressed
        if self._config.images == "memory":
            wanted, rows = np.unique(rows, return_inverse=True)
            self._reserve(len(wanted) * size[0] * size[1] * 3)
            source = DecodedPictures(self._decoded(compressed, wanted, size))
        elif self._config.images == "lazy":
            self._reserve(seen.jpegs.held_bytes)
        elif self._cache is not None:
            sha256 = seen.sha256 or digest(seen.jpegs)
            bag = table.bag or sha256
            source = self._cache.pictures(bag, camera, compressed, sha256, size)
        return Frames(
            size=size,
            sources=(source,),
            owners=np.zeros(len(rows), dtype=np.int64),
            rows=rows.astype(np.int64),
            threads=self._config.decode_threads if self._config.images == "lazy" else 1,
        )

    def _decoded(
        self, source: CompressedPictures, rows: IntArray, size: tuple[int, int]
    ) -> ImageArray:
        frames = Frames(
            size=size,
            sources=(source,),
            owners=np.zeros(len(rows), dtype=np.int64),
            rows=rows,
            threads=4,  # the decoder lets other threads run
        )
        return frames.at(np.arange(len(rows)))

    def _reserve(self, size: int) -> None:
        self._held_bytes += size
        limit = self._config.max_memory_gb * 1e9
        if self._held_bytes > limit:
            kind = "decoded" if self._config.images == "memory" else "compressed"
            raise ConfigError(
                f"dataset: the {kind} images of the first {len(self.parts) + 1} episodes need "
                f"{self._held_bytes / 1e9:.3g} GB, more than max_memory_gb: "
                f"{self._config.max_memory_gb:g}; raise it, or set "
                + (
                    "images: lazy (decoded whenever asked for) or images: cache with a cache_dir"
                    if kind == "decoded"
                    else "a cache_dir, so that they need not be held"
                )
            )
