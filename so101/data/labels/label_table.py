"""What a person reads about labels: what was said, by whom, and what still counts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from so101.clock import NS_PER_S
from so101.data.labels.labels import last_words, live_labels
from so101.data.text_table import ABSENT, align, printable
from so101.events import LabelEvent

COUNTS, REPLACED, TAKEN_BACK = "counts", "replaced", "taken back"


def said(label: LabelEvent) -> str:
    """Return what a label says."""
    if label.undoes:
        whose = "the" if label.undoes == label.rater else f"{label.undoes}'s"
        parts = [f"takes back {whose} last word"]
    else:
        parts = [label.outcome] if label.outcome else []
        parts += [] if label.advantage is None else [f"advantage {label.advantage:g}"]
        parts += label.reasons
    parts += [f"note: {label.note}"] if label.note else []
    return printable(", ".join(parts))


def states(history: Sequence[LabelEvent]) -> tuple[str, ...]:
    """Return of each entry whether it counts, was replaced or taken back; of an undo nothing."""
    standing = {id(label) for label in live_labels(history)}
    counting = {id(label) for label in last_words(history)}

    def state(label: LabelEvent) -> str:
        if label.undoes:
            return ""
        if id(label) in counting:
            return COUNTS
        return REPLACED if id(label) in standing else TAKEN_BACK

    return tuple(map(state, history))


def format_labels(labels: Sequence[LabelEvent]) -> str:
    """Return one line per label."""
    return "\n".join(f"{printable(label.rater)} says: {said(label)}" for label in labels)


def format_history(history: Sequence[LabelEvent]) -> str:
    """Return everything that was ever said as a table, oldest first."""
    if not history:
        return "nobody has said anything"
    rows = [("when", "who", "state", "said")]
    for label, state in zip(history, states(history), strict=True):
        rows.append((_when(label.stamp_ns), label.rater, state, said(label)))
    return align(rows)


def label_mapping(label: LabelEvent) -> dict[str, Any]:
    """Return a label as JSON takes it."""
    return {
        "stamp_ns": label.stamp_ns,
        "rater": label.rater,
        "outcome": label.outcome,
        "advantage": label.advantage,
        "reasons": list(label.reasons),
        "note": label.note,
        "undoes": label.undoes,
    }


def history_mapping(history: Sequence[LabelEvent]) -> list[dict[str, Any]]:
    """Return everything that was ever said, and what still counts."""
    return [
        {**label_mapping(label), "state": state}
        for label, state in zip(history, states(history), strict=True)
    ]


def _when(stamp_ns: int) -> str:
    """Return a stamp as local time; a message given by hand often has none."""
    if not 0 < stamp_ns < 4_102_444_800 * NS_PER_S:  # up to the year 2100
        return ABSENT
    return datetime.fromtimestamp(stamp_ns // NS_PER_S).strftime("%Y-%m-%d %H:%M:%S")
