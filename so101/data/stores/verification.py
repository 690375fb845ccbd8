"""Checks an episode down to the last byte and says everything that is wrong with it."""

from dataclasses import dataclass
from pathlib import Path

from so101.data.bags.bag import Bag, open_bag
from so101.data.bags.bag_metadata import FILE_NAME, BagMetadata
from so101.data.bags.bag_writer import SHA256_KEY
from so101.data.bags.custom_data import published_from_text
from so101.data.bags.recovery import RECOVERED
from so101.data.durable import file_sha256
from so101.data.stores.store_entry import EpisodeEntry
from so101.errors import BagError
from so101.topics import EPISODE, JOINT_COMMANDS, JOINT_STATES

_NEEDED = (JOINT_STATES.name, JOINT_COMMANDS.name, EPISODE.name)


@dataclass(frozen=True, kw_only=True)
class VerifiedEpisode:
    """What a check of an episode found.

    Attributes:
        entry: The episode.
        messages: Messages read.
        types: Topic name to ROS type name.
        problems: Everything that is wrong; empty when nothing is.
    """

    entry: EpisodeEntry
    messages: int
    types: dict[str, str]
    problems: tuple[str, ...]


def verify_bag(entry: EpisodeEntry) -> VerifiedEpisode:
    """Check one episode: checksums, message counts, topics."""
    problems = [entry.problem] if entry.problem else []
    try:
        bag = open_bag(entry.path, check_all=True)
    except BagError as error:
        problems.append(str(error))
        return VerifiedEpisode(
            entry=entry, messages=0, types={}, problems=tuple(dict.fromkeys(problems))
        )
    if bag.damage:
        problems.append(f"{entry.path}: {bag.damage}")
    try:
        problems += _check_metadata(entry, bag)
        problems += _check_digest(entry, bag)
        problems += _check_counts(entry, bag)
    except BagError as error:
        problems.append(str(error))
    absent = [name for name in _NEEDED if not any(is_named(t, name) for t in bag.types)]
    if absent:
        problems.append(f"{entry.path}: no topic {', '.join(absent)}")
    return VerifiedEpisode(
        entry=entry, messages=len(bag), types=dict(bag.types), problems=tuple(problems)
    )


def is_named(topic: str, name: str) -> bool:
    """Tell whether an absolute topic is the one of a relative name, in whatever namespace."""
    return topic == name or topic.endswith(f"/{name}")


def _check_metadata(entry: EpisodeEntry, bag: Bag) -> list[str]:
    """Compare metadata.yaml with what the last file, which has checksums, repeats of it."""
    told = bag.metadata
    if not bag.is_ours or told.messages < 0:
        return []
    repeated = bag.repeated
    if repeated is None:  # a bag that was recovered has no last word
        return []
    pairs = {}
    if RECOVERED not in told.custom_data:  # whoever recovers a bag says so behind its back
        pairs["custom_data"] = (_without_digests(told), _without_digests(repeated))
    if len(told.files) == 1:  # a file knows only of itself
        names = ("files", "storage", "compression_mode", "messages", "duration_ns")
        pairs |= {name: (vars(told)[name], vars(repeated)[name]) for name in names}
    return [
        f"{entry.path}: {FILE_NAME}: {name} has changed"
        for name, (now, before) in pairs.items()
        if now != before
    ]


def _without_digests(metadata: BagMetadata) -> dict[str, str]:
    custom = metadata.custom_data.items()
    return {key: text for key, text in custom if not key.startswith(SHA256_KEY)}


def _check_digest(entry: EpisodeEntry, bag: Bag) -> list[str]:
    if bag.metadata.messages < 0:
        return []  # without metadata.yaml nobody says what the sums should be
    custom, names = bag.metadata.custom_data, bag.metadata.files
    told = {name: custom.get(f"{SHA256_KEY}/{name}") for name in names}
    if len(names) == 1:
        told[names[0]] = told[names[0]] or custom.get(SHA256_KEY)
    problems = []
    for name, expected in told.items():
        if expected is not None and _digest(entry.path / name) != expected:
            problems.append(f"{entry.path / name}: its sha256 has changed")
        elif expected is None and bag.is_ours and bag.repeated is not None:
            problems.append(f"{entry.path}: {FILE_NAME}: no sha256 of {name}")
    return problems


def _check_counts(entry: EpisodeEntry, bag: Bag) -> list[str]:
    counts = bag.counts()
    problems = []
    for name, published in published_from_text(bag.custom_data, str(entry.path)).items():
        recorded = sum(count for topic, count in counts.items() if is_named(topic, name))
        if recorded < published:
            problems.append(f"{entry.path}: {name}: {recorded} of {published} messages")
    return problems


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise BagError(f"{path}: cannot be read: {error}") from error
