"""``labels.json`` as a file beside a bag: bounded, versioned, replaced as a whole.

Entries stay as they were written, keys that this version does not know included; what they mean is
the business of `so101.data.labels.labels` and `so101.data.labels.value_series`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so101.data.durable import write_text
from so101.errors import BagError, StoreError

FILE_NAME = "labels.json"
MAX_BYTES = 1 << 24
MAX_NAME = 128
"""Longest name of a rater [characters]."""
_SCHEMA_VERSION = 2
_VERSION, _LABELS, _VALUES = "schema_version", "labels", "values"


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What a file holds, as JSON has it.

    Attributes:
        path: The file.
        labels: Every label, oldest first.
        values: One entry per series of values.
        rest: Whatever else somebody put there.
    """

    path: Path
    labels: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)


def read_sidecar(directory: Path, *, has_values: bool = True) -> Sidecar:
    """Read the file of an episode; without one nothing was said.

    Args:
        directory: Its bag.
        has_values: Off, the values may be left out: a listing of many episodes needs only labels.

    Raises:
        BagError: It is too large, corrupt or of a later version.
    """
    path = directory / FILE_NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BagError(f"{path}: larger than {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        content = (None if has_values else _head(text)) or json.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return Sidecar(path=path)
    except (OSError, ValueError, RecursionError) as error:
        raise BagError(f"{path}: cannot be read: {error}") from error
    version = content.get(_VERSION) if isinstance(content, dict) else None
    if type(version) is not int or not 1 <= version <= _SCHEMA_VERSION:
        raise BagError(f"{path}: schema version {version!r}, expected 1 to {_SCHEMA_VERSION}")
    return Sidecar(
        path=path,
        labels=_list(content.get(_LABELS), _LABELS, path),
        values=_list(content.get(_VALUES, []), _VALUES, path),
        rest={k: v for k, v in content.items() if k not in (_VERSION, _LABELS, _VALUES)},
    )


def write_sidecar(sidecar: Sidecar) -> None:
    """Replace the file, one line per entry; a reader sees the old or the new one.

    Raises:
        StoreError: The bag is a single file, it would become too large, or cannot be written.
    """
    if not sidecar.path.parent.is_dir():
        raise StoreError(f"{sidecar.path.parent}: a single file; {FILE_NAME} needs a directory")
    rest = "".join(f" {_text(key)}: {_text(value)},\n" for key, value in sidecar.rest.items())
    text = (
        f'{{\n "{_VERSION}": {_SCHEMA_VERSION},\n{rest}'
        f' "{_LABELS}": {_lines(sidecar.labels)},\n "{_VALUES}": {_lines(sidecar.values)}\n}}\n'
    )
    if len(text) > MAX_BYTES:
        raise StoreError(f"{sidecar.path}: would be larger than {MAX_BYTES} bytes")
    write_text(sidecar.path, text)


def check_rater(rater: str) -> None:
    """Refuse what is no name.

    Raises:
        StoreError: The rater has none, or too long a one.
    """
    if not rater.strip() or len(rater) > MAX_NAME:
        raise StoreError(f"rater {rater[:60]!r}: a name has 1 to {MAX_NAME} characters")


def _head(text: str) -> dict[str, Any] | None:
    """Return what stands before the values in a file as `write_sidecar` writes it, else None.

    A line cannot break within a JSON text, so the line that is looked for begins a key.
    """
    head, values, _ = text.partition(f'\n "{_VALUES}": [')
    try:
        content = json.loads(head.rstrip().removesuffix(",") + "}") if values else None
    except ValueError:
        return None
    return content if isinstance(content, dict) and _LABELS in content else None


def _list(value: Any, key: str, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise BagError(f"{path}: {key!r} is not a list")
    return value


def _lines(entries: Sequence[Any]) -> str:
    return "[" + ",".join(f"\n  {_text(entry)}" for entry in entries) + "]"


def _text(value: Any) -> str:
    return json.dumps(value)  # ASCII: as many bytes as characters
