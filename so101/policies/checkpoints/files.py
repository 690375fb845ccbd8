"""What lies in a checkpoint directory, and whether it is what was written.

``training.json`` holds the sha256 of every other file and one over its own content, so that a
flipped byte anywhere is found. Nothing here is ever executed.
"""

import hashlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from so101.config import from_mapping, to_mapping
from so101.errors import CheckpointError, ConfigError
from so101.policies.checkpoints.json_file import read_json, to_text
from so101.policies.lerobot.files import is_lerobot, lerobot_sha256

SCHEMA_VERSION = 1
WEIGHTS = "model.safetensors"
POLICY_FILE = "policy.json"
TRAINING_FILE = "training.json"
STATE_FILE = "training_state.safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STEP = re.compile(r"step_(\d{6,12})")


@dataclass(frozen=True, kw_only=True)
class EpisodeRef:
    """An episode that was trained on: its id and the sha256 of its bag."""

    id: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How a checkpoint came about: the content of training.json.

    Attributes:
        algorithm: Key in the learner's algorithm table.
        config: The algorithm's configuration.
        seed: Seed of weights, batches and noise.
        step: Training steps done.
        parent: sha256 of the weights that training started from; empty for random weights.
        episodes: What it was trained on.
        metrics: Numbers worth keeping, such as the final loss.
        loss_curve: Pairs of step and loss.
        gate: Verdict and evidence of the update gate; None while not judged.
    """

    algorithm: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    step: int = 0
    parent: str = ""
    episodes: tuple[EpisodeRef, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    loss_curve: tuple[tuple[int, float], ...] = ()
    gate: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        path: Its directory.
        sha256: Of the weights; what episodes name it by.
        record: How it came about.
    """

    path: Path
    sha256: str
    record: TrainingRecord


def step_directory(root: Path, name: str, step: int) -> Path:
    """Return where a checkpoint lies.

    Raises:
        CheckpointError: The name could leave the root, or the step is negative.
    """
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"{root}: {name!r} is not a checkpoint name")
    if step < 0:
        raise CheckpointError(f"{root}: step {step} is negative")
    return root / name / f"step_{step:06d}"


def is_step_directory(path: Path) -> bool:
    """Tell whether a path is named like a published checkpoint."""
    return _STEP.fullmatch(path.name) is not None and _NAME.fullmatch(path.parent.name) is not None


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_to_json(record: TrainingRecord, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of training.json, sealed with a hash over itself."""
    values = {"schema_version": SCHEMA_VERSION, **to_mapping(record), "files": dict(files)}
    return {**values, "sha256": _seal(values)}


def verify(path: Path) -> Checkpoint:
    """Check every file of a checkpoint; one of LeRobot's is known by the sha256 over its files.

    Raises:
        CheckpointError: A file is missing, a link, outside the directory or not what was written;
            the message names it.
    """
    if is_lerobot(path):
        record = TrainingRecord(algorithm="lerobot")
        return Checkpoint(path=path, sha256=lerobot_sha256(path), record=record)
    _require(path, stat.S_ISDIR, "a directory")
    record, files = read_training(path)
    for name, expected in files.items():
        file = path / _inside(name, path)
        for part in [*reversed(file.relative_to(path).parents)][1:]:
            _require(path / part, stat.S_ISDIR, "a directory")
        _require(file, stat.S_ISREG, "a file")
        if file_sha256(file) != expected:
            raise CheckpointError(f"{file}: damaged, its sha256 is not the recorded one")
    for name in (WEIGHTS, POLICY_FILE):
        if name not in files:
            raise CheckpointError(f"{path / TRAINING_FILE}: {name} is not among its files")
    return Checkpoint(path=path, sha256=files[WEIGHTS], record=record)


def read_training(path: Path) -> tuple[TrainingRecord, dict[str, str]]:
    """Read training.json of a checkpoint: its record and the sha256 of every other file.

    Raises:
        CheckpointError: It is missing, damaged, or of another schema.
    """
    where = path / TRAINING_FILE
    values = read_json(where)
    if values.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{where}: schema_version is {values.get('schema_version')!r}, "
            f"this software reads {SCHEMA_VERSION}"
        )
    is_canonical = where.read_bytes() == to_text(values).encode()
    if values.pop("sha256", None) != _seal(values) or not is_canonical:
        raise CheckpointError(f"{where}: damaged, its sha256 is not the recorded one")
    del values["schema_version"]
    files = values.pop("files", None)
    if not isinstance(files, dict) or not all(isinstance(item, str) for item in files.values()):
        raise CheckpointError(f"{where}: files must map names to sha256")
    return _record(values, where), files


def _record(values: dict[str, Any], where: Path) -> TrainingRecord:
    free = {key: values.pop(key, None) for key in ("config", "metrics", "gate", "loss_curve")}
    try:
        record = from_mapping(_StrictRecord, values, str(where))
        curve = tuple((int(step), float(loss)) for step, loss in free["loss_curve"] or ())
        metrics = {str(k): float(v) for k, v in (free["metrics"] or {}).items()}
    except (ConfigError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{where}: {error}") from error
    return TrainingRecord(
        algorithm=record.algorithm,
        seed=record.seed,
        step=record.step,
        parent=record.parent,
        episodes=record.episodes,
        config=free["config"] or {},
        metrics=metrics,
        loss_curve=curve,
        gate=free["gate"],
    )


@dataclass(frozen=True, kw_only=True)
class _StrictRecord:
    algorithm: str
    seed: int
    step: int
    parent: str
    episodes: tuple[EpisodeRef, ...]


def _seal(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(to_text(values).encode()).hexdigest()


def _inside(name: str, path: Path) -> PurePosixPath:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\\" in name:
        raise CheckpointError(f"{path / TRAINING_FILE}: {name!r} leaves the checkpoint")
    return relative


def _require(path: Path, is_kind: Any, kind: str) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise CheckpointError(f"{path}: missing or unreadable: {error.strerror}") from error
    if not is_kind(mode):
        what = "a link" if stat.S_ISLNK(mode) else f"not {kind}"
        raise CheckpointError(f"{path}: is {what}, expected {kind}")
