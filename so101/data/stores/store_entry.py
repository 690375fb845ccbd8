"""One episode of a store as its listing shows it, and the index line that caches it."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from so101.data.bags.bag_metadata import FILE_NAME as METADATA_NAME
from so101.data.bags.bag_metadata import read_metadata
from so101.data.bags.custom_data import default_id, facts_from_text, outcome_from_text
from so101.data.labels.labels import FILE_NAME as LABELS_NAME
from so101.data.labels.labels import read_labels, resolve_outcome, who_said
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError

_CRC = ', "crc": '


@dataclass(frozen=True, kw_only=True)
class EpisodeEntry:
    """One episode of a store.

    Attributes:
        path: Its bag.
        facts: What is known about it.
        outcome: What counts now: the newest label, else what was recorded; None when unlabelled.
        rater: Whose word that outcome is; empty when it was recorded.
        duration_s: From the first to the last message [s].
        messages: Messages in the bag; -1 when nobody counted.
        custom_data: Text by key.
        problem: Why it cannot be used; empty when it can.
    """

    path: Path
    facts: EpisodeFacts
    outcome: Outcome | None = None
    rater: str = ""
    duration_s: float = 0.0
    messages: int = -1
    custom_data: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def is_foreign(self) -> bool:
        """Tell whether somebody else's recorder made it: it says nothing about a session."""
        return "phase" not in self.custom_data

    @property
    def is_demonstration(self) -> bool:
        """Tell whether it is worth imitating: usable, shown by somebody, not known to have failed.

        A foreign bag without an outcome is taken for a successful demonstration: people keep
        what went well.
        """
        if self.problem or self.outcome not in (None, Outcome.SUCCESS):
            return False
        by_hand = self.facts.phase == "manual" and self.facts.source == "teleop"
        return self.is_foreign or by_hand or self.facts.phase == "demonstrations"

    @property
    def is_incomplete(self) -> bool:
        """Tell whether a part of the recording is missing."""
        return self.outcome is Outcome.INCOMPLETE


@dataclass(frozen=True, kw_only=True)
class IndexLine:
    """What ``index.jsonl`` remembers of an episode; all of it can be read from the bag again.

    Attributes:
        directory: Name of the bag in its store.
        duration_ns: From the first to the last message [ns].
        messages: Messages in the bag; -1 when nobody counted.
        custom_data: Text by key.
        stamp: State of metadata.yaml when it was read, see `stamp_of`; empty without one.
        labels: State of labels.json when it was read; empty without one.
        outcome: What counted then, recorded or said; empty when nothing was.
        rater: Whose word that was; empty when it was recorded.
    """

    directory: str
    duration_ns: int
    messages: int
    custom_data: Mapping[str, str]
    stamp: str = ""
    labels: str = ""
    outcome: str = ""
    rater: str = ""

    def to_json(self) -> str:
        """Return the line without its end; its last key is a checksum of all before."""
        text = json.dumps(
            {
                "directory": self.directory,
                "duration_ns": self.duration_ns,
                "messages": self.messages,
                "custom_data": dict(self.custom_data),
                "stamp": self.stamp,
                "labels": self.labels,
                "outcome": self.outcome,
                "rater": self.rater,
            }
        )
        return f"{text[:-1]}{_CRC}{zlib.crc32(text.encode())}}}"

    @classmethod
    def from_json(cls, text: str) -> "IndexLine | None":
        """Read a line; None when it is broken, as the last one is after a power loss."""
        body, _, crc = text.rstrip("\n").rpartition(_CRC)
        try:
            if f"{zlib.crc32(f'{body}}}'.encode())}}}" != crc:
                return None
            values = json.loads(text)
            custom = values["custom_data"].items()
            return cls(
                directory=str(values["directory"]),
                duration_ns=int(values["duration_ns"]),
                messages=int(values["messages"]),
                custom_data={str(key): str(value) for key, value in custom},
                stamp=str(values["stamp"]),
                labels=str(values["labels"]),
                outcome=Outcome(values["outcome"]).value if values["outcome"] else "",
                rater=str(values["rater"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    @classmethod
    def of_bag(cls, path: Path) -> "IndexLine":
        """Read the line's content from a bag and the labels beside it.

        Raises:
            BagError: Its metadata is corrupt, or its labels are.
        """
        stamp = stamp_of(f"{path}/{METADATA_NAME}")  # before reading: a later change shows
        if not stamp:
            return cls(
                directory=path.name, duration_ns=0, messages=-1, custom_data={}
            ).with_labels(path)
        metadata = read_metadata(path)
        recorded = outcome_from_text(metadata.custom_data, str(path))
        return cls(
            directory=path.name,
            duration_ns=metadata.duration_ns,
            messages=metadata.messages,
            custom_data=metadata.custom_data,
            stamp=stamp,
            outcome=recorded.value if recorded else "",
        ).with_labels(path)

    def with_labels(self, path: Path) -> "IndexLine":
        """Return the line with what counts by the labels that are there now; itself if it does.

        Raises:
            BagError: The labels are corrupt.
        """
        # asked first: to read the labels of ten thousand episodes takes as long as all the rest
        now = stamp_of(f"{path}/{LABELS_NAME}")
        if now == self.labels:
            return self
        recorded = outcome_from_text(self.custom_data, str(path))
        episode = self.custom_data.get("id") or default_id(path)
        # a bag of several episodes has words on each of them, which are none on the bag
        history = [label for label in read_labels(path) if label.episode == episode]
        outcome = resolve_outcome(recorded, history)
        return replace(
            self,
            labels=now,
            outcome=outcome.value if outcome else "",
            rater=who_said(recorded, history),
        )


def stamp_of(path: str) -> str:
    """Return a text that changes whenever a file is changed or replaced; empty without a file."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}"


def to_entry(path: Path, line: IndexLine) -> EpisodeEntry:
    """Return the listing's entry of an episode, from a line that knows its present labels."""
    try:
        facts = facts_from_text(line.custom_data, default_id(path))
    except BagError as error:
        return broken_entry(path, f"{path}: {error}")
    return EpisodeEntry(
        path=path,
        facts=facts,
        outcome=Outcome(line.outcome) if line.outcome else None,
        rater=line.rater,
        duration_s=line.duration_ns * 1e-9,
        messages=line.messages,
        custom_data=line.custom_data,
    )


def broken_entry(path: Path, problem: str) -> EpisodeEntry:
    """Return the listing's entry of an episode that cannot be used."""
    return EpisodeEntry(path=path, facts=EpisodeFacts(id=path.name), problem=problem)
