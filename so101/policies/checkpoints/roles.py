"""Which checkpoint is the candidate, the live one and the promoted one: the file latest.json."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from so101.data.durable import store_error
from so101.errors import CheckpointError
from so101.policies.checkpoints.files import (
    SCHEMA_VERSION,
    TRAINING_FILE,
    Checkpoint,
    is_step_directory,
    read_training,
    record_to_json,
    verify,
)
from so101.policies.checkpoints.json_file import read_json, write_json

Role = Literal["candidate", "live", "promoted"]
ROLES: tuple[Role, ...] = get_args(Role)
POINTER_FILE = "latest.json"
TAKEN_BACK = "taken back by a person"
"""Reason in the verdict on a checkpoint that was promoted and then rolled back."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One line of the list of checkpoints.

    Attributes:
        path: Its directory.
        checkpoint: What it holds; None when it is damaged.
        roles: Roles it has now.
        problem: Why it cannot be used; empty when it can.
    """

    path: Path
    checkpoint: Checkpoint | None
    roles: tuple[Role, ...]
    problem: str = ""


def latest(root: Path, role: Role) -> Checkpoint | None:
    """Return the verified checkpoint that has a role, None when none has.

    Raises:
        CheckpointError: The pointer or the checkpoint is damaged.
    """
    name = _read(root)["roles"].get(role)
    return None if name is None else verify(_resolve(root, name))


def assign(root: Path, role: Role, path: Path) -> None:
    """Give a role to a checkpoint under the root. Its predecessor is remembered for promoted.

    Raises:
        CheckpointError: It lies elsewhere or is damaged.
    """
    name = _relative(root, path)
    verify(path)
    with _locked(root):
        pointers = _read(root)
        previous = pointers["roles"].get(role)
        if role == "promoted" and previous not in (None, name):
            pointers["history"].append(previous)
        pointers["roles"][role] = name
        write_json(root / POINTER_FILE, pointers)


def promote(root: Path, path: Path) -> None:
    """Make a checkpoint the promoted one."""
    assign(root, "promoted", path)


def rollback(root: Path) -> Checkpoint:
    """Make the previously promoted checkpoint the promoted one again and return it.

    Where the gate had let the present one pass, its verdict is turned: whoever asks what came of
    the training, also after a restart, hears the person's word. Cut short, it can be called again.

    Raises:
        CheckpointError: There is none, or one of the two is damaged.
    """
    with _locked(root):
        pointers = _read(root)
        if not pointers["history"]:
            raise CheckpointError(f"{root / POINTER_FILE}: no earlier promoted checkpoint")
        if present := pointers["roles"].get("promoted"):
            _take_back(_resolve(root, present))
        name = pointers["history"].pop()
        checkpoint = verify(_resolve(root, name))
        pointers["roles"]["promoted"] = name
        write_json(root / POINTER_FILE, pointers)
    return checkpoint


def record_gate(path: Path, verdict: Mapping[str, Any]) -> Checkpoint:
    """Write the update gate's verdict into training.json, once.

    Raises:
        CheckpointError: The checkpoint is damaged or was judged before.
    """
    checkpoint = verify(path)
    if checkpoint.record.gate is not None:
        raise CheckpointError(f"{path / TRAINING_FILE}: was judged before")
    return _write_gate(checkpoint, verdict)


def _take_back(path: Path) -> None:
    """Turn the verdict on a checkpoint that the gate let pass; what it rested on stays."""
    checkpoint = verify(path)
    gate = checkpoint.record.gate
    if gate is not None and gate.get("accepted"):
        reasons = [*gate.get("reasons", ()), TAKEN_BACK]
        _write_gate(checkpoint, {**gate, "accepted": False, "reasons": reasons})


def _write_gate(checkpoint: Checkpoint, gate: Mapping[str, Any]) -> Checkpoint:
    path = checkpoint.path
    _, files = read_training(path)
    record = replace(checkpoint.record, gate=dict(gate))
    write_json(path / TRAINING_FILE, record_to_json(record, files))
    return replace(checkpoint, record=record)


def list_checkpoints(root: Path) -> list[Listing]:
    """Return every checkpoint under the root, sorted by name and step, damaged ones included."""
    roles = _read(root)["roles"] if root.exists() else {}
    listings = []
    for path in sorted(root.glob("*/step_*")):
        if not is_step_directory(path):
            continue
        name = _relative(root, path)
        own = tuple(role for role in ROLES if roles.get(role) == name)
        try:
            listings.append(Listing(path=path, checkpoint=verify(path), roles=own))
        except CheckpointError as error:
            listings.append(Listing(path=path, checkpoint=None, roles=own, problem=str(error)))
    return listings


def _read(root: Path) -> dict[str, Any]:
    where = root / POINTER_FILE
    if not where.exists() and not where.is_symlink():
        return {"schema_version": SCHEMA_VERSION, "roles": {}, "history": []}
    pointers = read_json(where)
    if pointers.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(f"{where}: schema_version must be {SCHEMA_VERSION}")
    roles, history = pointers.get("roles"), pointers.get("history")
    if not isinstance(roles, dict) or not isinstance(history, list):
        raise CheckpointError(f"{where}: needs roles and history")
    if unknown := set(roles) - set(ROLES):
        raise CheckpointError(f"{where}: unknown roles {', '.join(sorted(unknown))}")
    return pointers


def _resolve(root: Path, name: Any) -> Path:
    relative = PurePosixPath(name) if isinstance(name, str) else PurePosixPath()
    path = root / relative
    if relative.is_absolute() or len(relative.parts) != 2 or not is_step_directory(path):
        raise CheckpointError(f"{root / POINTER_FILE}: {name!r} is not a checkpoint of this store")
    if path.parent.is_symlink():
        raise CheckpointError(f"{path.parent}: is a link, expected a directory")
    return path


def _relative(root: Path, path: Path) -> str:
    if path.parent.parent.resolve() != root.resolve() or not is_step_directory(path):
        raise CheckpointError(f"{path}: is not a checkpoint of {root}")
    return f"{path.parent.name}/{path.name}"


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    try:
        with (root / f".{POINTER_FILE}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise store_error(root, error) from error
