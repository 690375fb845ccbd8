"""What people and raters said about an episode: ``labels.json`` beside its bag.

The history is kept; of each rater the last word counts, and of all raters the newest.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from so101.data.durable import write_text
from so101.episode import Outcome
from so101.errors import BagError, StoreError
from so101.events import LabelEvent

FILE_NAME = "labels.json"
_SCHEMA_VERSION = 1
_MAX_BYTES = 1 << 24


def read_labels(directory: Path) -> tuple[LabelEvent, ...]:
    """Return every label of an episode, oldest first; none when there is no file.

    Raises:
        BagError: The file is corrupt or of a later version.
    """
    path = directory / FILE_NAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BagError(f"{path}: larger than {_MAX_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except NotADirectoryError:
        return ()
    except (OSError, ValueError, RecursionError) as error:
        raise BagError(f"{path}: cannot be read: {error}") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != _SCHEMA_VERSION:
        raise BagError(f"{path}: schema version {version!r}, expected {_SCHEMA_VERSION}")
    labels = values.get("labels")
    if not isinstance(labels, list):
        raise BagError(f"{path}: 'labels' is not a list")
    return tuple(_from_json(label, path) for label in labels)


def append_label(directory: Path, label: LabelEvent) -> None:
    """Add a label to an episode's history.

    Raises:
        StoreError: The outcome is unknown, or the file cannot be written.
        BagError: The present file is corrupt.
    """
    allowed = [outcome.value for outcome in Outcome if outcome is not Outcome.INCOMPLETE]
    if label.outcome and label.outcome not in allowed:
        raise StoreError(f"label {label.outcome!r} is not one of {', '.join(allowed)}")
    labels = [_to_json(known) for known in (*read_labels(directory), label)]
    text = json.dumps({"schema_version": _SCHEMA_VERSION, "labels": labels}, indent=1)
    write_text(directory / FILE_NAME, text + "\n")


def last_words(labels: Sequence[LabelEvent]) -> tuple[LabelEvent, ...]:
    """Return the last label of each rater, oldest first."""
    last: dict[str, LabelEvent] = {}
    for label in labels:
        last.pop(label.rater, None)
        last[label.rater] = label
    return tuple(last.values())


def resolve_outcome(recorded: Outcome | None, labels: Sequence[LabelEvent]) -> Outcome | None:
    """Return the outcome that counts: the newest of the raters' last words, else the recorded one.

    An incomplete episode stays incomplete whatever anybody says: a part of it is missing.
    """
    if recorded is Outcome.INCOMPLETE:
        return recorded
    said = [label.outcome for label in last_words(labels) if label.outcome]
    return Outcome(said[-1]) if said else recorded


def resolve_advantage(labels: Sequence[LabelEvent]) -> float | None:
    """Return the newest advantage among the raters' last words, or None."""
    said = [label.advantage for label in last_words(labels) if label.advantage is not None]
    return said[-1] if said else None


def _to_json(label: LabelEvent) -> dict[str, Any]:
    return {
        "stamp_ns": label.stamp_ns,
        "episode": label.episode,
        "rater": label.rater,
        "outcome": label.outcome,
        "advantage": label.advantage,
        "reasons": list(label.reasons),
    }


def _from_json(values: Any, path: Path) -> LabelEvent:
    try:
        advantage = values["advantage"]
        label = LabelEvent(
            stamp_ns=int(values["stamp_ns"]),
            episode=str(values["episode"]),
            rater=str(values["rater"]),
            outcome=str(values["outcome"]),
            advantage=None if advantage is None else float(advantage),
            reasons=tuple(str(reason) for reason in values["reasons"]),
        )
        if label.outcome:
            Outcome(label.outcome)
    except (KeyError, TypeError, ValueError) as error:
        raise BagError(f"{path}: broken label: {error!r}") from error
    return label
