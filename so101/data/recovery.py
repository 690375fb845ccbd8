"""What a crashed recorder left behind becomes a readable episode that says it is incomplete."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from so101.data.bag import load_file
from so101.data.bag_metadata import FILE_NAME
from so101.data.bag_writer import FACTS_RECORD, PART, BagWriter
from so101.data.custom_data import OUTCOME
from so101.data.durable import store_error, sync_directory
from so101.data.mcap_file import McapContent, read_mcap
from so101.episode import Outcome
from so101.errors import BagError
from so101.topics import Topic

RECOVERED = "recovered"
_WORK = ".recovering-"


@dataclass(frozen=True, kw_only=True)
class RecoveredEpisode:
    """What became of an unfinished recording.

    Attributes:
        directory: Name of the directory that was found.
        path: The episode it became, or None when it moved to quarantine.
        messages: Messages saved.
        reason: What was wrong with it.
    """

    directory: str
    path: Path | None
    messages: int
    reason: str


def recover_part(part: Path, quarantine: Path) -> RecoveredEpisode:
    """Turn one unfinished recording into an episode, or move it to quarantine.

    Interrupted at any point, running it again ends the same way: the old directory goes last.

    Raises:
        StoreError: The disk refuses.
    """
    final = part.with_name(part.name.removesuffix(PART))
    try:
        if final.exists():
            shutil.rmtree(part)
            return _result(part, final, 0, "was recovered before")
        if (part / FILE_NAME).exists():
            os.rename(part, final)
            sync_directory(final.parent)
            return _result(part, final, 0, "was complete")
        try:
            content = _read_part(part)
        except BagError as error:
            _move_aside(part, quarantine)
            return _result(part, None, 0, str(error))
        _rewrite(part, final, content)
        shutil.rmtree(part)
        sync_directory(final.parent)
    except OSError as error:
        raise store_error(part, error) from error
    return _result(part, final, len(content.messages), content.damage or "was never finished")


def remove_leftovers(root: Path) -> None:
    """Delete what interrupted recoveries left; their sources are still there."""
    for leftover in root.glob(f"{_WORK}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _read_part(part: Path) -> McapContent:
    files = sorted(part.glob("*.mcap"))
    if not files:
        raise BagError(f"{part}: holds no .mcap file")
    content = read_mcap(load_file(files[0]), str(files[0]), is_salvage=True)
    if not content.messages:
        raise BagError(f"{files[0]}: holds no message")
    return content


def _rewrite(part: Path, final: Path, content: McapContent) -> None:
    work = final.with_name(_WORK + final.name)
    topics = [
        Topic(name=channel.topic, type=channel.type, doc="", is_latched=channel.is_latched)
        for channel in content.channels.values()
    ]
    facts = content.metadata.get(FACTS_RECORD, {})
    name = next(part.glob("*.mcap")).stem.removesuffix("_0")
    writer = BagWriter(work, topics, name=name, facts=facts)
    names = {number: channel.topic for number, channel in content.channels.items()}
    for message in content.messages:
        writer.write(
            names[message.channel], message.data, message.log_time_ns, message.publish_time_ns
        )
    reason = content.damage or "was never finished"
    writer.close({**facts, OUTCOME: Outcome.INCOMPLETE.value, RECOVERED: reason})
    os.rename(work, final)


def _move_aside(part: Path, quarantine: Path) -> None:
    quarantine.mkdir(exist_ok=True)
    target = quarantine / part.name
    number = 0
    while target.exists():
        number += 1
        target = quarantine / f"{part.name}.{number}"
    os.rename(part, target)


def _result(part: Path, path: Path | None, messages: int, reason: str) -> RecoveredEpisode:
    return RecoveredEpisode(directory=part.name, path=path, messages=messages, reason=reason)
