"""Two histories of what was said about one episode become one, and nothing is lost. Pure.

Commutative, associative and idempotent: whoever merges in whatever order gets the same. Entries
stay as they were written, keys that this version does not know included.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from so101.errors import BagError

VERSION, LABELS, VALUES = "schema_version", "labels", "values"
NEWEST_VERSION = 2
_REPLACED, _STAMP = "replaced_ns", "stamp_ns"
_MOST_REPLACED = 32

Sidecar = Mapping[str, Any]
"""The content of a ``labels.json``."""


def read_history(text: str | bytes, where: str) -> Sidecar:
    """Read the content of a ``labels.json``.

    Raises:
        BagError: It is corrupt or of a later version.
    """
    try:
        content = json.loads(text)
        version = content[VERSION]
        for entry in (*content[LABELS], *content.get(VALUES, [])):
            int(entry[_STAMP])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BagError(f"{where}: broken labels: {error!r}") from error
    if type(version) is not int or not 1 <= version <= NEWEST_VERSION:
        raise BagError(f"{where}: schema version {version!r}, expected 1 to {NEWEST_VERSION}")
    return dict(content)


def merge_histories(histories: Iterable[Sidecar]) -> dict[str, Any]:
    """Return everything that any of the histories says, in the order of its stamps.

    Of the numbers per tick that one rater gave under one name the newest series counts, as in one
    store; when the others were said is kept.
    """
    histories = list(histories)
    merged: dict[str, Any] = {}
    for history in histories:
        for key, value in history.items():
            if key not in (VERSION, LABELS, VALUES):
                merged[key] = max(merged.get(key, value), value, key=canonical)
    merged[VERSION] = max((history[VERSION] for history in histories), default=1)
    labels = {canonical(label): label for one in histories for label in one[LABELS]}
    merged[LABELS] = sorted(labels.values(), key=_order)
    values = [entry for one in histories for entry in one.get(VALUES, [])]
    if values or merged[VERSION] > 1:
        merged[VALUES] = _newest_series(values)
    return merged


def canonical(value: Any) -> str:
    """Return the one text of a JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _newest_series(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    said: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        key = canonical([entry.get(name) for name in ("episode", "name", "rater")])
        said.setdefault(key, []).append(entry)
    return sorted(map(_newest, said.values()), key=_order)


def _newest(entries: list[Mapping[str, Any]]) -> dict[str, Any]:
    newest = max(entries, key=lambda entry: _order(_without_past(entry)))
    before = {stamp for entry in entries for stamp in (entry[_STAMP], *entry.get(_REPLACED, ()))}
    before.discard(newest[_STAMP])
    return {**newest, _REPLACED: sorted(before)[-_MOST_REPLACED:]}


def _without_past(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != _REPLACED}


def _order(entry: Mapping[str, Any]) -> tuple[int, str]:
    return int(entry[_STAMP]), canonical(entry)
