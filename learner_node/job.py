"""A training job on disk: what to train, on which episodes, how far it is. Pure but for its files.

The job is fixed when it is planned (episodes with their hashes, parent, seed, settings), so that a
learner killed at any moment finds it again and ends with the weights it would have had. The
directory holds job.json and, once training runs, training_state.safetensors.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from learner_node.lesson import Lesson
from so101.config import from_mapping, to_mapping
from so101.data.durable import store_error, sync_directory
from so101.errors import CheckpointError, ConfigError, TrainingError
from so101.policies.checkpoints.files import EpisodeRef
from so101.policies.checkpoints.json_file import read_json, sync_file, write_json
from so101.policies.checkpoints.tensor_file import read_tensors, write_tensors
from so101.spec import PolicySpec

JOB_FILE = "job.json"
STATE_FILE = "training_state.safetensors"
SCHEMA_VERSION = 1
_FREE = ("settings", "policy", "dataset", "tuning")


class JobStatus(str, Enum):
    """How far a job is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What to train, and on what.

    Attributes:
        name: Series of the checkpoint it makes, such as ``sft``.
        algorithm: Key in the algorithm table.
        episodes: What it trains on, in this order.
        steps: Training steps.
        seed: Of weights, batches and noise.
        first_step: Step number of its start; its checkpoint is ``first_step + steps``.
        parent: Checkpoint to start from, relative to the checkpoint root; empty for new weights.
        spec: Inputs and outputs of the policy.
        settings: The algorithm's configuration; missing keys have their defaults.
        policy: A new policy's configuration; missing keys have their defaults.
        dataset: The dataset's configuration; missing keys have their defaults.
        tuning: How much of the parent trains, see `so101.policies.tuning`; empty as before.
        lesson: For a group's training: how much each episode counts; None for all alike.
    """

    name: str
    algorithm: str
    episodes: tuple[EpisodeRef, ...]
    steps: int
    seed: int = 0
    first_step: int = 0
    parent: str = ""
    spec: PolicySpec = field(default_factory=PolicySpec)
    settings: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)
    lesson: Lesson | None = None

    def __post_init__(self) -> None:
        """Reject a job that cannot run."""
        if not self.episodes:
            raise ConfigError(f"training job {self.name!r}: no episodes")
        if self.steps < 1:
            raise ConfigError(f"training job {self.name!r}: steps={self.steps}, need at least 1")

    @property
    def last_step(self) -> int:
        """Step number of the checkpoint it makes."""
        return self.first_step + self.steps


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A job and how far it is.

    Attributes:
        job: What to train.
        status: How far it is.
        checkpoint: sha256 of the weights it made; empty while running.
        problem: Why it failed; empty otherwise.
    """

    job: TrainingJob
    status: JobStatus = JobStatus.RUNNING
    checkpoint: str = ""
    problem: str = ""


class JobDirectory:
    """A directory with one job, the only writer being the learner."""

    def __init__(self, path: Path) -> None:
        """Name the directory; `create` makes it."""
        self.path = path

    def create(self, job: TrainingJob) -> None:
        """Make the directory and write the job as running.

        Raises:
            TrainingError: There is a job already.
            StoreError: It cannot be written.
        """
        if self.exists():
            raise TrainingError(f"{self.path / JOB_FILE}: exists; a job never changes")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(self.path, error) from error
        self._write(JobRecord(job=job))

    def exists(self) -> bool:
        """Tell whether there is a job."""
        return (self.path / JOB_FILE).exists()

    def read(self) -> JobRecord:
        """Read the job.

        Raises:
            TrainingError: It is missing or damaged.
        """
        where = self.path / JOB_FILE
        try:
            values = read_json(where)
            if values.pop("schema_version", None) != SCHEMA_VERSION:
                raise TrainingError(f"{where}: schema_version must be {SCHEMA_VERSION}")
            values.setdefault("tuning", {})  # jobs from before there was any
            free = {key: dict(values.pop(key)) for key in _FREE}
            record = from_mapping(_StrictJob, values, str(where))
        except (CheckpointError, ConfigError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{where}: {error}") from error
        job = TrainingJob(
            name=record.name,
            algorithm=record.algorithm,
            episodes=record.episodes,
            steps=record.steps,
            seed=record.seed,
            first_step=record.first_step,
            parent=record.parent,
            spec=record.spec,
            lesson=record.lesson,
            **free,
        )
        return JobRecord(
            job=job,
            status=JobStatus(record.status),
            checkpoint=record.checkpoint,
            problem=record.problem,
        )

    def finish(self, checkpoint_sha256: str) -> None:
        """Mark the job done and drop its training state, which the checkpoint holds as well."""
        self._write(
            JobRecord(job=self.read().job, status=JobStatus.DONE, checkpoint=checkpoint_sha256)
        )
        (self.path / STATE_FILE).unlink(missing_ok=True)

    def fail(self, problem: str) -> None:
        """Mark the job failed."""
        self._write(JobRecord(job=self.read().job, status=JobStatus.FAILED, problem=problem))

    def save_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Replace the saved training state.

        Raises:
            StoreError: It cannot be written.
        """
        path = self.path / STATE_FILE
        temporary = path.with_name(path.name + ".tmp")
        try:
            write_tensors(state, temporary)
            sync_file(temporary)
            os.replace(temporary, path)
            sync_directory(self.path)
        except OSError as error:
            raise store_error(path, error) from error

    def load_state(self) -> dict[str, torch.Tensor] | None:
        """Return the saved training state, None when training had not begun.

        Raises:
            TrainingError: It is damaged.
        """
        path = self.path / STATE_FILE
        if not path.exists():
            return None
        try:
            return read_tensors(path)
        except CheckpointError as error:
            raise TrainingError(str(error)) from error

    def _write(self, record: JobRecord) -> None:
        values = {
            "schema_version": SCHEMA_VERSION,
            **to_mapping(record.job),
            "status": record.status.value,
            "checkpoint": record.checkpoint,
            "problem": record.problem,
        }
        write_json(self.path / JOB_FILE, values)


@dataclass(frozen=True, kw_only=True)
class _StrictJob:
    name: str
    algorithm: str
    episodes: tuple[EpisodeRef, ...]
    steps: int
    seed: int
    first_step: int
    parent: str
    spec: PolicySpec
    status: str
    checkpoint: str
    problem: str
    lesson: Lesson | None = None


def running_jobs(root: Path) -> list[JobDirectory]:
    """Return the jobs under a directory that were running when the learner ended, by name.

    Raises:
        TrainingError: A job is damaged.
    """
    directories = [JobDirectory(path.parent) for path in sorted(root.glob(f"*/{JOB_FILE}"))]
    return [item for item in directories if item.read().status is JobStatus.RUNNING]
