"""What a crashed recorder left behind becomes a readable episode that says it is incomplete.

In place: the messages stay where they are, so that it also works on a disk that is full.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from so101.data.bags.bag_metadata import FILE_NAME, TopicCount, information, to_yaml
from so101.data.bags.bag_writer import PART, digests
from so101.data.bags.custom_data import OUTCOME
from so101.data.bags.mcap_repair import RepairedFile, repair_mcap
from so101.data.durable import NoSpaceError, store_error, sync_directory, write_text
from so101.episode import Outcome
from so101.errors import BagError, StoreError

RECOVERED = "recovered"
_WORK = ".recovering-"
_ROOM = (0, 1 << 16, 1 << 20, 1 << 24)
"""What is given up of the last messages, if need be, so that a bag's end finds room [bytes]."""


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


def recover_part(
    part: Path, quarantine: Path, told: Mapping[str, str] | None = None
) -> RecoveredEpisode:
    """Turn one unfinished recording into an episode, or move it to quarantine.

    Interrupted at any point, running it again ends the same way: the new name comes last.

    Args:
        part: Its directory.
        quarantine: Where it goes when it holds no message at all.
        told: Custom data beside what the recording itself says.

    Raises:
        StoreError: The disk refuses.
    """
    final = part.with_name(part.name.removesuffix(PART))
    try:
        if final.exists():
            shutil.rmtree(part)
            return _result(part, final, 0, "was recovered before")
        if (part / FILE_NAME).exists():
            _rename(part, final)
            return _result(part, final, 0, "was complete")
        try:
            files, reason = _finish(part, told or {})
        except BagError as error:
            _move_aside(part, quarantine)
            return _result(part, None, 0, str(error))
        _rename(part, final)
    except OSError as error:
        raise store_error(part, error) from error
    return _result(part, final, sum(file.finished.span.messages for file in files), reason)


def remove_leftovers(root: Path) -> None:
    """Delete what interrupted recoveries left; their sources are still there."""
    for leftover in root.glob(f"{_WORK}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _finish(part: Path, told: Mapping[str, str]) -> tuple[list[RepairedFile], str]:
    """Repair the files and write metadata.yaml; on a full disk with a little less each time."""
    for give_back in _ROOM:
        try:
            return _try_to_finish(part, told, give_back)
        except NoSpaceError:
            if give_back == _ROOM[-1]:
                raise
    raise StoreError(f"{part}: no space left")


def _try_to_finish(
    part: Path, told: Mapping[str, str], give_back: int
) -> tuple[list[RepairedFile], str]:
    paths = sorted(part.glob("*.mcap"), key=_file_number)
    if not paths:
        raise BagError(f"{part}: holds no .mcap file")
    files = _repair_all(paths, give_back)
    damage = "; ".join(f"{f.finished.span.name}: {f.damage}" for f in files if f.damage)
    reason = damage or "was never finished"
    custom = {
        **files[0].facts,
        **told,
        OUTCOME: Outcome.INCOMPLETE.value,
        RECOVERED: reason,
        **digests([file.finished for file in files]),
    }
    spans = [file.finished.span for file in files]
    known = information(spans, _sum_up(files), custom)
    write_text(part / FILE_NAME, to_yaml({"rosbag2_bagfile_information": known}))
    return files, reason


def _file_number(path: Path) -> int:
    number = re.search(r"_(\d+)$", path.stem)
    return int(number.group(1)) if number else 0


def _repair_all(paths: Sequence[Path], give_back: int) -> list[RepairedFile]:
    """Repair every file; only the last one was being written, and may hold nothing yet."""
    files = [repair_mcap(path) for path in paths[:-1]]
    try:
        files.append(repair_mcap(paths[-1], give_back))
    except BagError:
        if not files:
            raise
        paths[-1].unlink()
    return files


def _sum_up(files: Sequence[RepairedFile]) -> list[TopicCount]:
    counts: Counter[str] = Counter()
    for file in files:
        counts.update({topic.name: topic.messages for topic in file.topics})
    topics = {topic.name: topic for file in files for topic in file.topics}
    return [replace(topic, messages=counts[name]) for name, topic in topics.items()]


def _rename(part: Path, final: Path) -> None:
    os.rename(part, final)
    sync_directory(final.parent)


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
