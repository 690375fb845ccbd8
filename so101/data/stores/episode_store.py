"""A directory of episodes, one bag each: begun, finished, found again, labelled, recovered.

Finished bags are never changed. ``index.jsonl`` only saves time: whatever it lacks or gets wrong
is read from the bags.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from so101.data.bags.bag_writer import PART, BagWriter, Split
from so101.data.bags.custom_data import facts_to_text
from so101.data.bags.recovery import RecoveredEpisode, recover_part, remove_leftovers
from so101.data.durable import free_bytes
from so101.data.episodes.episode_reader import check_series
from so101.data.labels.labels import append_label, last_words, read_labels
from so101.data.labels.value_series import ValueSeries, put_series, read_series
from so101.data.stores.episode_recording import EpisodeRecording, Recordings
from so101.data.stores.store_entry import EpisodeEntry, IndexLine, broken_entry, to_entry
from so101.data.stores.store_index import INDEX_NAME, QUARANTINE, StoreIndex, is_bag
from so101.data.stores.store_lock import RECORDING_LOCK, StoreLock, waiting_lock
from so101.data.stores.store_stats import room_of
from so101.data.stores.verification import VerifiedEpisode, verify_bag
from so101.episode import EpisodeFacts
from so101.errors import BagError, StoreError
from so101.events import LabelEvent
from so101.topics import Topic

__all__ = ["INDEX_NAME", "QUARANTINE", "EpisodeStore"]

_LABEL_LOCK_NAME = ".labels.lock"
EPISODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""What an episode may be called: it is the name of a directory, too."""
_WALL_TIME = re.compile(r"\d{8}-\d{6}")


class EpisodeStore:
    """All episodes under one directory. Reading needs no lock; writing takes it."""

    def __init__(
        self,
        root: Path,
        *,
        min_free_bytes: int = 1_000_000_000,
        free: Callable[[Path], int] = free_bytes,
        keeps_index: bool = False,
    ) -> None:
        """Look at a store; nothing is created or locked yet.

        Args:
            root: Its directory. A single bag is a store of one episode that only can be read.
            min_free_bytes: No episode is begun with less free space [bytes].
            free: Tells the free space at a path [bytes].
            keeps_index: A listing adds to the index what it had to read from bags.
        """
        self.root = root
        self._min_free_bytes = min_free_bytes
        self._free = free
        self._lock: StoreLock | None = None
        self._index = StoreIndex(root)
        self._recordings = Recordings(root, self._index)
        self._keeps_index = keeps_index

    @property
    def name(self) -> str:
        """What a person calls the store: its directory or URL."""
        return str(self.root)

    def lock(self) -> None:
        """Become the store's one writer, until `close` or the end of the process.

        Raises:
            StoreError: Another process is it, or the directory cannot be written.
        """
        if self._lock is None:
            self._lock = StoreLock(self.root / RECORDING_LOCK)

    def close(self) -> None:
        """Stop being the writer."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def begin(
        self,
        facts: EpisodeFacts,
        topics: Sequence[Topic],
        wall_time: str,
        *,
        namespace: str = "",
        split: Split | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> EpisodeRecording:
        """Start recording an episode.

        Args:
            facts: What is known about it.
            topics: Topics of its bag, by relative name.
            wall_time: ``YYYYMMDD-HHMMSS``, the first part of the directory's name.
            namespace: Robot namespace of the topics.
            split: When the bag goes on in its next file; never by default.
            now_ns: Monotonic clock that paces the flushes [ns].

        Raises:
            StoreError: The id is not usable or taken, space is short, or the store cannot be
                written.
        """
        self._check_room(facts.id, wall_time)
        writer = BagWriter(
            self.root / f"{wall_time}-{facts.id}",
            topics,
            name=facts.id,
            namespace=namespace,
            facts=facts_to_text(facts),
            split=split,
            now_ns=now_ns,
        )
        return self._recordings.open(writer, facts)

    def _check_room(self, episode: str, wall_time: str) -> None:
        if not EPISODE_NAME.fullmatch(episode):
            raise StoreError(f"episode id {episode!r}: use letters, digits, '_', '.' and '-'")
        if not _WALL_TIME.fullmatch(wall_time):
            raise StoreError(f"wall time {wall_time!r} is not YYYYMMDD-HHMMSS")
        self.lock()
        free = self._free(self.root)
        if free < self._min_free_bytes:
            raise StoreError(
                f"{self.root}: {free / 1e9:.2f} GB free, an episode needs "
                f"{self._min_free_bytes / 1e9:.2f} GB"
            )
        if any(_is_named(name, episode) for name in self._index.names()):
            raise StoreError(f"{self.root}: episode {episode!r} exists already")

    def episodes(self) -> list[EpisodeEntry]:
        """List every episode, oldest first. What cannot be used says why in ``problem``."""
        if self._is_bag:
            return [self._entry(self.root, None, [])]
        news: list[IndexLine] = []
        entries = [self._entry(path, line, news) for path, line in self._index.bags()]
        if self._keeps_index:
            with suppress(StoreError):  # a cache: the next listing reads the same bags again
                self._index.append(news)
        return entries

    @property
    def _is_bag(self) -> bool:
        return is_bag(self.root)

    def find(self, episode: str) -> EpisodeEntry:
        """Return an episode by id or directory name.

        Raises:
            StoreError: There is none, or more than one.
        """
        return self._named(self.episodes(), episode)

    def _named(self, entries: Sequence[EpisodeEntry], episode: str) -> EpisodeEntry:
        found = [entry for entry in entries if episode in (entry.facts.id, entry.path.name)]
        if len(found) != 1:
            raise StoreError(f"{self.name}: {len(found)} episodes are called {episode!r}")
        return found[0]

    def add_label(self, label: LabelEvent) -> None:
        """Add somebody's word on an episode, or that one is taken back, to its history.

        Raises:
            StoreError: There is no such episode, or the label cannot be written.
        """
        self.add_labels([label])

    def add_labels(
        self, labels: Sequence[LabelEvent], bags: Sequence[EpisodeEntry] | None = None
    ) -> None:
        """Add words on several episodes; none is written while an episode cannot be found.

        Args:
            labels: The words.
            bags: Whose sidecar each goes to; None for the bags that are called like the episodes.

        Raises:
            StoreError: There is no such episode, or a label cannot be written.
        """
        if bags is None:
            entries = self.episodes()
            bags = [self._named(entries, label.episode) for label in labels]
        for entry, label in zip(bags, labels, strict=True):
            with self._changing(entry) as path:
                append_label(path, label)

    def labels(self, episode: str) -> tuple[LabelEvent, ...]:
        """Return the last label of each rater of an episode, oldest first."""
        return last_words(self.label_history(episode))

    def label_history(self, episode: str) -> tuple[LabelEvent, ...]:
        """Return everything that was ever said of an episode, oldest first."""
        return read_labels(self.find(episode).path)

    def add_values(self, series: ValueSeries) -> None:
        """Give ticks of an episode numbers, in place of those the rater gave under that name.

        Raises:
            StoreError: There is no such episode, or the numbers cannot be written.
            BagError: A tick is none of the episode's, or its bag cannot be read.
        """
        entry = self.find(series.episode)
        check_series(self.fetch(entry), series)
        with self._changing(entry) as path:
            put_series(path, series)

    def values(self, episode: str) -> tuple[ValueSeries, ...]:
        """Return the numbers that ticks of an episode were given, the newest series last."""
        return read_series(self.find(episode).path)

    @contextmanager
    def labels_locked(self) -> Iterator[None]:
        """Keep everybody else from changing labels, waiting for whoever does.

        Who names a single bag waits for who names its store.

        Raises:
            StoreError: The store cannot be written.
        """
        with waiting_lock((self.root.parent if self._is_bag else self.root) / _LABEL_LOCK_NAME):
            yield

    @contextmanager
    def _changing(self, entry: EpisodeEntry) -> Iterator[Path]:
        """Yield the directory whose ``labels.json`` may be changed meanwhile."""
        with self.labels_locked():
            if not entry.path.exists():
                raise StoreError(f"{entry.path}: was deleted meanwhile")
            yield entry.path

    def fetch(self, entry: EpisodeEntry) -> Path:
        """Return where an episode's bag lies on this machine; see `RemoteStore.fetch`."""
        return entry.path

    def room_of(self, entry: EpisodeEntry) -> int:
        """Return the room an episode takes [bytes]; what is linked from elsewhere takes none."""
        return room_of(entry.path)

    def verify(self, episodes: Sequence[EpisodeEntry] | None = None) -> list[VerifiedEpisode]:
        """Check episodes, or all, down to the last byte."""
        return [verify_bag(entry) for entry in (self.episodes() if episodes is None else episodes)]

    def recover(self) -> list[RecoveredEpisode]:
        """Make readable, incomplete episodes of what crashed recorders left behind.

        What holds no message at all moves to the ``quarantine`` directory.

        Raises:
            StoreError: The store is in use or cannot be written.
        """
        self.lock()
        recovered = []
        remove_leftovers(self.root)
        for part in sorted(self.root.glob(f"[!.]*{PART}")):
            if self._recordings.is_open(part):
                continue
            result = recover_part(part, self.root / QUARANTINE)
            if result.path is not None:
                self._recordings.add(result.path)
            recovered.append(result)
        return recovered

    def rebuild_index(self, *, is_trusted: bool = False) -> int:
        """Write ``index.jsonl`` anew from the bags; return the number of its lines.

        Args:
            is_trusted: Keep lines whose bags have not changed, instead of reading every bag.

        Raises:
            StoreError: The store is in use or cannot be written.
        """
        self.lock()
        return self._index.rebuild(is_trusted=is_trusted)

    def _entry(self, path: Path, line: IndexLine | None, news: list[IndexLine]) -> EpisodeEntry:
        try:
            known = (line or IndexLine.of_bag(path)).with_labels(path)
        except BagError as error:
            return broken_entry(path, str(error))
        if known is not line and known.stamp:
            news.append(known)
        return to_entry(path, known)


def _is_named(directory: str, episode: str) -> bool:
    """Tell whether a directory's name is that of an episode, begun at whatever time."""
    wall_time, dash, rest = directory[:15], directory[15:16], directory[16:]
    return rest == episode and dash == "-" and _WALL_TIME.fullmatch(wall_time) is not None
