"""Copies of checkpoints: taken into a store, or out of it, whole or not at all."""

import os
import re
import shutil
import tempfile
from pathlib import Path

from so101.data.durable import store_error, sync_directory
from so101.errors import CheckpointError
from so101.policies.checkpoints.checkpoint import take_foreign
from so101.policies.checkpoints.files import (
    Checkpoint,
    is_step_directory,
    step_directory,
    verify,
)
from so101.policies.checkpoints.json_file import sync_file
from so101.policies.checkpoints.roles import assign, latest
from so101.policies.lerobot.files import is_lerobot


def load_into(root: Path, path: Path) -> Checkpoint:
    """Copy a checkpoint into a store and make it the candidate.

    Args:
        root: Directory of the store's checkpoints.
        path: The checkpoint; its series is the name of the directory it lies in. One that
            LeRobot wrote becomes one of ours, step 0 of a series of its name.

    Raises:
        CheckpointError: It is damaged, or another one of its name and step is there.
        StoreError: It cannot be written.
    """
    if is_lerobot(path):
        return take_foreign(root, re.sub(r"[^A-Za-z0-9._-]", "-", path.stem) or "lerobot", path)
    source = verify(path)
    series = path.parent.name if is_step_directory(path) else path.name
    target = step_directory(root, series, source.record.step)
    checkpoint = _copy(source, target)
    assign(root, "candidate", checkpoint.path)
    return checkpoint


def save_to(root: Path, name: str) -> Checkpoint:
    """Copy the promoted checkpoint to a new name.

    Args:
        root: Directory of the store's checkpoints.
        name: A series in the store, or, with a slash in it, a directory that does not exist yet.

    Raises:
        CheckpointError: Nothing is promoted, it is damaged, or the name is taken.
        StoreError: It cannot be written.
    """
    promoted = latest(root, "promoted")
    if promoted is None:
        raise CheckpointError(f"{root}: no checkpoint is promoted")
    if os.sep in name:
        return _copy(promoted, Path(name).expanduser())
    return _copy(promoted, step_directory(root, name, promoted.record.step))


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint directory that a path means.

    Args:
        path: A checkpoint, or a run's directory or its checkpoints: then the promoted one, else
            the candidate.

    Raises:
        CheckpointError: There is none.
    """
    if is_lerobot(path):
        return path
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint directory")
    root = path / "checkpoints"
    root = root if root.is_dir() else path
    for role in ("promoted", "candidate"):
        found = latest(root, role)
        if found is not None:
            return found.path
    return path


def _copy(source: Checkpoint, target: Path) -> Checkpoint:
    if target.exists():
        present = verify(target)
        if present != Checkpoint(path=target, sha256=source.sha256, record=source.record):
            raise CheckpointError(f"{target}: exists and is another checkpoint")
        return present
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            shutil.copytree(source.path, temporary, dirs_exist_ok=True)
            for file in (item for item in temporary.rglob("*") if item.is_file()):
                sync_file(file)
            verify(temporary)
            os.rename(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(target.parent)
    except OSError as error:
        raise store_error(target, error) from error
    return verify(target)
