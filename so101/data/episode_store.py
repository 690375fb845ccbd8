"""A directory of episodes, one bag each: begun, finished, found again, labelled, recovered.

Finished bags are never changed. ``index.jsonl`` only saves time: whatever it lacks or gets wrong
is read from the bags.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from so101.data.bag_metadata import FILE_NAME as METADATA_NAME
from so101.data.bag_writer import PART, BagWriter
from so101.data.custom_data import OUTCOME, facts_to_text
from so101.data.durable import free_bytes, store_error, write_text
from so101.data.labels import append_label, last_words, read_labels
from so101.data.recovery import RecoveredEpisode, recover_part, remove_leftovers
from so101.data.store_entry import EpisodeEntry, IndexLine, broken_entry, to_entry
from so101.data.store_lock import StoreLock, waiting_lock
from so101.data.verification import VerifiedEpisode, verify_bag
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError, StoreError
from so101.events import LabelEvent
from so101.topics import Topic

INDEX_NAME = "index.jsonl"
QUARANTINE = "quarantine"
_LOCK_NAME = ".lock"
_LABEL_LOCK_NAME = ".labels.lock"
EPISODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""What an episode may be called: it is the name of a directory, too."""
_WALL_TIME = re.compile(r"\d{8}-\d{6}")


class EpisodeRecording:
    """One episode being written. Ends with `finish` or `discard`."""

    def __init__(self, store: "EpisodeStore", writer: BagWriter, facts: EpisodeFacts) -> None:
        """Wrap a bag that was just begun; use `EpisodeStore.begin`."""
        self.facts = facts
        self._store = store
        self._writer = writer

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages so far by relative topic name."""
        return self._writer.counts

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int) -> None:
        """Append one serialized message; see `BagWriter.write`."""
        self._writer.write(topic, data, log_time_ns, publish_time_ns)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._writer.flush()

    def finish(self, outcome: Outcome | None, custom_data: Mapping[str, str]) -> EpisodeEntry:
        """Close the bag, durably, and list the episode.

        Args:
            outcome: How the episode ended; None when nobody has said.
            custom_data: Further text by key; see `so101.data.custom_data`.

        Raises:
            StoreError: The disk refused a part of the bag. It is left for `EpisodeStore.recover`.
        """
        told = {**facts_to_text(self.facts), **custom_data}
        if outcome is not None:
            told[OUTCOME] = outcome.value
        self._store._recording.discard(self._writer.part.name)
        summary = self._writer.close(told)
        if not summary.is_complete:
            raise StoreError(f"{summary.path}: incomplete, the disk refused a part of it")
        return self._store._add_to_index(summary.path)

    def discard(self) -> None:
        """Delete the bag."""
        self._store._recording.discard(self._writer.part.name)
        self._writer.abandon()


class EpisodeStore:
    """All episodes under one directory. Reading needs no lock; writing takes it."""

    def __init__(
        self,
        root: Path,
        *,
        min_free_bytes: int = 1_000_000_000,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        """Look at a store; nothing is created or locked yet.

        Args:
            root: Its directory. A single bag is a store of one episode that only can be read.
            min_free_bytes: No episode is begun with less free space [bytes].
            free: Tells the free space at a path [bytes].
        """
        self.root = root
        self._min_free_bytes = min_free_bytes
        self._free = free
        self._lock: StoreLock | None = None
        self._recording: set[str] = set()

    def lock(self) -> None:
        """Become the store's one writer, until `close` or the end of the process.

        Raises:
            StoreError: Another process is it, or the directory cannot be written.
        """
        if self._lock is None:
            self._lock = StoreLock(self.root / _LOCK_NAME)

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
    ) -> EpisodeRecording:
        """Start recording an episode.

        Args:
            facts: What is known about it.
            topics: Topics of its bag, by relative name.
            wall_time: ``YYYYMMDD-HHMMSS``, the first part of the directory's name.
            namespace: Robot namespace of the topics.

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
        )
        self._recording.add(writer.part.name)
        return EpisodeRecording(self, writer, facts)

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
        if next(self.root.glob(f"{'[0-9]' * 8}-{'[0-9]' * 6}-{episode}"), None) is not None:
            raise StoreError(f"{self.root}: episode {episode!r} exists already")

    def episodes(self) -> list[EpisodeEntry]:
        """List every episode, oldest first. What cannot be used says why in ``problem``."""
        if (self.root / METADATA_NAME).exists() or self.root.is_file():
            return [self._entry(self.root, None)]
        lines = self._read_index()
        return [self._entry(path, lines.get(path.name)) for path in self._bags()]

    def find(self, episode: str) -> EpisodeEntry:
        """Return an episode by id or directory name.

        Raises:
            StoreError: There is none, or more than one.
        """
        entries = self.episodes()
        found = [entry for entry in entries if episode in (entry.facts.id, entry.path.name)]
        if len(found) != 1:
            raise StoreError(f"{self.root}: {len(found)} episodes are called {episode!r}")
        return found[0]

    def add_label(self, label: LabelEvent) -> None:
        """Add somebody's word on an episode to its history.

        Raises:
            StoreError: There is no such episode, or the label cannot be written.
        """
        path = self.find(label.episode).path
        with waiting_lock(self.root / _LABEL_LOCK_NAME):
            append_label(path, label)

    def labels(self, episode: str) -> tuple[LabelEvent, ...]:
        """Return the last label of each rater of an episode, oldest first."""
        return last_words(read_labels(self.find(episode).path))

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
            if part.name in self._recording:
                continue
            result = recover_part(part, self.root / QUARANTINE)
            if result.path is not None:
                self._add_to_index(result.path)
            recovered.append(result)
        return recovered

    def rebuild_index(self) -> None:
        """Write ``index.jsonl`` anew from the bags.

        Raises:
            StoreError: The store is in use or cannot be written.
        """
        self.lock()
        lines = []
        for path in self._bags():
            with suppress(BagError):  # a broken bag has no line; the listing names its problem
                lines.append(IndexLine.of_bag(path).to_json() + "\n")
        write_text(self.root / INDEX_NAME, "".join(lines))

    def _entry(self, path: Path, line: IndexLine | None) -> EpisodeEntry:
        try:
            return to_entry(path, line or IndexLine.of_bag(path))
        except BagError as error:
            return broken_entry(path, str(error))

    def _bags(self) -> list[Path]:
        try:
            paths = sorted(self.root.iterdir())
        except OSError as error:
            raise StoreError(f"{self.root}: cannot be read: {error.strerror}") from error
        return [path for path in paths if _is_bag(path)]

    def _read_index(self) -> dict[str, IndexLine]:
        try:
            text = (self.root / INDEX_NAME).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}  # everything the index says is read from the bags instead
        lines = (IndexLine.from_json(line) for line in text.splitlines())
        return {line.directory: line for line in lines if line is not None}

    def _add_to_index(self, path: Path) -> EpisodeEntry:
        line = IndexLine.of_bag(path)
        try:
            with (self.root / INDEX_NAME).open("a", encoding="utf-8") as stream:
                stream.write(line.to_json() + "\n")
        except OSError as error:
            raise store_error(self.root / INDEX_NAME, error) from error
        return to_entry(path, line)


def _is_bag(path: Path) -> bool:
    if path.name.startswith(".") or path.name.endswith(PART) or path.name == QUARANTINE:
        return False
    if not path.is_dir():
        return path.suffix in (".mcap", ".db3")
    return (path / METADATA_NAME).exists() or any(
        file.suffix in (".mcap", ".db3") for file in path.iterdir()
    )
