"""metadata.yaml as rosbag2 writes it (version 9) and as any version's bags carry it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from so101.errors import BagError

FILE_NAME = "metadata.yaml"
VERSION = 9
"""The newest version of rosbag2's metadata that is known; every one from 1 on is read."""

_MAX_BYTES = 1 << 24
_MAX_EVENTS = 1 << 20
_MAX_DEPTH = 64
_PLAIN_BYTES, _PLAIN_LINE, _PLAIN_BRACKETS = 1 << 18, 1 << 11, 1 << 10
_NOTHING = ("", "~", "null")
_MAX_NUMBER = 20  # digits: more do not fit rosbag2's integers
_FOREVER = {"sec": 9223372036, "nsec": 854775807}
_LATCHED = {
    "history": "keep_last",
    "depth": 1,
    "reliability": "reliable",
    "durability": "transient_local",
    "deadline": _FOREVER,
    "lifespan": _FOREVER,
    "liveliness": "automatic",
    "liveliness_lease_duration": _FOREVER,
    "avoid_ros_namespace_conventions": False,
}
# libyaml where it is there: the pure Python loader is 20 times slower
_BASE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BASE_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _TextLoader(_BASE_LOADER):  # type: ignore[misc]  # its class depends on what is installed
    """A safe loader that makes nothing but text, lists and mappings.

    No numbers in base 60 and no merged keys: a few kilobytes of either can take for ever.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: yaml.SafeLoader.yaml_constructors[tag]
        for tag in (None, *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")))
    }

    def flatten_mapping(self, node: Any) -> None:
        del node


_LOADER = _TextLoader


class _Dumper(_BASE_DUMPER):  # type: ignore[misc]  # its class depends on what is installed
    """A safe dumper that writes repeated values out: other readers need not know aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


@dataclass(frozen=True, kw_only=True)
class TopicCount:
    """One topic of a finished bag.

    Attributes:
        name: Absolute topic name.
        type: ROS type name.
        messages: How many there are.
        is_latched: Offered as transient local.
    """

    name: str
    type: str
    messages: int
    is_latched: bool = False


@dataclass(frozen=True, kw_only=True)
class FileSpan:
    """One file of a finished bag.

    Attributes:
        name: File name.
        start_ns: Time of its first message [ns].
        duration_ns: From its first to its last message [ns].
        messages: How many there are.
    """

    name: str
    start_ns: int
    duration_ns: int
    messages: int

    @property
    def end_ns(self) -> int:
        """Time of its last message [ns]."""
        return self.start_ns + self.duration_ns

    def values(self) -> dict[str, Any]:
        """Return what metadata.yaml calls a span."""
        return {
            "duration": {"nanoseconds": self.duration_ns},
            "starting_time": {"nanoseconds_since_epoch": self.start_ns},
            "message_count": self.messages,
        }


@dataclass(frozen=True, kw_only=True)
class BagMetadata:
    """What metadata.yaml says.

    Attributes:
        files: File names, in order.
        storage: ``mcap`` or ``sqlite3``.
        compression_mode: Empty, ``file`` or ``message``.
        messages: Messages in all files; -1 when nobody counted.
        duration_ns: From the first to the last message [ns].
        custom_data: Text by key.
        topics: Absolute topic names; none where nobody wrote them down.
    """

    files: tuple[str, ...]
    storage: str = "mcap"
    compression_mode: str = ""
    messages: int = -1
    duration_ns: int = 0
    custom_data: Mapping[str, str] = field(default_factory=dict)
    topics: tuple[str, ...] = ()


def qos_profiles(topic_is_latched: bool) -> list[dict[str, Any]]:
    """Return the offered QoS profiles of a topic; none means rosbag2's reliable default."""
    return [_LATCHED] if topic_is_latched else []


def to_yaml(value: Any) -> str:
    """Write plain values as block YAML."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False))


def information(
    files: Sequence[FileSpan], topics: Sequence[TopicCount], custom_data: Mapping[str, str]
) -> dict[str, Any]:
    """Return the content of metadata.yaml for a bag of MCAP files, in order."""
    filled = [file for file in files if file.messages]
    start_ns = min((file.start_ns for file in filled), default=0)
    whole = FileSpan(
        name="",
        start_ns=start_ns,
        duration_ns=max((file.end_ns for file in filled), default=start_ns) - start_ns,
        messages=sum(file.messages for file in files),
    )
    return {
        "version": VERSION,
        "storage_identifier": "mcap",
        **whole.values(),
        "topics_with_message_count": [_topic_entry(topic) for topic in topics],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [{"path": file.name, **file.values()} for file in files],
        "custom_data": dict(custom_data) or None,
        "ros_distro": "unknown",
    }


def _topic_entry(topic: TopicCount) -> dict[str, Any]:
    from so101.data.bags.messages import definition  # from pip: who reads does without

    return {
        "topic_metadata": {
            "name": topic.name,
            "type": topic.type,
            "serialization_format": "cdr",
            "offered_qos_profiles": qos_profiles(topic.is_latched),
            "type_description_hash": definition(topic.type).hash,
        },
        "message_count": topic.messages,
    }


def read_metadata(directory: Path) -> BagMetadata:
    """Read the metadata.yaml of a bag.

    Raises:
        BagError: It is missing, unreadable, of a later version or lacks what a reader needs.
    """
    path = directory / FILE_NAME
    try:
        if not path.is_file():  # reading a pipe would wait for ever
            raise BagError(f"{path}: is no file")
        if path.stat().st_size > _MAX_BYTES:
            raise BagError(f"{path}: larger than {_MAX_BYTES} bytes")
        return parse_metadata(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BagError(f"{path}: cannot be read: {error}") from error


def parse_metadata(text: str, where: str) -> BagMetadata:
    """Parse the text of metadata.yaml, with or without its outer key.

    Raises:
        BagError: It is not valid YAML, of a later version or lacks what a reader needs.
    """
    try:
        _check_nesting(text)
        values = yaml.load(text, Loader=_LOADER)  # makes nothing but text, lists and mappings
        values = values.get("rosbag2_bagfile_information", values)
        version = _number(values["version"])
        if not 1 <= version <= VERSION:
            raise BagError(
                f"{where}: rosbag2 metadata version {version}, known are 1 to {VERSION}"
            )
        return BagMetadata(
            files=tuple(Path(_word(name)).name for name in values["relative_file_paths"]),
            storage=_word(values["storage_identifier"]),
            compression_mode=_word(values.get("compression_mode", "")).lower(),
            messages=_number(values["message_count"]),
            duration_ns=_number(values["duration"]["nanoseconds"]),
            custom_data=_words(values.get("custom_data", "")),
            topics=_names(values.get("topics_with_message_count", "")),
        )
    except (yaml.YAMLError, RecursionError) as error:
        raise BagError(f"{where}: not valid YAML: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BagError(f"{where}: not rosbag2 metadata: {error!r}") from error


def _check_nesting(text: str) -> None:
    """Refuse what is nested deeper than any metadata: libyaml's composer overflows the stack."""
    brackets = text.count("[") + text.count("{")
    longest = max(map(len, text.splitlines()), default=0)
    # A block nests one level per column at most, so short lines bound the depth.
    if len(text) <= _PLAIN_BYTES and brackets <= _PLAIN_BRACKETS and longest <= _PLAIN_LINE:
        return
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH or count > _MAX_EVENTS:
            raise yaml.YAMLError("nested too deeply" if depth > _MAX_DEPTH else "too many values")


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a word, got a {type(value).__name__}")
    return value


def _number(value: Any) -> int:
    if len(_word(value)) > _MAX_NUMBER:
        raise ValueError(f"a number of {len(value)} digits")
    return int(value)


def _names(topics: Any) -> tuple[str, ...]:
    if topics in _NOTHING:
        return ()
    return tuple(_word(one["topic_metadata"]["name"]) for one in topics)


def _words(values: Any) -> dict[str, str]:
    """Return a mapping of words; no value, as version 5 and older have it, is an empty one."""
    if values in _NOTHING:
        return {}
    return {_word(key): _word(value) for key, value in values.items()}
