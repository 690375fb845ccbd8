"""Writes one bag: MCAP files and metadata.yaml that rosbag2 opens, safe against crashes.

Takes serialized messages as they are. Until it is closed the bag is a directory with the ending
``.part``. What was handed to the operating system survives the death of the process; a power loss
may cost what the kernel had not written back yet, half a minute by Linux's defaults. A closed bag
and every finished file of a split one are synced to the disk.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so101.clock import NS_PER_S
from so101.data.bags.bag_file import BagFile, FinishedFile
from so101.data.bags.bag_metadata import FILE_NAME, FileSpan, TopicCount, information, to_yaml
from so101.data.durable import store_error, sync_directory, write_text
from so101.errors import StoreError
from so101.topics import Topic

PART = ".part"
SHA256_KEY = "mcap_sha256"
FLUSH_NS = NS_PER_S // 4
"""Longest wait of a message for the operating system, but for a stall of the process."""

_BURST_NS = NS_PER_S * 2 // 5
"""The same in log time: a process that was stalled, or simulated time, gets many at once."""

INNER_METADATA = "rosbag2"


@dataclass(frozen=True, kw_only=True)
class Split:
    """When a bag goes on in its next file.

    Attributes:
        max_bytes: Size that a file is not to exceed by more than one chunk [bytes].
        max_ns: Log time from the first to the last message of a file [ns].
    """

    max_bytes: int
    max_ns: int


@dataclass(frozen=True, kw_only=True)
class BagSummary:
    """A closed bag.

    Attributes:
        path: Its directory.
        counts: Messages by relative topic name.
        duration_ns: From the first to the last message [ns].
        is_complete: False when the disk refused a part of it; ``path`` then ends in ``.part``.
    """

    path: Path
    counts: Mapping[str, int]
    duration_ns: int
    is_complete: bool


class BagWriter:
    """Records messages of known topics into one bag directory.

    Attributes:
        directory: Where the finished bag will be.
        part: Where it is until then.
        counts: Messages so far by relative topic name.
        repeated: How many of them are latched messages said again at the beginning of a file.
    """

    def __init__(
        self,
        directory: Path,
        topics: Sequence[Topic],
        *,
        name: str,
        namespace: str = "",
        facts: Mapping[str, str] | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
        split: Split | None = None,
    ) -> None:
        """Create ``directory.part`` and start its MCAP file.

        Args:
            directory: Where the finished bag will be.
            topics: The topics, by relative name.
            name: The files will be ``<name>_0.mcap`` and so on.
            namespace: Robot namespace in front of the relative names.
            facts: Text by key that is known now; kept even if the bag is never closed.
            now_ns: Monotonic clock that paces the flushes [ns].
            split: When the bag goes on in its next file; never by default.

        Raises:
            StoreError: The directory exists or cannot be written.
        """
        self.directory = directory
        self.part = directory.with_name(directory.name + PART)
        self.counts = {topic.name: 0 for topic in topics}
        self.repeated = dict.fromkeys(self.counts, 0)
        self._topics = {topic.name: topic for topic in topics}
        self._name, self._facts = name, dict(facts or {})
        self._namespace = namespace.strip("/")
        self._now_ns = now_ns
        self._flushed_ns = now_ns()
        self._split = split
        self._latched: dict[str, tuple[bytes, int]] = {}
        self._finished: list[FinishedFile] = []
        self._first_ns: int | None = None
        self._flushed_log_ns = 0
        self._make_directory()
        self._file = self._next_file()

    def _make_directory(self) -> None:
        if self.directory.exists():
            raise StoreError(f"{self.directory}: exists already")
        try:
            self.part.mkdir(parents=True)
        except OSError as error:
            raise store_error(self.part, error) from error

    def _next_file(self) -> BagFile:
        path = self.part / f"{self._name}_{len(self._finished)}.mcap"
        return BagFile(path, tuple(self._topics.values()), self._absolute, self._facts)

    def write(
        self, topic: str, data: bytes | memoryview, log_time_ns: int, publish_time_ns: int
    ) -> None:
        """Append one serialized message.

        Args:
            topic: Relative topic name.
            data: CDR bytes, as a raw subscription delivers them.
            log_time_ns: When it arrived [ns].
            publish_time_ns: When it was sent [ns].

        Raises:
            StoreError: The topic is not one of this bag, or the disk refuses.
        """
        if topic not in self.counts:
            raise StoreError(f"{self.part}: topic {topic!r} is not part of this bag")
        kept = data if type(data) is bytes else bytes(data)  # it waits for its chunk
        if self._split is not None:
            self._turn_over(self._split, log_time_ns)
            if self._topics[topic].is_latched:
                self._latched[topic] = (kept, publish_time_ns)
        self._append(topic, kept, log_time_ns, publish_time_ns)
        if self._first_ns is None:
            self._first_ns = self._flushed_log_ns = log_time_ns
        try:
            if log_time_ns - self._flushed_log_ns >= _BURST_NS:
                self._flushed_log_ns = log_time_ns
                self.flush()
            else:
                self.flush_if_due()
        except StoreError:
            self.counts[topic] -= 1  # who handed it over is told that it was refused
            raise

    def flush_if_due(self) -> None:
        """Flush what has waited for `FLUSH_NS`; call it when nothing arrives, too.

        Raises:
            StoreError: The disk refuses.
        """
        if self._now_ns() - self._flushed_ns >= FLUSH_NS:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system.

        Raises:
            StoreError: The disk refuses.
        """
        self._file.flush()
        self._flushed_ns = self._now_ns()

    def sync(self) -> None:
        """Bring everything to the disk.

        Raises:
            StoreError: The disk refuses.
        """
        self._file.sync()

    def close(self, custom_data: Mapping[str, str]) -> BagSummary:
        """Finish the bag and give it its final name.

        Args:
            custom_data: Text by key for metadata.yaml.

        Returns:
            What was written. After a refused write nothing is raised: the bag is closed as far
            as it goes and stays a ``.part``.

        Raises:
            StoreError: The disk refuses now.
        """
        if self._file.failure is not None:
            self._file.close()
            return self._summary(self.part, is_complete=False)
        self._finish_file(custom_data)
        spans = [file.span for file in self._finished]
        custom_data = {**custom_data, **digests(self._finished)}
        told = self._information(spans, self.counts, custom_data)
        write_text(self.part / FILE_NAME, to_yaml({"rosbag2_bagfile_information": told}))
        try:
            os.rename(self.part, self.directory)
            sync_directory(self.directory.parent)
        except OSError as error:
            raise store_error(self.directory, error) from error
        return self._summary(self.directory, is_complete=True)

    def abandon(self) -> None:
        """Delete what was written."""
        self._file.close()
        shutil.rmtree(self.part, ignore_errors=True)

    def _turn_over(self, split: Split, log_time_ns: int) -> None:
        """Go on in the next file when this one is full; it begins with what is latched."""
        first_ns = self._first_ns
        if first_ns is None:
            return
        if self._file.size < split.max_bytes and log_time_ns - first_ns < split.max_ns:
            return
        self._finish_file(self._facts)
        self._file = self._next_file()
        self._first_ns = log_time_ns
        for topic, (data, publish_ns) in self._latched.items():
            self._append(topic, data, log_time_ns, publish_ns)
            self.repeated[topic] += 1

    def _append(self, topic: str, data: bytes, log_ns: int, publish_ns: int) -> None:
        count = self.counts[topic]
        self._file.write(topic, data, log_ns, publish_ns, count & 0xFFFFFFFF)
        self.counts[topic] = count + 1

    def _finish_file(self, custom_data: Mapping[str, str]) -> None:
        self._file.flush()
        # rosbag2 repeats metadata.yaml inside the file, so that a lone file explains itself.
        told = to_yaml(self._information([self._file.span], self._file.counts, custom_data))
        self._finished.append(self._file.finish({INNER_METADATA: {"serialized_metadata": told}}))

    def _information(
        self, spans: Sequence[FileSpan], counts: Mapping[str, int], custom_data: Mapping[str, str]
    ) -> dict[str, Any]:
        topics = [
            TopicCount(
                name=self._absolute(topic.name),
                type=topic.type,
                messages=counts[topic.name],
                is_latched=topic.is_latched,
            )
            for topic in self._topics.values()
        ]
        return information(spans, topics, custom_data)

    def _summary(self, path: Path, *, is_complete: bool) -> BagSummary:
        spans = [*(file.span for file in self._finished), self._file.span]
        starts = [span.start_ns for span in spans if span.messages]
        duration_ns = max((span.end_ns for span in spans), default=0) - min(starts, default=0)
        return BagSummary(
            path=path,
            counts=dict(self.counts),
            duration_ns=duration_ns,
            is_complete=is_complete,
        )

    def _absolute(self, name: str) -> str:
        if name.startswith("/"):
            return name
        return f"/{self._namespace}/{name}" if self._namespace else f"/{name}"


def digests(files: Sequence[FinishedFile]) -> dict[str, str]:
    """Return the hash of a bag, and of each of its files where there are several.

    The hash of several files is that of their list as ``sha256sum`` prints it.
    """
    if len(files) == 1:
        return {SHA256_KEY: files[0].sha256}
    listed = "".join(f"{file.sha256}  {file.span.name}\n" for file in files)
    whole = {SHA256_KEY: hashlib.sha256(listed.encode()).hexdigest()}
    return {**whole, **{f"{SHA256_KEY}/{file.span.name}": file.sha256 for file in files}}
