"""What people and raters said about an episode: the labels in ``labels.json`` beside its bag.

The history is kept; of each rater the last word counts, and of all raters the newest. A word is
taken back by saying so: the history grows, and what was said before it counts again.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from so101.data.labels.label_file import FILE_NAME, check_rater, read_sidecar, write_sidecar
from so101.episode import Outcome
from so101.errors import BagError, StoreError
from so101.events import LabelEvent

__all__ = [
    "FILE_NAME",
    "MAX_NOTE",
    "append_label",
    "last_words",
    "live_labels",
    "merge_labels",
    "read_labels",
    "resolve_advantage",
    "resolve_outcome",
    "who_said",
]

MAX_NOTE = 2000
"""Longest note [characters]."""
_ALLOWED = [outcome.value for outcome in Outcome if outcome is not Outcome.INCOMPLETE]


def read_labels(directory: Path) -> tuple[LabelEvent, ...]:
    """Return the history of an episode, oldest first; empty when there is no file.

    Raises:
        BagError: The file is corrupt or of a later version.
    """
    sidecar = read_sidecar(directory, has_values=False)
    return tuple(_from_json(label, sidecar.path) for label in sidecar.labels)


def append_label(directory: Path, label: LabelEvent) -> None:
    """Add a label to an episode's history; one that arrives again is there already.

    Raises:
        StoreError: It says something that no label can, takes back what nobody said, or the file
            cannot be written.
        BagError: The present file is corrupt or of a later version.
    """
    check_label(label)
    sidecar = read_sidecar(directory)
    history = [_from_json(known, sidecar.path) for known in sidecar.labels]
    if label.stamp_ns and label in history:
        return
    same = live_labels([known for known in history if known.episode == label.episode])
    if label.undoes and all(word.rater != label.undoes for word in same):
        raise StoreError(f"{label.episode}: {label.undoes} has no label that can be taken back")
    write_sidecar(replace(sidecar, labels=[*sidecar.labels, _to_json(label)]))


def check_label(label: LabelEvent) -> None:
    """Refuse what no label can say.

    Raises:
        StoreError: The outcome is unknown, the advantage not finite, the note too long, the rater
            has no name, or it takes a word back and says another.
    """
    check_rater(label.rater)
    if label.outcome and label.outcome not in _ALLOWED:
        raise StoreError(f"label {label.outcome!r} is not one of {', '.join(_ALLOWED)}")
    if label.advantage is not None and not math.isfinite(label.advantage):
        raise StoreError(f"label: advantage {label.advantage} is not finite")
    if len(label.note) > MAX_NOTE:
        raise StoreError(f"label: a note of {len(label.note)} characters, at most {MAX_NOTE}")
    if label.undoes and (label.outcome or label.reasons or label.advantage is not None):
        raise StoreError("label: take a word back or say another, not both at once")


def live_labels(history: Sequence[LabelEvent]) -> tuple[LabelEvent, ...]:
    """Return what is not taken back, oldest first.

    Each undo takes back the newest word of its rater that still stands; with none it does nothing.
    An undo is no word: it cannot be taken back, the word is said again instead. What arrives again
    from the topic, stamp and all, is not said again.
    """
    standing: dict[str, list[int]] = {}
    known: set[LabelEvent] = set()
    for place, label in enumerate(history):
        if label.stamp_ns and label in known:
            continue
        known.add(label)
        if not label.undoes:
            standing.setdefault(label.rater, []).append(place)
        elif standing.get(label.undoes):
            standing[label.undoes].pop()
    places = sorted(place for of_rater in standing.values() for place in of_rater)
    return tuple(history[place] for place in places)


def last_words(history: Sequence[LabelEvent]) -> tuple[LabelEvent, ...]:
    """Return the last standing label of each rater, oldest first."""
    last: dict[str, LabelEvent] = {}
    for label in live_labels(history):
        last.pop(label.rater, None)
        last[label.rater] = label
    return tuple(last.values())


def merge_labels(
    recorded: Iterable[LabelEvent], history: Sequence[LabelEvent]
) -> tuple[LabelEvent, ...]:
    """Return what a bag and its sidecar say together, each label once.

    A label that came while the episode ran is in both; taken back in the sidecar, it must not
    live on in the bag.
    """
    known = frozenset(history)
    return (*(label for label in recorded if label not in known), *history)


def resolve_outcome(recorded: Outcome | None, history: Sequence[LabelEvent]) -> Outcome | None:
    """Return the outcome that counts: the newest of the raters' last words, else the recorded one.

    An incomplete episode stays incomplete whatever anybody says: a part of it is missing.
    """
    said = None if recorded is Outcome.INCOMPLETE else _outcome_label(history)
    return Outcome(said.outcome) if said else recorded


def who_said(recorded: Outcome | None, history: Sequence[LabelEvent]) -> str:
    """Return whose word the outcome is that `resolve_outcome` returns; empty when recorded."""
    said = None if recorded is Outcome.INCOMPLETE else _outcome_label(history)
    return said.rater if said else ""


def resolve_advantage(history: Sequence[LabelEvent]) -> float | None:
    """Return the newest advantage among the raters' last words, or None."""
    said = [label.advantage for label in last_words(history) if label.advantage is not None]
    return said[-1] if said else None


def _outcome_label(history: Sequence[LabelEvent]) -> LabelEvent | None:
    said = [label for label in last_words(history) if label.outcome]
    return said[-1] if said else None


def _to_json(label: LabelEvent) -> dict[str, Any]:
    said: dict[str, Any] = {
        "stamp_ns": label.stamp_ns,
        "episode": label.episode,
        "rater": label.rater,
    }
    if label.undoes:
        return {**said, "undoes": label.undoes, "note": label.note}
    return {
        **said,
        "outcome": label.outcome,
        "advantage": label.advantage,
        "reasons": list(label.reasons),
        "note": label.note,
    }


def _from_json(values: Any, path: Path) -> LabelEvent:
    try:
        is_undo = bool(values.get("undoes"))
        advantage = None if is_undo else values["advantage"]
        label = LabelEvent(
            stamp_ns=int(values["stamp_ns"]),
            episode=str(values["episode"]),
            rater=str(values["rater"]),
            outcome="" if is_undo else str(values["outcome"]),
            advantage=None if advantage is None else float(advantage),
            reasons=() if is_undo else tuple(str(reason) for reason in values["reasons"]),
            note=str(values.get("note", "")),
            undoes=str(values.get("undoes", "")),
        )
        if label.outcome:
            Outcome(label.outcome)
        if label.advantage is not None and not math.isfinite(label.advantage):
            raise ValueError(f"advantage {label.advantage} is not finite")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise BagError(f"{path}: broken label: {error!r}") from error
    return label
