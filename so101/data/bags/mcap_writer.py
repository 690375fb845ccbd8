"""The MCAP format as the recorder writes it: whole chunks, an index, checksums of everything.

Knows records and their order, not files. Whatever writes them cuts off a record that was refused
half-way; `size` counts whole ones. `McapIndex` also makes the end of a file whose writer died.
Chunks are not compressed: JPEG does not shrink, and readers map the file.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from so101.data.bags.mcap_file import MAGIC

LIBRARY = "so101"
CHUNK_BYTES = 1024 * 1024
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX = 1, 2, 3, 4, 5, 6, 7
_CHUNK_INDEX, _STATISTICS, _METADATA, _METADATA_INDEX = 8, 0x0B, 0x0C, 0x0D
_SUMMARY_OFFSET, _DATA_END = 0x0E, 0x0F
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<BQHIQQ")
_MESSAGE_BYTES = 22
_CHUNK_HEAD = struct.Struct("<BQQQQIIQ")
_INDEX_HEAD = struct.Struct("<BQHI")
_ENTRY = struct.Struct("<QQ")


def record(opcode: int, body: bytes) -> bytes:
    """Return one record."""
    return _RECORD.pack(opcode, len(body)) + body


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw


def _texts(values: Mapping[str, str]) -> bytes:
    pairs = b"".join(_text(key) + _text(value) for key, value in values.items())
    return struct.pack("<I", len(pairs)) + pairs


def _numbers(values: Mapping[int, int]) -> bytes:
    pairs = b"".join(struct.pack("<HQ", *pair) for pair in values.items())
    return struct.pack("<I", len(pairs)) + pairs


@dataclass(frozen=True, kw_only=True)
class ChunkPlace:
    """Where a chunk lies in a file, and what is in it.

    Attributes:
        start_ns: Smallest log time of its messages [ns].
        end_ns: Largest log time of its messages [ns].
        at: Where its record begins.
        length: Bytes of its record.
        indexes: Where the message index of each of its channels begins.
        indexes_length: Bytes of all of them.
        size: Bytes of the records in it.
    """

    start_ns: int
    end_ns: int
    at: int
    length: int
    indexes: Mapping[int, int]
    indexes_length: int
    size: int


@dataclass(kw_only=True)
class McapIndex:
    """What the end of a file says of what precedes it.

    Attributes:
        counts: Messages by channel id.
        start_ns: Smallest log time [ns]; 0 without messages.
        end_ns: Largest log time [ns].
    """

    counts: dict[int, int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    _schemas: dict[int, bytes] = field(default_factory=dict)
    _channels: dict[int, bytes] = field(default_factory=dict)
    _chunks: bytearray = field(default_factory=bytearray)  # packed: hours of them stay small
    _metadata: bytearray = field(default_factory=bytearray)
    _chunk_count: int = 0
    _metadata_count: int = 0

    @property
    def messages(self) -> int:
        """Messages in all chunks."""
        return sum(self.counts.values())

    def add_schema(self, schema: int, body: bytes) -> None:
        """Take a schema's record."""
        self._schemas[schema] = record(_SCHEMA, body)

    def add_channel(self, channel: int, body: bytes) -> None:
        """Take a channel's record."""
        self._channels[channel] = record(_CHANNEL, body)
        self.counts.setdefault(channel, 0)

    def add_metadata(self, at: int, length: int, name: str) -> None:
        """Take where a metadata record lies."""
        self._metadata += record(_METADATA_INDEX, struct.pack("<QQ", at, length) + _text(name))
        self._metadata_count += 1

    def add_chunk(self, place: ChunkPlace, counts: Mapping[int, int]) -> None:
        """Take a chunk and the messages that it holds of each channel."""
        is_first = self._chunk_count == 0
        self.start_ns = place.start_ns if is_first else min(self.start_ns, place.start_ns)
        self.end_ns = max(self.end_ns, place.end_ns)
        for channel, count in counts.items():
            self.counts[channel] = self.counts.get(channel, 0) + count
        body = struct.pack("<QQQQ", place.start_ns, place.end_ns, place.at, place.length)
        body += _numbers(place.indexes) + struct.pack("<Q", place.indexes_length)
        body += _text("") + struct.pack("<QQ", place.size, place.size)
        self._chunks += record(_CHUNK_INDEX, body)
        self._chunk_count += 1

    def ending(self, at: int, crc: int) -> bytes:
        """Return everything behind the data: its end, the summary, the footer.

        Args:
            at: Bytes of the file so far.
            crc: CRC-32 of them.
        """
        data_end = record(_DATA_END, struct.pack("<I", crc))
        start = at + len(data_end)
        groups = {
            _SCHEMA: b"".join(self._schemas.values()),
            _CHANNEL: b"".join(self._channels.values()),
            _STATISTICS: self._statistics(),
            _CHUNK_INDEX: bytes(self._chunks),
            _METADATA_INDEX: bytes(self._metadata),
        }
        summary, offsets = b"", b""
        for opcode, group in groups.items():
            if group:
                place = struct.pack("<BQQ", opcode, start + len(summary), len(group))
                offsets += record(_SUMMARY_OFFSET, place)
                summary += group
        offsets_at = start + len(summary)
        footer = _RECORD.pack(_FOOTER, 20) + struct.pack("<QQ", start, offsets_at)
        checked = summary + offsets + footer
        return data_end + checked + struct.pack("<I", zlib.crc32(checked)) + MAGIC

    def _statistics(self) -> bytes:
        counted = {channel: count for channel, count in self.counts.items() if count}
        numbers = (self.messages, len(self._schemas), len(self._channels), 0)
        parts = (self._metadata_count, self._chunk_count, self.start_ns, self.end_ns)
        body = struct.pack("<QHIIIIQQ", *numbers, *parts) + _numbers(counted)
        return record(_STATISTICS, body)


class Sink(Protocol):
    """Where a file's bytes go."""

    def write(self, data: bytes) -> None:
        """Take the next bytes, all of them, or raise."""
        ...

    def crc(self) -> int:
        """Return the CRC-32 of everything taken."""
        ...


class McapWriter:
    """Writes one file from its first byte to its last.

    Attributes:
        index: What has been written so far.
        size: Bytes written so far.
    """

    def __init__(self, sink: Sink, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Write the file's head.

        Args:
            sink: Takes whole records.
            chunk_bytes: A chunk is written once it holds as much.
        """
        self.index = McapIndex()
        self.size = 0
        self._sink = sink
        self._chunk_bytes = chunk_bytes
        self._schemas = 0
        self._channels = 0
        self._clear()
        self._write(MAGIC + record(_HEADER, _text("ros2") + _text(LIBRARY)))

    def _clear(self) -> None:
        self._parts: list[bytes] = []
        self._pending = 0
        self._entries: dict[int, bytearray] = {}
        self._start_ns = self._end_ns = -1

    @property
    def pending(self) -> int:
        """Bytes that wait for their chunk to be written."""
        return self._pending

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Write text by key, behind everything that was added before."""
        self.flush()
        told = record(_METADATA, _text(name) + _texts(values))
        self.index.add_metadata(self.size, len(told), name)
        self._write(told)

    def add_schema(self, name: str, text: str) -> int:
        """Add a message type and return its id; it is written with the next chunk."""
        self._schemas += 1
        body = struct.pack("<H", self._schemas) + _text(name) + _text("ros2msg") + _text(text)
        self.index.add_schema(self._schemas, body)
        self._add(record(_SCHEMA, body))
        return self._schemas

    def add_channel(self, topic: str, schema: int, details: Mapping[str, str]) -> int:
        """Add a topic of CDR messages and return its id; it is written with the next chunk."""
        self._channels += 1
        body = struct.pack("<HH", self._channels, schema) + _text(topic) + _text("cdr")
        body += _texts(details)
        self.index.add_channel(self._channels, body)
        self._add(record(_CHANNEL, body))
        return self._channels

    def _add(self, data: bytes) -> None:
        self._parts.append(data)
        self._pending += len(data)

    def add_message(
        self, channel: int, log_ns: int, data: bytes, publish_ns: int, sequence: int
    ) -> None:
        """Add a message to the chunk, and write the chunk when it is large enough.

        Args:
            channel: What `add_channel` returned.
            log_ns: When it arrived [ns].
            data: Its bytes.
            publish_ns: When it was sent [ns].
            sequence: Its number on the channel, below 2**32.
        """
        length = _MESSAGE_BYTES + len(data)
        head = _MESSAGE_HEAD.pack(_MESSAGE, length, channel, sequence, log_ns, publish_ns)
        entries = self._entries.get(channel)
        if entries is None:
            entries = self._entries[channel] = bytearray()
        entries += _ENTRY.pack(log_ns, self._pending)
        self._parts += (head, data)
        self._pending += 9 + length
        if log_ns > self._end_ns:
            self._end_ns = log_ns
        if log_ns < self._start_ns or self._start_ns < 0:
            self._start_ns = log_ns
        if self._pending > self._chunk_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the chunk that was begun; without a message there is none."""
        if not self._entries:
            return
        records = b"".join(self._parts)
        size = len(records)
        span = (self._start_ns, self._end_ns)
        head = _CHUNK_HEAD.pack(_CHUNK, 40 + size, *span, size, zlib.crc32(records), 0, size)
        indexes: list[bytes | bytearray] = []
        places, counts = {}, {}
        indexes_at = end = self.size + len(head) + size
        for channel, entries in self._entries.items():
            places[channel], counts[channel] = end, len(entries) // _ENTRY.size
            indexes += (
                _INDEX_HEAD.pack(_MESSAGE_INDEX, 6 + len(entries), channel, len(entries)),
                entries,
            )
            end += _INDEX_HEAD.size + len(entries)
        place = ChunkPlace(
            start_ns=span[0],
            end_ns=span[1],
            at=self.size,
            length=len(head) + size,
            indexes=places,
            indexes_length=end - indexes_at,
            size=size,
        )
        self._write(head, records, b"".join(indexes))  # the records are not copied again
        self.index.add_chunk(place, counts)
        self._clear()

    def finish(self) -> None:
        """Write what waits and the end of the file."""
        self.flush()
        self._write(self.index.ending(self.size, self._sink.crc()))

    def _write(self, *pieces: bytes) -> None:
        """Write whole records; the size grows when all of it is written."""
        for piece in pieces:
            self._sink.write(piece)
        self.size += sum(map(len, pieces))
