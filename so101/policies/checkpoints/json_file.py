"""JSON files read strictly and written so that a crash leaves the old file or the new one."""

import json
import os
from pathlib import Path
from typing import Any

from so101.data.durable import write_text
from so101.errors import CheckpointError

LARGEST_BYTES = 16 * 1024 * 1024


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {twice!r}")
    return mapping


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: It is missing, a link, too large, not an object, has a duplicate key or a
            number that is not finite.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(LARGEST_BYTES + 1)
        if len(text) > LARGEST_BYTES:
            raise CheckpointError(f"{path}: larger than {LARGEST_BYTES} bytes")
        values = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return values


def to_text(values: Any) -> str:
    """Return the one text of a JSON value: sorted keys, only finite numbers."""
    return json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file, replacing an older one at once.

    Raises:
        StoreError: The disk is full or not writable.
    """
    write_text(path, to_text(values))


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
