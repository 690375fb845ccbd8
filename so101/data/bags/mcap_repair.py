"""Gives an MCAP file whose writer died the end that it lacks: in place, without copying a message.

Keeps everything before the first broken record and cuts off the rest. Doing it again, also after
an interruption, gives the same file.
"""

import os
import struct
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from so101.data.bags.bag import load_file
from so101.data.bags.bag_file import FACTS_RECORD, FinishedFile
from so101.data.bags.bag_metadata import FileSpan, TopicCount
from so101.data.bags.mcap_file import MAGIC, McapContent, read_mcap
from so101.data.bags.mcap_writer import ChunkPlace, McapIndex
from so101.data.durable import file_sha256, store_error
from so101.errors import BagError

_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _METADATA = 3, 4, 5, 6, 7, 0x0C
_RECORD = struct.Struct("<BQ")
_CHUNK_HEAD = struct.Struct("<QQQIIQ")


@dataclass(frozen=True, kw_only=True)
class RepairedFile:
    """A file that is whole again, or was.

    Attributes:
        finished: What a bag's metadata says of it.
        topics: Topics and their messages.
        facts: Text by key that its writer knew when it began.
        damage: What was wrong with it; empty when it was whole.
    """

    finished: FinishedFile
    topics: tuple[TopicCount, ...]
    facts: dict[str, str]
    damage: str


def repair_mcap(path: Path, give_back: int = 0) -> RepairedFile:
    """Make one file of a dead recorder whole.

    Args:
        path: The file.
        give_back: Bytes of messages at the end to do without, so that the end of the file finds
            room on a full disk.

    Raises:
        BagError: It holds no message.
        StoreError: The disk refuses.
    """
    content = read_mcap(load_file(path), str(path), is_salvage=True)
    if not content.messages:
        raise BagError(f"{path}: holds no message")
    if not content.damage and not give_back:
        times = [message.log_time_ns for message in content.messages]
        span = (min(times), max(times))
        counts = Counter(message.channel for message in content.messages)
        return _repaired(path, content, span, counts)
    pieces = _pieces(load_file(path))
    _drop_last(pieces, give_back)
    index = McapIndex()
    for piece in pieces:
        piece.add_to(index)
    if not index.messages:
        raise BagError(f"{path}: holds no message in a whole chunk")
    _write_end(path, pieces[-1].end, index)
    given = f"the last {give_back} bytes were given back to a full disk" if give_back else ""
    damage = "; ".join(filter(None, (content.damage, given)))
    return _repaired(path, content, (index.start_ns, index.end_ns), index.counts, damage)


def _drop_last(pieces: list["_Piece"], give_back: int) -> None:
    """Leave out the last pieces, but never the first chunk: it says what the channels are."""
    size = pieces[-1].end
    chunks = sum(piece.place is not None for piece in pieces)
    while size - pieces[-1].end < give_back and chunks > 1:
        chunks -= pieces.pop().place is not None


def _write_end(path: Path, size: int, index: McapIndex) -> None:
    try:
        with path.open("r+b", buffering=0) as stream:
            stream.truncate(size)
            crc = zlib.crc32(load_file(path))
            ending = index.ending(size, crc)
            stream.seek(size)
            try:
                while ending:
                    ending = ending[stream.write(ending) :]
            except OSError:
                stream.truncate(size)
                raise
            os.fsync(stream.fileno())
    except OSError as error:
        raise store_error(path, error) from error


def _repaired(
    path: Path,
    content: McapContent,
    span: tuple[int, int],
    counts: "Counter[int] | dict[int, int]",
    damage: str = "",
) -> RepairedFile:
    messages = sum(counts.values())
    told = FileSpan(
        name=path.name, start_ns=span[0], duration_ns=span[1] - span[0], messages=messages
    )
    return RepairedFile(
        finished=FinishedFile(span=told, sha256=file_sha256(path)),
        topics=tuple(
            TopicCount(
                name=channel.topic,
                type=channel.type,
                messages=counts.get(number, 0),
                is_latched=channel.is_latched,
            )
            for number, channel in content.channels.items()
        ),
        facts=content.metadata.get(FACTS_RECORD, {}),
        damage=damage,
    )


@dataclass(kw_only=True)
class _Piece:
    """A whole record of the data section, with what belongs to it.

    Attributes:
        end: Where it ends, with its message indexes.
        place: Of a chunk.
        counts: Messages of a chunk by channel.
        inner: Opcode and content of the schemas and channels in it.
        metadata: Where a metadata record begins, its length and its name.
    """

    end: int
    place: ChunkPlace | None = None
    counts: "Counter[int]" = field(default_factory=Counter)
    inner: list[tuple[int, bytes]] = field(default_factory=list)
    metadata: tuple[int, int, str] | None = None

    def add_to(self, index: McapIndex) -> None:
        for opcode, body in self.inner:
            (number,) = struct.unpack_from("<H", body)
            add = index.add_schema if opcode == _SCHEMA else index.add_channel
            add(number, body)
        if self.place is not None:
            index.add_chunk(self.place, self.counts)
        if self.metadata is not None:
            index.add_metadata(*self.metadata)


def _pieces(data: memoryview) -> list[_Piece]:
    """Return the records of the data section up to the first one that is broken."""
    pieces: list[_Piece] = []
    at = len(MAGIC)
    while at + _RECORD.size <= len(data):
        opcode, length = _RECORD.unpack_from(data, at)
        start, end = at + _RECORD.size, at + _RECORD.size + length
        if end > len(data):
            break
        if opcode == _CHUNK:
            piece = _chunk(data[start:end], at, end)
            if piece is None:
                break
            pieces.append(piece)
        elif opcode == _MESSAGE_INDEX and pieces and pieces[-1].place is not None:
            _take_index(pieces[-1], data[start:end], at, end)
        elif opcode == _METADATA:
            (size,) = struct.unpack_from("<I", data, start)
            name = str(data[start + 4 : start + 4 + size], "utf-8", "replace")
            pieces.append(_Piece(end=end, metadata=(at, end - at, name)))
        elif opcode == 1:
            pieces.append(_Piece(end=end))
        else:
            break  # the end of the data, or nothing that a recorder writes
        at = end
    return pieces


def _chunk(body: memoryview, at: int, end: int) -> _Piece | None:
    """Read a chunk; None when it is broken."""
    if len(body) < _CHUNK_HEAD.size:
        return None
    start_ns, end_ns, size, crc, compression, length = _CHUNK_HEAD.unpack_from(body)
    records = body[_CHUNK_HEAD.size :]
    if compression or length != len(records) or zlib.crc32(records) != crc:
        return None
    piece = _Piece(end=end)
    inside = 0
    while inside + _RECORD.size <= len(records):
        opcode, length = _RECORD.unpack_from(records, inside)
        inner = records[inside + _RECORD.size : inside + _RECORD.size + length]
        if opcode == _MESSAGE:
            piece.counts[struct.unpack_from("<H", inner)[0]] += 1
        elif opcode in (_SCHEMA, _CHANNEL):
            piece.inner.append((opcode, bytes(inner)))
        inside += _RECORD.size + length
    piece.place = ChunkPlace(
        start_ns=start_ns,
        end_ns=end_ns,
        at=at,
        length=end - at,
        indexes={},
        indexes_length=0,
        size=size,
    )
    return piece


def _take_index(piece: _Piece, body: memoryview, at: int, end: int) -> None:
    place = piece.place
    if place is not None:
        (channel,) = struct.unpack_from("<H", body)
        indexes = {**place.indexes, channel: at}
        piece.place = replace(
            place, indexes=indexes, indexes_length=place.indexes_length + end - at
        )
        piece.end = end
