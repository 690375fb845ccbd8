"""Runs a training job: store -> dataset -> algorithm -> trainer -> checkpoint.

Everything it needs is in the job and the store, so that running a job again after a crash gives
the same checkpoint. It neither decides when to train nor which checkpoint is promoted.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learner_node.algorithm_table import ALGORITHMS
from learner_node.algorithms.algorithm import Algorithm
from learner_node.job import JobDirectory, JobStatus, TrainingJob
from learner_node.trainer import End, Progress, Trainer, TrainerConfig
from so101.config import from_mapping, to_mapping
from so101.data.dataset import DatasetConfig, EpisodeDataset
from so101.data.episode_store import EpisodeStore
from so101.data.fitness import check_entry
from so101.errors import CheckpointError, ConfigError, TrainingError
from so101.policies.canary import check_canary
from so101.policies.checkpoint import load_policy, save_checkpoint
from so101.policies.checkpoint_files import (
    Checkpoint,
    EpisodeRef,
    TrainingRecord,
    file_sha256,
    step_directory,
    verify,
)
from so101.policies.checkpoint_roles import assign
from so101.policies.flow_config import FlowConfig
from so101.policies.flow_policy import FlowPolicy
from so101.policies.policy import TrainablePolicy
from so101.robot import CAMERAS, JOINTS
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What somebody wants trained; `plan` adds the episodes.

    Attributes:
        name: Series of the checkpoint.
        algorithm: Key in the algorithm table.
        spec: Inputs and outputs of the policy.
        steps: Training steps; 0 for the algorithm's default.
        seed: Of weights, batches and noise.
        phase: Session phase of the episodes that are used; empty for all.
        parent: Checkpoint to start from, relative to the checkpoint root; empty for new weights.
        settings: The algorithm's configuration.
        policy: A new policy's configuration.
        dataset: The dataset's configuration.
    """

    name: str = "sft"
    algorithm: str = "sft"
    spec: PolicySpec = field(default_factory=PolicySpec)
    steps: int = 0
    seed: int = 0
    phase: str = ""
    parent: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)


def plan(request: TrainingRequest, store: EpisodeStore, checkpoints: Path) -> TrainingJob:
    """Fix what a job trains on: every fit episode that the store holds now.

    Args:
        request: What is wanted.
        store: Where the episodes are.
        checkpoints: Root of all checkpoints.

    Raises:
        ConfigError: The algorithm or a setting is unknown, or no episode is fit.
        CheckpointError: The parent is damaged.
        TrainingError: Two episodes have the same id.
    """
    where = f"training job {request.name!r}"
    config = _algorithm_config(request.algorithm, request.settings, request.spec, request.steps)
    outcomes = from_mapping(DatasetConfig, request.dataset, f"{where}: dataset").outcomes
    first_step = 0
    if request.parent:
        first_step = verify(checkpoints / request.parent).record.step
    chosen = [
        entry
        for entry in store.episodes()
        if not check_entry(entry, outcomes) and request.phase in ("", entry.facts.phase)
    ]
    ids = [entry.facts.id for entry in chosen]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise TrainingError(
            f"{store.root}: several episodes are called {', '.join(sorted(twice))}"
        )
    return TrainingJob(
        name=request.name,
        algorithm=request.algorithm,
        episodes=tuple(
            EpisodeRef(id=entry.facts.id, sha256=bag_sha256(entry.path)) for entry in chosen
        ),
        steps=config["steps"],
        seed=request.seed,
        first_step=first_step,
        parent=request.parent,
        spec=request.spec,
        settings=config,
        policy=_policy_config(request, f"{where}: policy"),
        dataset=dict(request.dataset),
    )


def run(
    directory: JobDirectory,
    store: EpisodeStore,
    checkpoints: Path,
    *,
    trainer_config: TrainerConfig | None = None,
    on_dataset: Callable[[EpisodeDataset], None] | None = None,
    report: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Checkpoint | None:
    """Run a job to its end, from wherever it was; None when told to stop.

    Args:
        directory: Holds the job.
        store: Where its episodes are.
        checkpoints: Root of all checkpoints.
        trainer_config: How often to save and report.
        on_dataset: Called once with what was read: episodes, those left out, idle ticks trimmed.
        report: Called with the progress.
        should_stop: Asked before every step.

    Raises:
        TrainingError: An episode changed or is gone, or the losses were not finite.
        CheckpointError: The result must not drive, or cannot be published.
    """
    job = directory.read().job
    done = finished(directory, checkpoints)
    if done is not None:
        return done
    try:
        dataset = load_dataset(job, store)
        if on_dataset is not None:
            on_dataset(dataset)
        policy, parent = _start_policy(job, dataset, checkpoints)
        previous = copy.deepcopy(policy) if job.parent else None
        algorithm = _make_algorithm(job, policy)
        trainer = Trainer(
            algorithm, dataset, steps=job.steps, seed=job.seed, config=trainer_config
        )
        state = directory.load_state()
        if state is not None:
            trainer.load_state_dict(state)
        end = trainer.run(save=directory.save_state, report=report, should_stop=should_stop)
        if end is End.STOPPED:
            return None
        acting = algorithm.policy()
        check_canary(acting, previous, where=f"{job.name}: step {job.last_step}")
    except (TrainingError, CheckpointError) as error:
        directory.fail(str(error))
        raise
    record = _record(job, trainer, dataset, parent)
    checkpoint = save_checkpoint(checkpoints, job.name, acting, record, trainer.state_dict())
    directory.finish(checkpoint.sha256)
    return checkpoint


def load_dataset(job: TrainingJob, store: EpisodeStore) -> EpisodeDataset:
    """Read the job's episodes.

    Raises:
        TrainingError: An episode is gone, or is not what it was when the job was planned.
    """
    entries = {entry.facts.id: entry for entry in store.episodes()}
    for episode in job.episodes:
        if episode.id not in entries:
            raise TrainingError(f"{store.root}: episode {episode.id!r} of the job is gone")
        if bag_sha256(entries[episode.id].path) != episode.sha256:
            raise TrainingError(f"{entries[episode.id].path}: changed since the job was planned")
    config = from_mapping(DatasetConfig, dict(job.dataset), f"training job {job.name!r}: dataset")
    return EpisodeDataset.from_store(
        store, job.spec, config, only=[episode.id for episode in job.episodes]
    )


def bag_sha256(path: Path) -> str:
    """Return the sha256 over the data files of a bag; labels and metadata do not count."""
    files = [path] if path.is_file() else [*path.glob("*.mcap"), *path.glob("*.db3")]
    digests = [file_sha256(file) for file in sorted(files)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def finished(directory: JobDirectory, checkpoints: Path) -> Checkpoint | None:
    """Return the job's checkpoint where it exists: the learner may have died just after.

    Raises:
        TrainingError: The job failed before.
        CheckpointError: The checkpoint is damaged or another job's.
    """
    record = directory.read()
    job = record.job
    if record.status is JobStatus.FAILED:
        raise TrainingError(f"{directory.path}: failed before: {record.problem}")
    path = step_directory(checkpoints, job.name, job.last_step)
    if not path.exists():
        return None
    checkpoint = verify(path)
    made_by = checkpoint.record
    if made_by.seed != job.seed or not set(made_by.episodes) <= set(job.episodes):
        raise CheckpointError(f"{path}: exists and was made by another job")
    if record.status is not JobStatus.DONE:
        assign(checkpoints, "candidate", path)
        directory.finish(checkpoint.sha256)
    return checkpoint


def _start_policy(
    job: TrainingJob, dataset: EpisodeDataset, checkpoints: Path
) -> tuple[TrainablePolicy, str]:
    if job.parent:
        path = checkpoints / job.parent
        return load_policy(path, JOINTS, CAMERAS), verify(path).sha256
    config = from_mapping(FlowConfig, dict(job.policy), f"training job {job.name!r}: policy")
    return FlowPolicy.for_data(job.spec, config, dataset, seed=job.seed), ""


def _make_algorithm(job: TrainingJob, policy: TrainablePolicy) -> Algorithm:
    kind = ALGORITHMS[job.algorithm]
    where = f"training job {job.name!r}: settings"
    return kind(policy, from_mapping(kind.config_type, dict(job.settings), where), job.seed)


def _policy_config(request: TrainingRequest, where: str) -> dict[str, Any]:
    """Return the whole configuration: defaults for this kind of policy, then what was asked."""
    values = {**to_mapping(FlowConfig.for_policy(request.spec)), **request.policy}
    checked: dict[str, Any] = to_mapping(from_mapping(FlowConfig, values, where))
    return checked


def _algorithm_config(
    name: str, settings: Mapping[str, Any], spec: PolicySpec, steps: int
) -> dict[str, Any]:
    """Return the whole configuration: defaults for this kind of policy, then the settings."""
    if name not in ALGORITHMS:
        raise ConfigError(f"algorithm {name!r} is not one of {', '.join(ALGORITHMS)}")
    kind = ALGORITHMS[name].config_type
    values = {**to_mapping(kind.for_policy(spec)), **settings}
    if steps:
        values["steps"] = steps
    checked: dict[str, Any] = to_mapping(from_mapping(kind, values, f"algorithm {name!r}"))
    return checked


def _record(
    job: TrainingJob, trainer: Trainer, dataset: EpisodeDataset, parent: str
) -> TrainingRecord:
    curve = trainer.loss_curve
    left_out = {skipped.episode for skipped in dataset.skipped}
    metrics = {
        "skipped_steps": float(trainer.skipped),
        "dataset_steps": float(len(dataset)),
        "trimmed_steps": float(sum(dataset.trimmed.values())),
        "skipped_episodes": float(len(dataset.skipped)),
    }
    if curve:
        metrics["loss"] = curve[-1][1]
    return TrainingRecord(
        algorithm=job.algorithm,
        config=dict(job.settings),
        seed=job.seed,
        step=job.last_step,
        parent=parent,
        episodes=tuple(episode for episode in job.episodes if episode.id not in left_out),
        metrics=metrics,
        loss_curve=curve,
    )
