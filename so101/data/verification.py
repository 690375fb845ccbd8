"""Checks an episode down to the last byte and says everything that is wrong with it."""

from dataclasses import dataclass
from pathlib import Path

from so101.data.bag import Bag, open_bag
from so101.data.bag_writer import SHA256_KEY
from so101.data.custom_data import published_from_text
from so101.data.durable import file_sha256
from so101.data.store_entry import EpisodeEntry
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


def _check_digest(entry: EpisodeEntry, bag: Bag) -> list[str]:
    files = [entry.path] if entry.path.is_file() else sorted(entry.path.glob("*.mcap"))
    told = {file: bag.custom_data.get(f"{SHA256_KEY}/{file.name}") for file in files}
    if len(files) == 1:
        told = {files[0]: told[files[0]] or bag.custom_data.get(SHA256_KEY)}
    return [
        f"{file}: its sha256 has changed"
        for file, expected in told.items()
        if expected is not None and _digest(file) != expected
    ]


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
