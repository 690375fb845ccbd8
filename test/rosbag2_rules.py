"""What rosbag2 of Jazzy and Kilted accepts as metadata, and which QoS its player then offers.

Written down from its sources as rules, so that our bags can be held against them where no ROS
distribution is: every key must be there, of its kind, and of the words that rmw knows.
"""

from typing import Any, NamedTuple

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WORDS = {
    "history": ("system_default", "keep_last", "keep_all", "unknown"),
    "reliability": ("system_default", "reliable", "best_effort", "unknown", "best_available"),
    "durability": ("system_default", "transient_local", "volatile", "unknown", "best_available"),
    "liveliness": ("system_default", "automatic", None, "manual_by_topic", "unknown"),
}
"""Per policy its words, each at the place of the number that older versions write."""

DURATIONS = ("deadline", "lifespan", "liveliness_lease_duration")
U64, I64 = 2**64, 2**63


class Offer(NamedTuple):
    """What the player offers for a topic; its history is always the last ten messages."""

    reliability: str = "reliable"
    durability: str = "volatile"
    deadline_ns: int = I64 - 1


class Metadata(NamedTuple):
    """What it needs of metadata.yaml to play a bag."""

    version: int
    files: list[str]
    start_ns: int
    count: int
    types: dict[str, str]
    offers: dict[str, Offer]
    custom_data: dict[str, str]


def read(text: str) -> Metadata:
    """Read metadata.yaml, or what a file repeats of it; raise KeyError or AssertionError."""
    said = yaml.load(text, LOADER)
    said = said.get("rosbag2_bagfile_information", said)
    version = number(said["version"], 10)
    assert version in (8, 9)
    files = [word(name) for name in said["relative_file_paths"]]
    for span in (*said["files"], {**said, "path": ""}):
        word(span["path"])
        number(span["starting_time"]["nanoseconds_since_epoch"], I64)
        number(span["duration"]["nanoseconds"], I64)
        number(span["message_count"], U64)
    assert [span["path"] for span in said["files"]] == files
    assert said["storage_identifier"] == "mcap"
    assert (word(said["compression_format"]), word(said["compression_mode"])) == ("", "")
    word(said["ros_distro"])
    topics = [(one["topic_metadata"], one["message_count"]) for one in said[_TOPICS]]
    assert sum(number(count, U64) for _, count in topics) == said["message_count"]
    for topic, _ in topics:
        assert word(topic["serialization_format"]) == "cdr"
        assert word(topic["type_description_hash"]).startswith("RIHS01_")
    return Metadata(
        version=version,
        files=files,
        start_ns=said["starting_time"]["nanoseconds_since_epoch"],
        count=said["message_count"],
        types={word(topic["name"]): word(topic["type"]) for topic, _ in topics},
        offers={topic["name"]: offer(profiles(topic, version)) for topic, _ in topics},
        custom_data={word(key): word(text) for key, text in (said["custom_data"] or {}).items()},
    )


_TOPICS = "topics_with_message_count"


def profiles(topic: dict[str, Any], version: int) -> list[dict[str, Any]]:
    """Read the offered profiles: a list since version 9, before that its text."""
    found = topic["offered_qos_profiles"]
    if version < 9:
        found = yaml.load(found, LOADER) if word(found) else []
    assert isinstance(found, list)
    return [profile(one) for one in found]


def profile(said: dict[str, Any]) -> dict[str, Any]:
    """Read one profile; a number as its history means that all its policies are numbers."""
    is_numbers = isinstance(said["history"], int)
    policies = {}
    for policy, words in WORDS.items():
        value = said[policy]
        assert isinstance(value, int) == is_numbers, policy
        policies[policy] = words[value] if is_numbers else words[words.index(value)]
    number(said["depth"], I64)
    assert isinstance(said["avoid_ros_namespace_conventions"], bool)
    for name in DURATIONS:
        seconds, rest = number(said[name]["sec"], U64), number(said[name]["nsec"], U64)
        policies[name] = min(seconds * 10**9 + rest, I64 - 1)
    return policies


def offer(recorded: list[dict[str, Any]]) -> Offer:
    """Return what is played: what all publishers offered alike, else the default."""
    alike = {
        (one["reliability"], one["durability"], one["deadline"], one["liveliness"])
        for one in recorded
    }
    if len(alike) != 1:
        return Offer()
    reliability, durability, deadline_ns, _ = alike.pop()
    return Offer(reliability, durability, deadline_ns)


def word(value: Any) -> str:
    assert isinstance(value, str), value
    return value


def number(value: Any, below: int) -> int:
    assert isinstance(value, int), value
    assert 0 <= value < below
    return value
