"""Reads an MCAP file, whole or damaged, without trusting a byte of it.

One pass over the records, so a file that lost its end reads like a complete one up to there. Every
length is checked against what is left, every chunk against its checksum, and the message count
against the file's own statistics. Messages stay views of the file: nothing is copied or decoded.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from so101.data.bags.unpacking import Allowance, unpack_beginning, unpack_chunk
from so101.errors import BagError

MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 1, 2, 3, 4, 5, 6
_STATISTICS, _METADATA, _DATA_END = 0x0B, 0x0C, 0x0F
_KNOWN = frozenset(range(1, 0x10))
_RECORDS_AT_ONCE = 1 << 12
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQI")


class RawMessage(NamedTuple):
    """One message as it lies in the file."""

    log_time_ns: int
    publish_time_ns: int
    channel: int
    data: memoryview


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One topic of a file.

    Attributes:
        topic: Topic name.
        type: ROS type name.
        encoding: Message encoding; cdr in ROS 2 bags.
        is_latched: Offered as transient local.
    """

    topic: str
    type: str
    encoding: str
    is_latched: bool = False


@dataclass(kw_only=True)
class McapContent:
    """What a file holds.

    Attributes:
        channels: By channel id.
        messages: In file order.
        metadata: Metadata records by name.
        damage: Why the file is not whole; empty when it is.
    """

    channels: dict[int, Channel] = field(default_factory=dict)
    messages: list[RawMessage] = field(default_factory=list)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    damage: str = ""


class _CutError(Exception):
    """The file ends inside a record."""


def read_mcap(
    data: memoryview,
    where: str,
    *,
    check_all: bool = False,
    is_salvage: bool = False,
    allowance: Allowance | None = None,
) -> McapContent:
    """Read every message of a file.

    Args:
        data: The file's bytes.
        where: Its path, for error messages.
        check_all: Also check the checksums of the data and summary sections.
        is_salvage: Take what comes before the first broken record, whatever broke it.
        allowance: What may still be unpacked; by default what suits the file's size.

    Returns:
        The content; ``damage`` says whether the file was cut short.

    Raises:
        BagError: The bytes are not MCAP or contradict themselves.
    """
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise BagError(f"{where}: not an MCAP file ({len(data)} bytes)")
    reading = _Reading(data, where, allowance or Allowance(len(data)))
    try:
        reading.run()
    except _CutError as cut:
        reading.content.damage = str(cut)
    except (BagError, struct.error, UnicodeDecodeError) as error:
        if not is_salvage:
            raise BagError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error
        reading.content.damage = str(error)
    if check_all and not reading.content.damage:
        reading.check_sections()
    return reading.content


class _Reading:
    """One pass over a file."""

    def __init__(self, data: memoryview, where: str, allowance: Allowance) -> None:
        self.content = McapContent()
        self._allowance = allowance
        self._data = data
        self._where = where
        self._schemas: dict[int, str] = {}
        self._counted: int | None = None
        self._data_end: tuple[int, int] | None = None
        self._footer: tuple[int, memoryview] | None = None
        self._steps: dict[int, Callable[[memoryview], None]] = {
            _SCHEMA: self._read_schema,
            _CHANNEL: self._read_channel,
            _MESSAGE: self._read_message,
            _CHUNK: self._read_chunk,
            _STATISTICS: self._read_statistics,
            _METADATA: self._read_metadata,
        }

    def run(self) -> None:
        """Read to the footer.

        Raises:
            _CutError: The file ends before it.
        """
        for at, opcode, body in self._walk():
            if opcode == 0:  # a power loss leaves zeros where data was not yet on the disk
                raise _CutError(f"zeros from byte {at} on")
            if opcode not in _KNOWN and opcode < 0x80:
                raise BagError(f"{self._where}: unknown record type {opcode} at byte {at}")
            if opcode == _FOOTER:
                self._footer = (at, body)
                break
            if opcode == _DATA_END:
                self._data_end = (at, struct.unpack_from("<I", body)[0])
            self._take(opcode, body)
        if self._footer is None:
            raise _CutError("the file has no footer")
        if bytes(self._data[-len(MAGIC) :]) != MAGIC:
            raise _CutError("the file does not end with the MCAP magic")
        found = len(self.content.messages)
        if self._counted is not None and self._counted != found:
            raise BagError(f"{self._where}: holds {found} messages, its index {self._counted}")

    def _walk(self) -> Iterator[tuple[int, int, memoryview]]:
        """Yield the file's records; of a chunk that was cut, read what is there."""
        at = len(MAGIC)
        try:
            for start, opcode, body in _records(self._data, at):
                yield start, opcode, body
                at = start + _RECORD.size + len(body)
        except _CutError:
            if self._data[at : at + 1] == bytes([_CHUNK]):
                with suppress(BagError, struct.error, UnicodeDecodeError):
                    self._read_cut_chunk(self._data[at + _RECORD.size :])
            raise

    def _take(self, opcode: int, body: memoryview) -> None:
        step = self._steps.get(opcode)
        if step is None:
            return
        try:
            step(body)
        except (BagError, struct.error, UnicodeDecodeError) as error:
            if self._data_end is None:
                raise
            # Every message has been read; only the repetition for seeking readers is broken.
            raise _CutError(f"broken summary: {error}") from error

    def check_sections(self) -> None:
        """Check the checksums that cover everything outside the chunks too."""
        if self._data_end is not None and self._data_end[1]:
            at, expected = self._data_end
            if zlib.crc32(self._data[:at]) != expected:
                raise BagError(f"{self._where}: wrong checksum of the data section")
        if self._footer is not None:
            at, body = self._footer
            start, _, expected = struct.unpack_from("<QQI", body)
            # The checksum covers the summary and the footer up to the checksum itself.
            if expected and zlib.crc32(self._data[start : at + _RECORD.size + 16]) != expected:
                raise BagError(f"{self._where}: wrong checksum of the summary")

    def _read_schema(self, body: memoryview) -> None:
        (schema,) = struct.unpack_from("<H", body)
        name, _ = _text(body, 2)
        self._schemas[schema] = name

    def _read_channel(self, body: memoryview) -> None:
        channel, schema = struct.unpack_from("<HH", body)
        topic, at = _text(body, 4)
        encoding, at = _text(body, at)
        if schema not in self._schemas:
            raise BagError(f"{self._where}: topic {topic!r} has no schema")
        known = Channel(
            topic=topic,
            type=self._schemas[schema],
            encoding=encoding,
            is_latched="transient_local" in _texts(body, at).get("offered_qos_profiles", ""),
        )
        if self.content.channels.setdefault(channel, known) != known:
            raise BagError(f"{self._where}: channel {channel} is defined twice")

    def _read_message(self, body: memoryview) -> None:
        channel, _, log_time, publish_time = _MESSAGE_HEAD.unpack_from(body)
        if channel not in self.content.channels:
            raise BagError(f"{self._where}: a message of unknown channel {channel}")
        self.content.messages.append(
            RawMessage(log_time, publish_time, channel, body[_MESSAGE_HEAD.size :])
        )

    def _read_chunk(self, body: memoryview) -> None:
        _, _, size, checksum = _CHUNK_HEAD.unpack_from(body)
        compression, at = _text(body, _CHUNK_HEAD.size)
        (stored,) = struct.unpack_from("<Q", body, at)
        packed = body[at + 8 :]
        if len(packed) != stored:
            raise BagError(f"{self._where}: a chunk holds {len(packed)} bytes, claims {stored}")
        records = unpack_chunk(packed, compression, size, self._allowance)
        if checksum and zlib.crc32(records) != checksum:
            raise BagError(f"{self._where}: wrong checksum of a chunk")
        try:
            self._read_records(records)
        except _CutError:
            raise BagError(f"{self._where}: a chunk ends inside a record") from None

    def _read_cut_chunk(self, body: memoryview) -> None:
        """Read a chunk without its end, and so without the checksum's protection."""
        compression, at = _text(body, _CHUNK_HEAD.size)
        records = unpack_beginning(body[at + 8 :], compression, self._allowance)
        with suppress(_CutError):
            self._read_records(records)

    def _read_records(self, records: memoryview) -> None:
        count = 0
        for count, (_, opcode, inner) in enumerate(_records(records, 0), 1):
            if opcode == _MESSAGE:
                self._read_message(inner)
            elif opcode in (_SCHEMA, _CHANNEL):
                self._steps[opcode](inner)
            if not count % _RECORDS_AT_ONCE:
                self._allowance.take(0, _RECORDS_AT_ONCE)
        self._allowance.take(0, count % _RECORDS_AT_ONCE)

    def _read_statistics(self, body: memoryview) -> None:
        (self._counted,) = struct.unpack_from("<Q", body)

    def _read_metadata(self, body: memoryview) -> None:
        name, at = _text(body, 0)
        self.content.metadata[name] = _texts(body, at)


def _records(data: memoryview, at: int) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (offset, opcode, body) of each record.

    Raises:
        _CutError: The bytes end inside a record.
    """
    size = len(data)
    while at < size:
        if at + _RECORD.size > size:
            raise _CutError(f"cut inside a record at byte {at}")
        opcode, length = _RECORD.unpack_from(data, at)
        start = at + _RECORD.size
        if length > size - start:
            raise _CutError(f"cut inside a record at byte {at}")
        yield at, opcode, data[start : start + length]
        at = start + length


def _text(body: memoryview, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", body, at)
    end = at + 4 + length
    if end > len(body):
        raise struct.error(f"text of {length} bytes does not fit its record")
    return str(body[at + 4 : end], "utf-8"), end


def _texts(body: memoryview, at: int) -> dict[str, str]:
    (length,) = struct.unpack_from("<I", body, at)
    at += 4
    end = at + length
    values: dict[str, str] = {}
    while at < end:
        key, at = _text(body, at)
        values[key], at = _text(body, at)
    return values
