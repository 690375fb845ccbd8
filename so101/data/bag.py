"""Opens any rosbag2 bag and hands out its serialized messages in the order they arrived.

Ours and other people's: MCAP and sqlite3, split files, zstd, lost metadata, lost ends. Does not
decode messages and knows no topic names.
"""

import mmap
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import zstandard

from so101.data.bag_file import FACTS_RECORD
from so101.data.bag_metadata import FILE_NAME, BagMetadata, parse_metadata, read_metadata
from so101.data.mcap_file import McapContent, read_mcap
from so101.errors import BagError

_MAX_FILES = 100_000
_MAX_UNPACKED = 1 << 34
_MAPPED_ABOVE = 1 << 26


class BagMessage(NamedTuple):
    """One serialized message.

    Attributes:
        log_time_ns: When the recorder got it [ns].
        topic: Absolute topic name.
        data: CDR bytes.
    """

    log_time_ns: int
    topic: str
    data: bytes | memoryview


@dataclass(frozen=True, kw_only=True)
class Bag:
    """An opened bag.

    Attributes:
        path: Its directory or file.
        types: Topic name to ROS type name.
        custom_data: Text by key, from metadata.yaml or the file itself.
        damage: Why the bag is not whole; empty when it is.
    """

    path: Path
    types: Mapping[str, str]
    custom_data: Mapping[str, str]
    damage: str = ""
    _messages: tuple[BagMessage, ...] = field(default=(), repr=False)

    @property
    def is_recovered(self) -> bool:
        """Tell whether only a part of the bag could be read."""
        return bool(self.damage)

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._messages)

    def counts(self) -> dict[str, int]:
        """Return the number of messages of every topic."""
        found = Counter(message.topic for message in self._messages)
        return {topic: found[topic] for topic in self.types}

    def messages(self, topics: Collection[str] | None = None) -> list[BagMessage]:
        """Return the messages of some topics, or all, in the order they arrived."""
        if topics is None:
            return list(self._messages)
        return [message for message in self._messages if message.topic in topics]


def open_bag(path: Path, *, check_all: bool = False) -> Bag:
    """Open a bag directory, or a single .mcap or .db3 file.

    Args:
        path: The bag.
        check_all: Also check the checksums that only matter to other readers.

    Raises:
        BagError: It is missing, corrupt or not a bag.
    """
    if not path.exists():
        raise BagError(f"{path}: does not exist")
    metadata = _find_metadata(path)
    try:
        if metadata.storage == "sqlite3":
            return _open_sqlite(path, metadata)
        if metadata.storage != "mcap":
            raise BagError(f"{path}: unknown storage {metadata.storage!r}")
        return _open_mcap(path, metadata, check_all)
    except OSError as error:
        raise BagError(f"{path}: cannot be read: {error}") from error


def _find_metadata(path: Path) -> BagMetadata:
    if path.is_file():
        storage = {".mcap": "mcap", ".db3": "sqlite3"}.get(path.suffix)
        if storage is None:
            raise BagError(f"{path}: neither a bag directory nor .mcap nor .db3")
        return BagMetadata(files=(path.name,), storage=storage)
    if (path / FILE_NAME).exists():
        metadata = read_metadata(path)
        absent = [name for name in metadata.files if not (path / name).is_file()]
        if absent or not metadata.files:
            raise BagError(f"{path}: missing files: {', '.join(absent) or 'none is named'}")
        if len(metadata.files) > _MAX_FILES:
            raise BagError(f"{path}: {len(metadata.files)} files")
        return metadata
    for pattern, storage in (("*.mcap*", "mcap"), ("*.db3*", "sqlite3")):
        found = sorted((file.name for file in path.glob(pattern)), key=_part_number)
        if found:
            is_packed = found[0].endswith(".zstd")
            mode = "file" if is_packed else ""
            return BagMetadata(files=tuple(found), storage=storage, compression_mode=mode)
    raise BagError(f"{path}: holds neither metadata.yaml nor .mcap nor .db3 files")


def _part_number(name: str) -> tuple[int, str]:
    number = re.search(r"_(\d+)\.", name)
    return (int(number.group(1)) if number else 0, name)


def _open_mcap(path: Path, metadata: BagMetadata, check_all: bool) -> Bag:
    folder = path if path.is_dir() else path.parent
    contents = [
        read_mcap(load_file(folder / name), str(folder / name), check_all=check_all)
        for name in metadata.files
    ]
    types: dict[str, str] = {}
    messages: list[BagMessage] = []
    for name, content in zip(metadata.files, contents, strict=True):
        for channel in content.channels.values():
            if channel.encoding != "cdr":
                raise BagError(f"{folder / name}: {channel.topic}: not CDR: {channel.encoding!r}")
            if types.setdefault(channel.topic, channel.type) != channel.type:
                raise BagError(f"{folder / name}: {channel.topic} has two types")
        names = {number: channel.topic for number, channel in content.channels.items()}
        messages += [BagMessage(m[0], names[m[2]], m[3]) for m in content.messages]
    if metadata.compression_mode == "message":
        messages = [m._replace(data=_unzstd(m.data, path)) for m in messages]
    damage = "; ".join(
        f"{name}: {content.damage}"
        for name, content in zip(metadata.files, contents, strict=True)
        if content.damage
    )
    messages.sort(key=lambda message: message.log_time_ns)  # stable: file order breaks ties
    return Bag(
        path=path,
        types=types,
        custom_data=metadata.custom_data or _inner_custom_data(contents, str(path)),
        damage=damage or _lost(messages, metadata),
        _messages=tuple(messages),
    )


def _inner_custom_data(contents: list[McapContent], where: str) -> Mapping[str, str]:
    for content in contents:
        text = content.metadata.get("rosbag2", {}).get("serialized_metadata")
        if text is not None:
            return parse_metadata(text, where).custom_data
    return next((c.metadata[FACTS_RECORD] for c in contents if FACTS_RECORD in c.metadata), {})


def load_file(path: Path) -> memoryview:
    """Return a file's bytes, unpacked, without copying large ones."""
    if path.suffix == ".zstd":
        return memoryview(_unzstd(path.read_bytes(), path))
    if path.stat().st_size <= _MAPPED_ABOVE:
        return memoryview(path.read_bytes())
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _unzstd(data: bytes | memoryview, path: Path) -> bytes:
    try:
        if zstandard.frame_content_size(data) > _MAX_UNPACKED:
            raise BagError(f"{path}: unpacks to more than {_MAX_UNPACKED} bytes")
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            plain = stream.read(_MAX_UNPACKED + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise BagError(f"{path}: cannot be unpacked: {error}") from error
    if len(plain) > _MAX_UNPACKED:
        raise BagError(f"{path}: unpacks to more than {_MAX_UNPACKED} bytes")
    return plain


def _open_sqlite(path: Path, metadata: BagMetadata) -> Bag:
    folder = path if path.is_dir() else path.parent
    types: dict[str, str] = {}
    messages: list[BagMessage] = []
    for name in metadata.files:
        try:
            found_types, found = _read_database(folder / name)
        except (sqlite3.Error, OverflowError) as error:
            raise BagError(f"{folder / name}: cannot be read: {error}") from error
        types |= found_types
        messages += found
    if metadata.compression_mode == "message":
        messages = [m._replace(data=_unzstd(m.data, path)) for m in messages]
    messages.sort(key=lambda message: message.log_time_ns)
    return Bag(
        path=path,
        types=types,
        custom_data=metadata.custom_data,
        damage=_lost(messages, metadata),
        _messages=tuple(messages),
    )


def _read_database(path: Path) -> tuple[dict[str, str], list[BagMessage]]:
    with closing(_connect(path)) as database:
        topics = {
            number: (str(name), str(kind), encoding)
            for number, name, kind, encoding in database.execute(
                "SELECT id, name, type, serialization_format FROM topics"
            )
        }
        messages = []
        for number, stamp, data in database.execute(
            "SELECT topic_id, timestamp, data FROM messages ORDER BY timestamp, id"
        ):
            if number not in topics or type(stamp) is not int or type(data) is not bytes:
                raise BagError(f"{path}: a message of unknown topic {number!r} or broken content")
            messages.append(BagMessage(stamp, topics[number][0], data))
    foreign = [name for name, _, encoding in topics.values() if encoding != "cdr"]
    if foreign:
        raise BagError(f"{path}: not CDR: {', '.join(foreign)}")
    return {name: kind for name, kind, _ in topics.values()}, messages


def _connect(path: Path) -> sqlite3.Connection:
    if path.suffix == ".zstd":
        database = sqlite3.connect(":memory:")
        database.deserialize(_unzstd(path.read_bytes(), path))
        return database
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _lost(messages: list[BagMessage], metadata: BagMetadata) -> str:
    if metadata.messages in (-1, len(messages)):
        return ""
    return f"holds {len(messages)} messages, {FILE_NAME} says {metadata.messages}"
