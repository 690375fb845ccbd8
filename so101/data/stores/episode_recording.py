"""Episodes being written into a store: their messages, their end, their place in its index."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.custom_data import OUTCOME, facts_to_text
from so101.data.bags.recovery import recover_part
from so101.data.stores.store_entry import EpisodeEntry, IndexLine, to_entry
from so101.data.stores.store_index import QUARANTINE, StoreIndex
from so101.episode import EpisodeFacts, Outcome
from so101.errors import StoreError


class EpisodeRecording:
    """One episode being written. Ends with `finish` or `discard`."""

    def __init__(self, recordings: "Recordings", writer: BagWriter, facts: EpisodeFacts) -> None:
        """Wrap a bag that was just begun; use `EpisodeStore.begin`."""
        self.facts = facts
        self._recordings = recordings
        self._writer = writer

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages so far by relative topic name."""
        return self._writer.counts

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int) -> None:
        """Append one serialized message; see `BagWriter.write`."""
        self._writer.write(topic, data, log_time_ns, publish_time_ns)

    @property
    def repeated(self) -> Mapping[str, int]:
        """How many of `counts` say again, at the beginning of a file, what is latched."""
        return self._writer.repeated

    @property
    def path(self) -> Path:
        """Where the finished bag will be."""
        return self._writer.directory

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._writer.flush()

    def sync(self) -> None:
        """Bring everything to the disk: what was announced survives a power loss."""
        self._writer.sync()

    def flush_if_due(self) -> None:
        """Flush what has waited long; call it also when nothing arrives."""
        self._writer.flush_if_due()

    def finish(self, outcome: Outcome | None, custom_data: Mapping[str, str]) -> EpisodeEntry:
        """Close the bag, durably, and list the episode.

        Args:
            outcome: How the episode ended; None for a bag of several episodes, or when nobody
                has said.
            custom_data: Further text by key; see `so101.data.bags.custom_data`.

        Returns:
            The episode; its outcome is incomplete when the disk refused a part of it.

        Raises:
            StoreError: The disk refuses even its end. It is left for `EpisodeStore.recover`.
        """
        told = {**facts_to_text(self.facts), **custom_data}
        if outcome is not None:
            told[OUTCOME] = outcome.value
        self._recordings.close(self._writer.part)
        with suppress(StoreError):  # what could not be closed is made whole below, or says why
            summary = self._writer.close(told)
            if summary.is_complete:
                return self._recordings.add(summary.path)
        return self._recordings.add_incomplete(self._writer.part, told)

    def discard(self) -> None:
        """Delete the bag."""
        self._recordings.close(self._writer.part)
        self._writer.abandon()


class Recordings:
    """Which episodes of a store its writer has open, and how ended ones are listed."""

    def __init__(self, root: Path, index: StoreIndex) -> None:
        """Begin with none, in the store at ``root`` that ``index`` lists."""
        self._root = root
        self._index = index
        self._open: set[str] = set()

    def open(self, writer: BagWriter, facts: EpisodeFacts) -> EpisodeRecording:
        """Return the recording of a bag that was just begun."""
        self._open.add(writer.part.name)
        return EpisodeRecording(self, writer, facts)

    def is_open(self, part: Path) -> bool:
        """Tell whether a bag is being written: nothing that a crash left behind."""
        return part.name in self._open

    def close(self, part: Path) -> None:
        """Take a bag off those that are being written."""
        self._open.discard(part.name)

    def add(self, path: Path) -> EpisodeEntry:
        """List a finished bag.

        Raises:
            StoreError: The index cannot be written.
            BagError: The bag cannot be read.
        """
        line = IndexLine.of_bag(path)
        self._index.append([line])
        return to_entry(path, line)

    def add_incomplete(self, part: Path, told: Mapping[str, str]) -> EpisodeEntry:
        """Make a bag whole that could not be closed, with what was told of it, and list it.

        Raises:
            StoreError: Nothing of it could be kept, or the index cannot be written.
        """
        found = recover_part(part, self._root / QUARANTINE, told)
        if found.path is None:
            raise StoreError(f"{part}: nothing of it could be kept: {found.reason}")
        return self.add(found.path)
