"""Opens any rosbag2 bag and hands out its serialized messages in the order they arrived.

Ours and other people's: MCAP and sqlite3, split files, zstd, lost metadata, lost ends. Does not
decode messages and knows no topic names.
"""

import mmap
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from so101.data.bags.bag_file import FACTS_RECORD
from so101.data.bags.bag_metadata import FILE_NAME, BagMetadata, parse_metadata, read_metadata
from so101.data.bags.mcap_file import MAGIC, McapContent, read_mcap
from so101.data.bags.sqlite_file import read_database
from so101.data.bags.unpacking import Allowance, unpack_frame, unpack_stream
from so101.errors import BagError

_MAX_FILES = 100_000
_MAPPED_ABOVE = 1 << 22
_UNCOUNTED = -1
_LATEST_NS = 2**63 - 1
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message begins so
_ENDINGS = {"mcap": (".mcap", ".mcap.zstd"), "sqlite3": (".db3", ".db3.zstd")}


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
        is_cut: Only the end of its last file is missing; what precedes it is whole.
        metadata: What metadata.yaml says, or what was found in its place.
        is_ours: Made by this project's recorder.
    """

    path: Path
    types: Mapping[str, str]
    custom_data: Mapping[str, str]
    damage: str = ""
    is_cut: bool = False
    metadata: BagMetadata
    is_ours: bool = False
    _repeated: str = field(default="", repr=False)
    _messages: tuple[BagMessage, ...] = field(default=(), repr=False)

    @cached_property
    def repeated(self) -> BagMetadata | None:
        """The metadata that the bag's last file repeats; None when it does not.

        Raises:
            BagError: It is broken.
        """
        return parse_metadata(self._repeated, str(self.path)) if self._repeated else None

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

    def renamed(self, renames: Mapping[str, str]) -> "Bag":
        """Return the bag with other topic names.

        Args:
            renames: New absolute name by the name in the bag.

        Raises:
            BagError: A topic is not in the bag, or its new name is taken.
        """
        absent = [topic for topic in renames if topic not in self.types]
        if absent:
            held = ", ".join(self.types) or "none"
            raise BagError(f"{self.path}: no topic {', '.join(absent)} to rename; it holds {held}")
        types: dict[str, str] = {}
        for topic, kind in self.types.items():
            name = renames.get(topic, topic)
            if types.setdefault(name, kind) != kind or (topic in renames and name in self.types):
                raise BagError(f"{self.path}: {topic} cannot become {name}, which is taken")
        messages = [m._replace(topic=renames.get(m.topic, m.topic)) for m in self._messages]
        return replace(self, types=types, _messages=tuple(messages))


def open_bag(path: Path, *, check_all: bool = False) -> Bag:
    """Open a bag directory, or a single .mcap or .db3 file.

    Args:
        path: The bag.
        check_all: Also check the checksums that only matter to other readers.

    Raises:
        BagError: It is missing, corrupt or not a bag.
    """
    try:
        if not path.exists():
            raise BagError(f"{path}: does not exist")
        metadata = _find_metadata(path)
        if metadata.storage == "sqlite3":
            return _open_sqlite(path, metadata)
        if metadata.storage != "mcap":
            raise BagError(f"{path}: unknown storage {metadata.storage!r}")
        return _open_mcap(path, metadata, check_all)
    except OSError as error:
        raise BagError(f"{path}: cannot be read: {error}") from error
    except MemoryError as error:
        raise BagError(f"{path}: needs more memory than there is") from error


def _find_metadata(path: Path) -> BagMetadata:
    if path.is_file():
        storage = next((s for s, ends in _ENDINGS.items() if path.name.endswith(ends)), None)
        if storage is None:
            raise BagError(f"{path}: neither a bag directory nor .mcap nor .db3")
        return BagMetadata(files=(path.name,), storage=storage)
    if (path / FILE_NAME).exists():
        metadata = read_metadata(path)
        _check_files(path, metadata.files)
        return metadata
    for storage, endings in _ENDINGS.items():
        names = [file.name for file in path.iterdir() if file.is_file()]
        found = sorted((name for name in names if name.endswith(endings)), key=_part_number)
        if found:
            return BagMetadata(files=tuple(found), storage=storage)
    raise BagError(f"{path}: holds neither metadata.yaml nor .mcap nor .db3 files")


def _check_files(path: Path, files: tuple[str, ...]) -> None:
    if len(files) > _MAX_FILES or len(set(files)) < len(files):
        raise BagError(f"{path}: {FILE_NAME} names {len(files)} files, some of them twice")
    absent = [name for name in files if not (path / name).is_file()]
    if absent or not files:
        raise BagError(f"{path}: missing files: {', '.join(absent[:9]) or 'none is named'}")


def _part_number(name: str) -> tuple[int, str]:
    number = re.search(r"_(\d{1,9})\.", name)
    return (int(number.group(1)) if number else 0, name)


def _open_mcap(path: Path, metadata: BagMetadata, check_all: bool) -> Bag:
    folder = path if path.is_dir() else path.parent
    contents = [_read_file(folder / name, metadata, check_all) for name in metadata.files]
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
    damages = {n: c.damage for n, c in zip(metadata.files, contents, strict=True) if c.damage}
    repeated = [c.metadata.get("rosbag2", {}).get("serialized_metadata", "") for c in contents]
    facts = next((c.metadata[FACTS_RECORD] for c in contents if FACTS_RECORD in c.metadata), None)
    last_told = next((text for text in reversed(repeated) if text), "")
    inner = metadata.custom_data or _inner_custom_data(last_told, str(path)) or facts
    return Bag(
        path=path,
        types=types,
        custom_data=inner or {},
        damage=_said(damages) or _lost(messages, metadata),
        is_cut=[*damages] == [metadata.files[-1]],
        metadata=metadata,
        is_ours=facts is not None,
        _repeated=repeated[-1],
        _messages=_arranged(messages, metadata, path),
    )


def _read_file(path: Path, metadata: BagMetadata, check_all: bool) -> McapContent:
    if len(metadata.files) > 1 and path.stat().st_size < len(MAGIC):
        return McapContent(damage="ends before it begins")  # the others may be whole
    allowance = Allowance(path.stat().st_size)
    data = load_file(path, allowance)
    return read_mcap(data, str(path), check_all=check_all, allowance=allowance)


def _inner_custom_data(text: str, where: str) -> Mapping[str, str]:
    return parse_metadata(text, where).custom_data if text else {}


def load_file(path: Path, allowance: Allowance | None = None) -> memoryview:
    """Return a file's bytes, unpacked, without copying large ones."""
    if path.suffix == ".zstd":
        packed = path.read_bytes()
        try:
            return unpack_stream(packed, allowance or Allowance(len(packed)))
        except BagError as error:
            raise BagError(f"{path}: {error}") from error
    if path.stat().st_size <= _MAPPED_ABOVE:
        return memoryview(path.read_bytes())
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _open_sqlite(path: Path, metadata: BagMetadata) -> Bag:
    folder = path if path.is_dir() else path.parent
    types: dict[str, str] = {}
    messages: list[BagMessage] = []
    damages: dict[str, str] = {}
    contents = [read_database(folder / name) for name in metadata.files]
    for name, content in zip(metadata.files, contents, strict=True):
        for topic, kind in content.types.items():
            if types.setdefault(topic, kind) != kind:
                raise BagError(f"{folder / name}: {topic} has two types")
        messages += [BagMessage(*message) for message in content.messages]
        if content.damage:
            damages[name] = content.damage
    repeated = contents[-1].metadata
    return Bag(
        path=path,
        types=types,
        custom_data=metadata.custom_data or _inner_custom_data(repeated, str(path)),
        damage=_said(damages) or _lost(messages, metadata),
        is_cut=[*damages] == [metadata.files[-1]],
        metadata=metadata,
        _repeated=repeated,
        _messages=_arranged(messages, metadata, path),
    )


def _arranged(
    messages: list[BagMessage], metadata: BagMetadata, path: Path
) -> tuple[BagMessage, ...]:
    """Return messages in order of arrival, unpacked if each was packed for itself."""
    is_packed = metadata.compression_mode == "message"
    if metadata.messages == _UNCOUNTED and messages:  # no metadata.yaml says how they are packed
        is_packed = all(bytes(message.data[:4]) == _ZSTD_MAGIC for message in messages)
    if is_packed:
        allowance = Allowance(sum(len(message.data) for message in messages))
        try:
            messages = [m._replace(data=unpack_frame(m.data, allowance)) for m in messages]
        except BagError as error:
            raise BagError(f"{path}: a message {error}") from error
    messages.sort(key=lambda message: message.log_time_ns)  # stable: file order breaks ties
    if messages and messages[-1].log_time_ns > _LATEST_NS:
        raise BagError(f"{path}: a message arrived at {messages[-1].log_time_ns}, after all time")
    return tuple(messages)


def _said(damages: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {damage}" for name, damage in damages.items())


def _lost(messages: list[BagMessage], metadata: BagMetadata) -> str:
    if metadata.messages in (_UNCOUNTED, len(messages)):
        return ""
    return f"holds {len(messages)} messages, {FILE_NAME} says {metadata.messages}"
