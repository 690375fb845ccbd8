"""One episode of a store as its listing shows it, and the index line that caches it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from so101.data.bag_metadata import read_metadata
from so101.data.custom_data import facts_from_text, outcome_from_text
from so101.data.labels import read_labels, resolve_outcome, who_said
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError


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
    """What ``index.jsonl`` remembers of an episode; all of it can be read from the bag again."""

    directory: str
    duration_ns: int
    messages: int
    custom_data: Mapping[str, str]

    def to_json(self) -> str:
        """Return the line without its end."""
        return json.dumps(
            {
                "directory": self.directory,
                "duration_ns": self.duration_ns,
                "messages": self.messages,
                "custom_data": dict(self.custom_data),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "IndexLine | None":
        """Read a line; None when it is broken, as the last one is after a power loss."""
        try:
            values = json.loads(text)
            custom = values["custom_data"].items()
            return cls(
                directory=str(values["directory"]),
                duration_ns=int(values["duration_ns"]),
                messages=int(values["messages"]),
                custom_data={str(key): str(value) for key, value in custom},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    @classmethod
    def of_bag(cls, path: Path) -> "IndexLine":
        """Read the line's content from a bag.

        Raises:
            BagError: Its metadata is corrupt.
        """
        if path.is_file() or not (path / "metadata.yaml").exists():
            return cls(directory=path.name, duration_ns=0, messages=-1, custom_data={})
        metadata = read_metadata(path)
        return cls(
            directory=path.name,
            duration_ns=metadata.duration_ns,
            messages=metadata.messages,
            custom_data=metadata.custom_data,
        )


def to_entry(path: Path, line: IndexLine) -> EpisodeEntry:
    """Return the listing's entry of an episode, with its labels taken into account."""
    name = path.stem if path.is_file() else path.name
    try:
        recorded = outcome_from_text(line.custom_data, str(path))
        history = read_labels(path)
        return EpisodeEntry(
            path=path,
            facts=facts_from_text(line.custom_data, name),
            outcome=resolve_outcome(recorded, history),
            rater=who_said(recorded, history),
            duration_s=line.duration_ns * 1e-9,
            messages=line.messages,
            custom_data=line.custom_data,
        )
    except BagError as error:
        return broken_entry(path, str(error))


def broken_entry(path: Path, problem: str) -> EpisodeEntry:
    """Return the listing's entry of an episode that cannot be used."""
    return EpisodeEntry(path=path, facts=EpisodeFacts(id=path.name), problem=problem)
