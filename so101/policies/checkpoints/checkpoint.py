"""Checkpoints: self-describing directories, published whole or not at all, never overwritten.

``<root>/<name>/step_000120/`` holds model.safetensors (weights), policy.json (what rebuilds the
policy), training.json (how it came about, sha256 of every file) and, where training may go on,
training_state.safetensors. Roles are the business of ``so101.policies.checkpoints.roles``.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from so101.config import from_mapping, to_mapping
from so101.data.durable import store_error, sync_directory
from so101.errors import CheckpointError, ConfigError
from so101.policies.checkpoints.files import (
    POLICY_FILE,
    SCHEMA_VERSION,
    STATE_FILE,
    TRAINING_FILE,
    Checkpoint,
    TrainingRecord,
    file_sha256,
    record_to_json,
    step_directory,
    verify,
)
from so101.policies.checkpoints.json_file import read_json, sync_file, write_json
from so101.policies.checkpoints.roles import assign
from so101.policies.checkpoints.tensor_file import read_tensors, write_tensors
from so101.policies.lerobot.files import is_lerobot, locate
from so101.policies.lerobot.spec import make_spec, read_outline
from so101.policies.policy import TrainablePolicy
from so101.policies.policy_table import POLICIES, policy_class
from so101.robot import CAMERAS, JOINTS
from so101.spec import PolicySpec

UNITS = {
    "positions": "rad",
    "objects": "m, unit quaternion",
    "images": "RGB, uint8",
    "norm_stats": "rad and m: network value = (value - offset) / scale",
}


def save_checkpoint(
    root: Path,
    name: str,
    policy: TrainablePolicy,
    record: TrainingRecord,
    state: Mapping[str, torch.Tensor] | None = None,
) -> Checkpoint:
    """Publish a checkpoint and make it the candidate.

    Args:
        root: Directory of all checkpoints.
        name: Series it belongs to, such as ``sft``.
        policy: Its weights are written.
        record: How it came about; its step names the directory.
        state: Training state that lets training go on exactly.

    Raises:
        CheckpointError: A checkpoint of this name and step exists.
        StoreError: The disk is full or not writable.
    """
    final = step_directory(root, name, record.step)
    if final.exists():
        raise CheckpointError(f"{final}: exists; checkpoints are never overwritten")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        for leftover in final.parent.glob(f".{final.name}.*"):  # of a writer that was killed
            shutil.rmtree(leftover)
        temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
        try:
            _write(temporary, policy, record, state)
            os.rename(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(final.parent)
    except OSError as error:
        raise store_error(final, error) from error
    assign(root, "candidate", final)
    return verify(final)


def load_policy(
    path: Path, joints: tuple[str, ...], cameras: tuple[str, ...], *, device: str = "cpu"
) -> TrainablePolicy:
    """Verify a checkpoint and rebuild its policy.

    Args:
        path: The checkpoint's directory; or one of LeRobot, see `so101.policies.lerobot.files`.
        joints: Joint names of the robot, in order.
        cameras: Camera ids of the robot.
        device: Where the network runs.

    Raises:
        CheckpointError: It is damaged, or does not fit the robot or this software.
        ConfigError: It is LeRobot's, and LeRobot is not installed or its options are wrong.
    """
    if is_lerobot(path):
        return _load_foreign(path, joints, cameras, device)
    verify(path)
    where = path / POLICY_FILE
    values = read_json(where)
    spec, kind = _read_spec(values, where)
    spec.check_fits(joints, cameras, str(where))
    policy = policy_class(kind).from_mapping(spec, values, str(where), device)
    policy.load(path)
    return policy


def read_spec(path: Path) -> PolicySpec:
    """Return what a checkpoint's policy expects and offers.

    Raises:
        CheckpointError: policy.json is missing or wrong.
    """
    if is_lerobot(path):
        return make_spec(read_outline((source := locate(path)).directory), source)
    return _read_spec(read_json(path / POLICY_FILE), path / POLICY_FILE)[0]


def take_foreign(root: Path, name: str, path: Path) -> Checkpoint:
    """Make a checkpoint of our own, step 0 of a series, from one that LeRobot wrote.

    Args:
        root: Directory of all checkpoints.
        name: Series it begins.
        path: LeRobot's checkpoint; its sha256 becomes the parent.

    Raises:
        CheckpointError: It is damaged, does not fit the robot, or the series has begun.
        StoreError: The disk is full or not writable.
    """
    parent = verify(path).sha256
    policy = load_policy(path, JOINTS, CAMERAS)
    return save_checkpoint(root, name, policy, TrainingRecord(algorithm="lerobot", parent=parent))


def load_training_state(path: Path) -> dict[str, torch.Tensor]:
    """Verify a checkpoint and return its training state.

    Raises:
        CheckpointError: It is damaged or holds no training state.
    """
    verify(path)
    return read_tensors(path / STATE_FILE)


def _load_foreign(
    path: Path, joints: tuple[str, ...], cameras: tuple[str, ...], device: str
) -> TrainablePolicy:
    from so101.policies.lerobot.policy import open_foreign  # torch-only users never need it

    source = locate(path)
    spec = make_spec(read_outline(source.directory), source)
    try:
        spec.check_fits(joints, cameras, str(path))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; map them by cameras in {source.options_file}") from error
    return open_foreign(source, device=device)


def _read_spec(values: dict[str, Any], where: Path) -> tuple[PolicySpec, str]:
    if values.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{where}: schema_version is {values.get('schema_version')!r}, "
            f"this software reads {SCHEMA_VERSION}"
        )
    kind = values.get("class")
    if kind not in POLICIES:
        raise CheckpointError(f"{where}: class {kind!r} is not one of {', '.join(POLICIES)}")
    own = {"schema_version", "class", "units", "config", "norm_stats"}
    fields = {key: value for key, value in values.items() if key not in own}
    try:
        return from_mapping(PolicySpec, fields, str(where)), kind
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def _write(
    directory: Path,
    policy: TrainablePolicy,
    record: TrainingRecord,
    state: Mapping[str, torch.Tensor] | None,
) -> None:
    policy.save(directory)
    description = {
        "schema_version": SCHEMA_VERSION,
        "class": policy.kind,
        "units": UNITS,
        **to_mapping(policy.spec),
        **policy.config_mapping(),
    }
    write_json(directory / POLICY_FILE, description)
    if state is not None:
        write_tensors(state, directory / STATE_FILE)
    files = {}
    for file in sorted(item for item in directory.rglob("*") if item.is_file()):
        sync_file(file)
        files[file.relative_to(directory).as_posix()] = file_sha256(file)
    write_json(directory / TRAINING_FILE, record_to_json(record, files))
    for folder in [directory, *(item for item in directory.rglob("*") if item.is_dir())]:
        sync_directory(folder)
