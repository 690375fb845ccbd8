"""One MCAP file of a bag while it is written: whole records, or an error that says why.

After a refused write the file is cut back to its last whole record and takes no more.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from so101.data.bags.bag_metadata import FileSpan, qos_profiles, to_yaml
from so101.data.bags.mcap_writer import CHUNK_BYTES, McapWriter
from so101.data.bags.messages import definition
from so101.data.digest import Digest
from so101.data.durable import UnbufferedFile, store_error
from so101.errors import StoreError
from so101.topics import Topic

FACTS_RECORD = "so101_episode"


@dataclass(frozen=True, kw_only=True)
class FinishedFile:
    """A whole file.

    Attributes:
        span: What metadata.yaml says of it.
        sha256: Of its bytes.
    """

    span: FileSpan
    sha256: str


class BagFile:
    """Writes one file.

    Attributes:
        path: Where it lies.
    """

    def __init__(
        self,
        path: Path,
        topics: Sequence[Topic],
        absolute: Callable[[str], str],
        facts: Mapping[str, str],
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """Create the file; it must not exist.

        Args:
            path: Where.
            topics: Its topics, by relative name.
            absolute: Gives a relative name the robot's namespace.
            facts: Text by key that is known now.
            chunk_bytes: Bytes of a chunk.

        Raises:
            StoreError: It cannot be created or written.
            BagError: A topic has an unknown type.
        """
        self.path = path
        self.failure: StoreError | None = None
        definitions = {topic.type: definition(topic.type) for topic in topics}
        self._sink = _Sink(path)
        self._whole_bytes = 0
        self._guard(lambda: self._start(facts, chunk_bytes))
        schemas = {
            kind: self._writer.add_schema(kind, found.text) for kind, found in definitions.items()
        }
        self._channels = {
            topic.name: self._writer.add_channel(
                absolute(topic.name), schemas[topic.type], _details(topic)
            )
            for topic in topics
        }

    @property
    def size(self) -> int:
        """Bytes written and waiting."""
        return self._writer.size + self._writer.pending

    @property
    def span(self) -> FileSpan:
        """What metadata.yaml says of the messages that were flushed."""
        index = self._writer.index
        return FileSpan(
            name=self.path.name,
            start_ns=index.start_ns,
            duration_ns=index.end_ns - index.start_ns,
            messages=index.messages,
        )

    @property
    def counts(self) -> dict[str, int]:
        """Messages that were flushed, by relative topic name."""
        found = self._writer.index.counts
        return {topic: found[channel] for topic, channel in self._channels.items()}

    def _start(self, facts: Mapping[str, str], chunk_bytes: int) -> None:
        self._writer = McapWriter(self._sink, chunk_bytes)
        self._writer.add_metadata(FACTS_RECORD, facts)

    def write(
        self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int
    ) -> None:
        """Add one message of a topic by its relative name.

        Raises:
            StoreError: The disk refuses, or has refused before.
        """
        if self.failure is not None:
            raise StoreError(f"{self.failure}; the bag takes no more")
        channel = self._channels[topic]
        try:
            self._writer.add_message(channel, log_time_ns, data, publish_time_ns, sequence)
        except OSError as error:
            raise self._fail(error) from error
        self._whole_bytes = self._writer.size

    def flush(self) -> None:
        """Hand everything to the operating system.

        Raises:
            StoreError: The disk refuses, or has refused before.
        """
        self._guard(self._writer.flush)

    def sync(self) -> None:
        """Bring everything to the disk.

        Raises:
            StoreError: The disk refuses, or has refused before.
        """
        self.flush()
        self._guard(self._sink.file.sync)

    def finish(self, told: Mapping[str, Mapping[str, str]]) -> FinishedFile:
        """Bring the file to the disk with its index.

        Args:
            told: Metadata records by name, text by key.

        Raises:
            StoreError: The disk refuses, or has refused before.
        """
        self._guard(lambda: self._finish(told))
        return FinishedFile(span=self.span, sha256=self._sha256)

    def _finish(self, told: Mapping[str, Mapping[str, str]]) -> None:
        for name, values in told.items():
            self._writer.add_metadata(name, values)
        self._writer.finish()
        self._sha256 = self._sink.digest.sha256()
        self._sink.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        with suppress(OSError):  # recovery reads whatever reached the disk
            self._sink.close()

    def _guard(self, write: Callable[[], None]) -> None:
        if self.failure is not None:
            raise StoreError(f"{self.failure}; the bag takes no more")
        try:
            write()
        except OSError as error:
            raise self._fail(error) from error
        self._whole_bytes = self._writer.size

    def _fail(self, error: OSError) -> StoreError:
        """Leave whole records behind and remember why no more is taken."""
        self.failure = store_error(self.path, error)
        with suppress(OSError):
            self._sink.file.truncate(self._whole_bytes)
        return self.failure


class _Sink:
    """The file on the disk and the checksums of it."""

    def __init__(self, path: Path) -> None:
        self.file = UnbufferedFile(path)
        self.digest = Digest()

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)

    def crc(self) -> int:
        return self.digest.crc()

    def close(self) -> None:
        """Bring the file to the disk."""
        self.digest.close()
        self.file.close()


def _details(topic: Topic) -> dict[str, str]:
    return {
        "offered_qos_profiles": to_yaml(qos_profiles(topic.is_latched)),
        "topic_type_hash": definition(topic.type).hash,
    }
