"""Runs a training job: store -> dataset -> algorithm -> trainer -> checkpoint.

Everything it needs is in the job and the store, so that running a job again after a crash gives
the same checkpoint. It neither decides when to train nor which checkpoint is promoted.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learner_node.algorithm_table import ALGORITHMS
from learner_node.algorithms.algorithm import Algorithm, ChunkSource
from learner_node.job import JobDirectory, JobStatus, TrainingJob
from learner_node.milestones import Milestones
from learner_node.planning import bag_sha256
from learner_node.trainer import (
    End,
    Progress,
    Trainer,
    TrainerConfig,
    algorithm_state,
)
from so101.config import from_mapping
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.errors import CheckpointError, ConfigError, TrainingError
from so101.policies.checkpoints.canary import check_canary
from so101.policies.checkpoints.checkpoint import load_policy, load_training_state, save_checkpoint
from so101.policies.checkpoints.files import Checkpoint, TrainingRecord, step_directory, verify
from so101.policies.checkpoints.roles import assign
from so101.policies.new_policy import new_policy
from so101.policies.policy import TrainablePolicy, Tunable
from so101.robot import CAMERAS, JOINTS


def run(
    directory: JobDirectory,
    store: EpisodeStore,
    checkpoints: Path,
    *,
    trainer_config: TrainerConfig | None = None,
    on_dataset: Callable[[EpisodeDataset], None] | None = None,
    report: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | Milestones | None = None,
) -> Checkpoint | None:
    """Run a job to its end, from wherever it was; None when told to stop.

    Args:
        directory: Holds the job.
        store: Where its episodes are.
        checkpoints: Root of all checkpoints.
        trainer_config: How often to save and report, and where it trains.
        on_dataset: Called once with what was read: episodes, those left out, idle ticks trimmed.
        report: Called with the progress.
        should_stop: Asked before every step; `Milestones` have checkpoints published there too.

    Raises:
        TrainingError: An episode changed or is gone, or the losses were not finite.
        CheckpointError: The result must not drive, or cannot be published.
        ConfigError: The parent cannot be tuned as the job says.
    """
    done = finished(directory, checkpoints)
    if done is not None:
        return done
    try:
        dataset = load_dataset(directory.read().job, store)
        if on_dataset is not None:
            on_dataset(dataset)
        training = _Training.begin(directory, dataset, checkpoints, trainer_config)
        if isinstance(should_stop, Milestones):
            should_stop = training.publishing(should_stop, checkpoints)
        end = training.trainer.run(
            save=directory.save_state, report=report, should_stop=should_stop
        )
        if end is End.STOPPED:
            return None
        acting = training.acting_policy()
    except (TrainingError, CheckpointError) as error:
        directory.fail(str(error))
        raise
    checkpoint = training.publish(acting, checkpoints)
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
        if bag_sha256(store.fetch(entries[episode.id])) != episode.sha256:
            raise TrainingError(f"{entries[episode.id].path}: changed since the job was planned")
    config = from_mapping(DatasetConfig, dict(job.dataset), f"training job {job.name!r}: dataset")
    return EpisodeDataset.from_store(
        store,
        job.spec,
        config,
        only=[episode.id for episode in job.episodes],
        arrays=ALGORITHMS[job.algorithm].aux_topics,
    )


def describe(dataset: EpisodeDataset) -> str:
    """Say in a line what is trained on: episodes, ticks, what was left out and why.

    A bag may hold many episodes.
    """
    trimmed = sum(dataset.trimmed.values())
    text = f"{len(dataset)} ticks, {trimmed} idle ones left out"
    text = f"{counted(len(dataset.episodes), 'episode')}, {text}"
    left_out = "; ".join(f"{one.episode} {one.reason}" for one in dataset.skipped[:3])
    skipped = counted(len(dataset.skipped), "episode")
    return f"{text}, {skipped} left out: {left_out}" if left_out else text


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts, such as ``1 episode``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def finished(directory: JobDirectory, checkpoints: Path) -> Checkpoint | None:
    """Return the job's checkpoint where it exists: the learner may have died just after.

    Whoever asks for it again wants it tried again: it is the candidate, whatever came since.

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
    assign(checkpoints, "candidate", path)
    if record.status is not JobStatus.DONE:
        directory.finish(checkpoint.sha256)
    return checkpoint


@dataclass(frozen=True, kw_only=True)
class _Training:
    """A job under way.

    Attributes:
        job: What is trained.
        dataset: On what.
        algorithm: Trains the policy.
        trainer: Runs the algorithm.
        start: The policy it began with; None for new weights.
        parent: sha256 of the checkpoint it began with; empty for new weights.
    """

    job: TrainingJob
    dataset: EpisodeDataset
    algorithm: Algorithm
    trainer: Trainer
    start: TrainablePolicy | None
    parent: str

    @classmethod
    def begin(
        cls,
        directory: JobDirectory,
        dataset: EpisodeDataset,
        checkpoints: Path,
        config: TrainerConfig | None,
    ) -> "_Training":
        """Return the training where its state was saved, else at its first step."""
        job = directory.read().job
        parent = verify(checkpoints / job.parent) if job.parent else None
        device = (config or TrainerConfig()).device
        policy = _start_policy(job, dataset, parent, device)
        start = copy.deepcopy(policy) if parent is not None else None
        algorithm = _make_algorithm(job, policy, parent)
        seed = job.seed if job.lesson is None else job.lesson.batch_seed(job.seed)
        source = _make_source(job, algorithm, dataset)
        trainer = Trainer(algorithm, source, steps=job.steps, seed=seed, config=config)
        state = directory.load_state()
        if state is not None:
            trainer.load_state_dict(state)
        return cls(
            job=job,
            dataset=dataset,
            algorithm=algorithm,
            trainer=trainer,
            start=start,
            parent="" if parent is None else parent.sha256,
        )

    def acting_policy(self) -> TrainablePolicy:
        """Return what training led to.

        Raises:
            CheckpointError: It must not drive.
        """
        acting = self.algorithm.policy()
        check_canary(acting, self.start, where=f"{self.job.name}: step {self.step}")
        return acting

    @property
    def step(self) -> int:
        """Step number of what is trained now."""
        return self.job.first_step + self.trainer.step

    def publishing(self, milestones: Milestones, checkpoints: Path) -> Callable[[], bool]:
        """Return what the trainer asks before each step; milestones are published there."""

        def asked() -> bool:
            if milestones.is_due(self.trainer.step):
                self._publish_midway(milestones, checkpoints)
            return milestones.should_stop()

        return asked

    def _publish_midway(self, milestones: Milestones, checkpoints: Path) -> None:
        """Publish what acts now, unless a run that was cut short did so before."""
        path = step_directory(checkpoints, self.job.name, self.step)
        try:
            if path.exists():
                checkpoint = verify(path)
            else:
                acting = self.acting_policy()
                checkpoint = save_checkpoint(checkpoints, self.job.name, acting, self._record())
        except CheckpointError as error:
            milestones.refused(str(error))  # what must not drive may get better
            return
        milestones.reached(checkpoint)

    def publish(self, acting: TrainablePolicy, checkpoints: Path) -> Checkpoint:
        """Save the checkpoint with the record of how it came about."""
        state = self.trainer.state_dict()
        return save_checkpoint(checkpoints, self.job.name, acting, self._record(), state)

    def _record(self) -> TrainingRecord:
        curve, dataset = self.trainer.loss_curve, self.dataset
        left_out = {skipped.episode for skipped in dataset.skipped}
        metrics = {
            "skipped_steps": float(self.trainer.skipped),
            "dataset_steps": float(len(dataset)),
            "trimmed_steps": float(sum(dataset.trimmed.values())),
            "skipped_episodes": float(len(dataset.skipped)),
        }
        if curve:
            metrics["loss"] = curve[-1][1]
        lesson = self.job.lesson
        if lesson is not None:
            metrics |= {"group": float(lesson.group), "chosen": float(lesson.chosen)}
            metrics["pool"] = float(len(lesson.advantages))
            metrics |= {} if lesson.standard_s is None else {"standard_s": lesson.standard_s}
        return TrainingRecord(
            algorithm=self.job.algorithm,
            config=dict(self.job.settings),
            seed=self.job.seed,
            step=self.step,
            parent=self.parent,
            episodes=tuple(ref for ref in self.job.episodes if ref.id not in left_out),
            metrics=metrics,
            loss_curve=curve,
        )


def _start_policy(
    job: TrainingJob, dataset: EpisodeDataset, parent: Checkpoint | None, device: str
) -> TrainablePolicy:
    where = f"training job {job.name!r}"
    if parent is None:
        named = f"{where}: policy"
        return new_policy(job.spec, job.policy, dataset, seed=job.seed, where=named, device=device)
    policy = load_policy(parent.path, JOINTS, CAMERAS, device=device)
    if not job.tuning:
        return policy
    if isinstance(policy, Tunable):
        policy.tune(job.tuning, seed=job.seed, where=f"{where}: tuning")
    elif job.tuning.get("mode", "") not in ("", "full"):
        raise ConfigError(f"{where}: a {policy.kind} policy trains as a whole, not by part")
    return policy


def _make_algorithm(
    job: TrainingJob, policy: TrainablePolicy, parent: Checkpoint | None
) -> Algorithm:
    algorithm = ALGORITHMS[job.algorithm](policy, _settings(job), job.seed)
    # groups are one long training: optimiser, average and random state go on where they were
    if job.lesson is not None and parent is not None and parent.record.algorithm == job.algorithm:
        algorithm.load_state_dict(algorithm_state(load_training_state(parent.path)))
    return algorithm


def _make_source(job: TrainingJob, algorithm: Algorithm, dataset: EpisodeDataset) -> ChunkSource:
    if job.lesson is None:
        return algorithm.source(dataset)
    return job.lesson.source(dataset, _settings(job))


def _settings(job: TrainingJob) -> Any:
    kind = ALGORITHMS[job.algorithm].config_type
    where = f"training job {job.name!r}: settings"
    return from_mapping(kind, dict(job.settings), where)
