"""Writes bags as `ros2 bag record` of Jazzy and Kilted leaves them, with the library `mcap`.

Made from what rosbag2's sources say of the layout, not from our writer: an inner record named
rosbag2 at the beginning of every file, before anything is known, and again at its end; topic
counts in the last file only; the offered QoS of every publisher beside each channel.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_KILTED)
NEVER_NS = 2**63 - 1
FOREVER = {"sec": 9223372036, "nsec": 854775807}


def offered(
    reliability: str = "reliable",
    durability: str = "volatile",
    deadline: dict[str, int] | None = None,
) -> dict[str, Any]:
    """What is recorded of one publisher; over Fast DDS nobody learns its history and depth."""
    return {
        "history": "unknown",
        "depth": 0,
        "reliability": reliability,
        "durability": durability,
        "deadline": deadline or FOREVER,
        "lifespan": FOREVER,
        "liveliness": "automatic",
        "liveliness_lease_duration": FOREVER,
        "avoid_ros_namespace_conventions": False,
    }


@dataclass
class Recorded:
    """A topic: its type, what its publishers offer, how many messages there are of it."""

    type: str
    profiles: list[dict[str, Any]]
    count: int = 0
    channel: int = -1


@dataclass
class _Span:
    path: str
    start_ns: int = NEVER_NS
    end_ns: int = 0
    count: int = 0

    def values(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "starting_time": {"nanoseconds_since_epoch": self.start_ns},
            "duration": {"nanoseconds": max(0, self.end_ns - self.start_ns)},
            "message_count": self.count,
        }

    def take(self, log_ns: int) -> None:
        self.start_ns, self.end_ns = min(self.start_ns, log_ns), max(self.end_ns, log_ns)
        self.count += 1


@dataclass
class Rosbag2Writer:
    """One bag, split into a new file after so many messages."""

    directory: Path
    split_after: int = 0
    custom_data: dict[str, str] = field(default_factory=dict)
    topics: dict[str, Recorded] = field(default_factory=dict)
    files: list[_Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self._begin_file()

    def create_topic(self, name: str, kind: str, profiles: list[dict[str, Any]]) -> None:
        """Make a topic known; until then nothing of it can be written."""
        self.topics[name] = Recorded(kind, profiles)
        self._add_channel(name)

    def write(self, name: str, data: bytes, received_ns: int, sent_ns: int) -> None:
        """Append a message, in the next file where this one is full."""
        if self.split_after and self.files[-1].count >= self.split_after:
            self._end_file(is_last=False)
            self._begin_file()
            for topic in self.topics:
                self._add_channel(topic)
        topic = self.topics[name]
        self._mcap.add_message(topic.channel, received_ns, data, sent_ns, 0)
        topic.count += 1
        self.files[-1].take(received_ns)

    def close(self) -> Path:
        """Finish the last file, and write metadata.yaml."""
        self._end_file(is_last=True)
        text = yaml.safe_dump(
            {"rosbag2_bagfile_information": self._information(is_last=True)}, sort_keys=False
        )
        (self.directory / "metadata.yaml").write_text(text)
        return self.directory

    def die(self) -> Path:
        """Leave the bag as a killed recorder does: no summary, no metadata.yaml."""
        self._mcap.flush()
        self._stream.close()
        return self.directory

    def _begin_file(self) -> None:
        name = f"{self.directory.name}_{len(self.files)}.mcap"
        self.files.append(_Span(name))
        self._stream = (self.directory / name).open("wb")
        self._mcap = McapWriter(
            self._stream, chunk_size=768 * 1024, compression=CompressionType.NONE
        )
        self._mcap.start(profile="ros2", library="libmcap 1.1.0")
        self._schemas: dict[str, int] = {}
        self._say(is_last=False)

    def _end_file(self, *, is_last: bool) -> None:
        self._say(is_last=is_last)
        self._mcap.finish()
        self._stream.close()

    def _add_channel(self, name: str) -> None:
        topic = self.topics[name]
        if topic.type not in self._schemas:
            text, _ = TYPES.generate_msgdef(topic.type)
            number = self._mcap.register_schema(topic.type, "ros2msg", text.encode())
            self._schemas[topic.type] = number
        told = {
            "offered_qos_profiles": yaml.safe_dump(topic.profiles, sort_keys=False),
            "topic_type_hash": TYPES.hash_rihs01(topic.type),
        }
        topic.channel = self._mcap.register_channel(name, "cdr", self._schemas[topic.type], told)

    def _say(self, *, is_last: bool) -> None:
        text = yaml.safe_dump(self._information(is_last=is_last), sort_keys=False)
        self._mcap.add_metadata("rosbag2", {"serialized_metadata": text})

    def _information(self, *, is_last: bool) -> dict[str, Any]:
        counted = self.topics if is_last else {}
        filled = [file for file in self.files if file.count]
        start_ns = min((file.start_ns for file in filled), default=NEVER_NS)
        duration_ns = max((file.end_ns - start_ns for file in filled), default=0)
        return {
            "version": 9,
            "storage_identifier": "mcap",
            "duration": {"nanoseconds": duration_ns},
            "starting_time": {"nanoseconds_since_epoch": start_ns},
            "message_count": sum(topic.count for topic in counted.values()),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": name,
                        "type": topic.type,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.profiles,
                        "type_description_hash": TYPES.hash_rihs01(topic.type),
                    },
                    "message_count": topic.count,
                }
                for name, topic in counted.items()
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file.path for file in self.files],
            "files": [file.values() for file in self.files],
            "custom_data": self.custom_data or None,
            "ros_distro": "kilted",
        }
