"""Writes one bag: an MCAP file and metadata.yaml that rosbag2 opens, safe against crashes.

Takes serialized messages as they are. Until it is closed the bag is a directory with the ending
``.part``; what was flushed before a crash is readable from there.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, IndexType, Writer

from so101.clock import NS_PER_S
from so101.data.bag_metadata import FILE_NAME, TopicCount, information, qos_profiles, to_yaml
from so101.data.durable import UnbufferedFile, store_error, sync_directory, write_text
from so101.data.messages import definition
from so101.errors import StoreError
from so101.topics import Topic

PART = ".part"
FACTS_RECORD = "so101_episode"
SHA256_KEY = "mcap_sha256"
_FLUSH_NS = NS_PER_S // 4
_CHUNK_BYTES = 128 * 1024


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
    ) -> None:
        """Create ``directory.part`` and start its MCAP file.

        Args:
            directory: Where the finished bag will be.
            topics: The topics, by relative name.
            name: The file will be ``<name>_0.mcap``.
            namespace: Robot namespace in front of the relative names.
            facts: Text by key that is known now; kept even if the bag is never closed.
            now_ns: Monotonic clock that paces the flushes [ns].

        Raises:
            StoreError: The directory exists or cannot be written.
        """
        self.directory = directory
        self.part = directory.with_name(directory.name + PART)
        self._namespace = namespace.strip("/")
        self._topics = {topic.name: topic for topic in topics}
        self.counts = dict.fromkeys(self._topics, 0)
        self._now_ns = now_ns
        self._flushed_ns = now_ns()
        self._first_ns = self._last_ns = 0
        self._failure: StoreError | None = None
        self._file = self._create_file(name)
        self._whole_bytes = 0
        self._messages = 0
        self._writer = Writer(
            self._file,  # type: ignore[arg-type]
            chunk_size=_CHUNK_BYTES,
            compression=CompressionType.NONE,  # JPEG does not shrink, and readers map the file
            index_types=IndexType.ALL,
            enable_data_crcs=True,
        )
        self._guard(lambda: self._start(facts or {}))

    def _create_file(self, name: str) -> UnbufferedFile:
        if self.directory.exists():
            raise StoreError(f"{self.directory}: exists already")
        try:
            self.part.mkdir(parents=True)
        except OSError as error:
            raise store_error(self.part, error) from error
        return UnbufferedFile(self.part / f"{name}_0.mcap")

    def _start(self, facts: Mapping[str, str]) -> None:
        self._writer.start(profile="ros2", library="so101")
        self._writer.add_metadata(FACTS_RECORD, dict(facts))
        schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        for topic in self._topics.values():
            if topic.type not in schemas:
                text = definition(topic.type).text.encode()
                schemas[topic.type] = self._writer.register_schema(topic.type, "ros2msg", text)
            details = {
                "offered_qos_profiles": to_yaml(qos_profiles(topic.is_latched)),
                "topic_type_hash": definition(topic.type).hash,
            }
            self._channels[topic.name] = self._writer.register_channel(
                self._absolute(topic.name), "cdr", schemas[topic.type], details
            )

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
        if topic not in self._channels:
            raise StoreError(f"{self.part}: topic {topic!r} is not part of this bag")
        sequence = self.counts[topic] & 0xFFFFFFFF
        channel = self._channels[topic]
        self._guard(
            lambda: self._writer.add_message(
                channel,
                log_time_ns,
                data,  # type: ignore[arg-type]  # any buffer will do
                publish_time_ns,
                sequence,
            )
        )
        self.counts[topic] += 1
        is_first, self._messages = self._messages == 0, self._messages + 1
        self._first_ns = log_time_ns if is_first else min(self._first_ns, log_time_ns)
        self._last_ns = log_time_ns if is_first else max(self._last_ns, log_time_ns)
        if self._now_ns() - self._flushed_ns >= _FLUSH_NS:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system; call it twice a second when nothing arrives.

        Raises:
            StoreError: The disk refuses.
        """
        self._guard(self._writer.flush)
        self._flushed_ns = self._now_ns()

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
        duration_ns = self._last_ns - self._first_ns
        if self._failure is not None:
            self._close_file()
            return BagSummary(
                path=self.part,
                counts=dict(self.counts),
                duration_ns=duration_ns,
                is_complete=False,
            )
        self._guard(lambda: self._finish(custom_data))
        return BagSummary(
            path=self.directory,
            counts=dict(self.counts),
            duration_ns=duration_ns,
            is_complete=True,
        )

    def abandon(self) -> None:
        """Delete what was written."""
        self._close_file()
        shutil.rmtree(self.part, ignore_errors=True)

    def _finish(self, custom_data: Mapping[str, str]) -> None:
        told = self._information(custom_data)
        # rosbag2 repeats metadata.yaml inside the file, so that a lone file explains itself.
        self._writer.add_metadata("rosbag2", {"serialized_metadata": to_yaml(told)})
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.close()
        with self._file.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        told = self._information({**custom_data, SHA256_KEY: digest})
        write_text(self.part / FILE_NAME, to_yaml({"rosbag2_bagfile_information": told}))
        os.rename(self.part, self.directory)
        sync_directory(self.directory.parent)

    def _information(self, custom_data: Mapping[str, str]) -> dict[str, Any]:
        topics = [
            TopicCount(
                name=self._absolute(topic.name),
                type=topic.type,
                messages=self.counts[topic.name],
                is_latched=topic.is_latched,
            )
            for topic in self._topics.values()
        ]
        return information(
            file=self._file.path.name,
            topics=topics,
            start_ns=self._first_ns,
            duration_ns=self._last_ns - self._first_ns,
            custom_data=custom_data,
        )

    def _absolute(self, name: str) -> str:
        if name.startswith("/"):
            return name
        return f"/{self._namespace}/{name}" if self._namespace else f"/{name}"

    def _guard(self, write: Callable[[], None]) -> None:
        """Run a write; when the disk refuses, leave whole records behind and say so."""
        if self._failure is not None:
            raise StoreError(f"{self._failure}; the bag takes no more")
        try:
            write()
        except OSError as error:
            self._failure = store_error(self._file.path, error)
            with suppress(OSError):
                self._file.truncate(self._whole_bytes)
            raise self._failure from error
        except StoreError as error:
            self._failure = error
            raise
        self._whole_bytes = self._file.tell()

    def _close_file(self) -> None:
        with suppress(OSError):  # recovery reads whatever reached the disk
            self._file.close()
