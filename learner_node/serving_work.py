"""What a serving learner does next: go on with a job, learn from a group, fine-tune. No threads.

It looks at the store and at the jobs alone, so that a process that was killed finds again what it
was doing. Every piece of work begins at the policy that is served and ends in checkpoints.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from learner_node import training
from learner_node.algorithms.sft import SftConfig
from learner_node.fine_tuning import fine_tuning_job, open_job
from learner_node.group_history import GroupHistory
from learner_node.group_planning import GroupSettings
from learner_node.group_update import GroupUpdate
from learner_node.job import JOB_FILE, JobDirectory, JobRecord, JobStatus
from learner_node.milestones import Milestones
from learner_node.next_group_gate import BY as NEXT_GROUP
from learner_node.params import GroupParams
from learner_node.planning import TrainingRequest
from learner_node.trainer import Progress
from so101.config import from_mapping, option, to_mapping
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import Outcome
from so101.groups.gate import GateConfig
from so101.policies.checkpoints.checkpoint import read_spec
from so101.policies.checkpoints.files import Checkpoint
from so101.status_events import GroupRequest

SERIES = "live"
"""Series of the checkpoints that a serving learner fine-tunes, before the hash of their job."""


@dataclass(frozen=True, kw_only=True)
class ServingLearnerConfig:
    """What a serving learner learns from, and how long.

    Attributes:
        settings: Of a fine-tuning's algorithm, where they differ from those found good.
    """

    steps: int = option(
        0, "training steps of a fine-tuning; 0 as found good for the mode", range=(0, 10_000_000)
    )
    publish_every: int = option(
        0,
        "training steps between two versions served on the way; 0: at the end only",
        range=(0, 1e7),
    )
    new_demonstrations: int = option(
        1, "new successful demonstrations that begin a fine-tuning", range=(1, 10_000)
    )
    rollouts: int = option(10, "rollouts of a group; 0 learns from no group", range=(0, 1000))
    rule: str = option("gated", "how a group's rollouts get their advantage")
    time_limit_s: float = option(12.0, "of a group's rollouts [s]", range=(0.1, 3600.0))
    seed: int = option(0, "seed of batches and noise", range=(0, 1_000_000))
    trim: str = option("all", "idle ticks left out", choices=("all", "start_only", "off"))
    group: GroupParams = field(default_factory=GroupParams)
    gate: GateConfig = field(default_factory=lambda: GateConfig(by=NEXT_GROUP))
    settings: Mapping[str, object] = field(default_factory=dict)


def read_config(values: Mapping[str, Any], where: str) -> ServingLearnerConfig:
    """Read what a file says; its ``settings`` are checked as the algorithm's.

    Args:
        values: The file's content.
        where: Its name, for errors.

    Raises:
        ConfigError: A key is unknown, or a value is not of its kind.
    """
    settings = values.get("settings", {})
    own = {key: value for key, value in values.items() if key != "settings"}
    if isinstance(gate := own.get("gate"), Mapping):  # what it leaves out is as without it
        own["gate"] = {"by": NEXT_GROUP, **gate}
    config = from_mapping(ServingLearnerConfig, own, where)
    checked = from_mapping(SftConfig, settings, f"{where}: settings")
    chosen = {key: value for key, value in to_mapping(checked).items() if key in settings}
    return replace(config, settings=chosen)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Whom a piece of work tells, and asks.

    Attributes:
        report: Told the progress of a training.
        should_stop: Asked before every training step, and by the gate after every pose.
        reached: Told each checkpoint that may act, on the way and at the end.
        refused: Told what must not act, and why.
    """

    report: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    reached: Callable[[Checkpoint], None]
    refused: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A piece of work.

    Attributes:
        name: What it is, in words.
        run: Does it, from wherever it was; False when it was told to stop before its end. Raises
            what this project raises where it cannot be done.
    """

    name: str
    run: Callable[[Listener], bool]


class Curriculum:
    """Finds the next piece of work."""

    def __init__(
        self, store: EpisodeStore, checkpoints: Path, jobs: Path, config: ServingLearnerConfig
    ) -> None:
        """Look at a store; nothing is read yet.

        Args:
            store: Where episodes arrive.
            checkpoints: Root of all checkpoints, the served one among them.
            jobs: Directory of the training jobs.
            config: What is learned from.
        """
        self._store, self._checkpoints, self._jobs = store, checkpoints, jobs
        self._config = config
        self._settled: set[tuple[int, str]] = set()
        self._offered: set[str] = set()

    def next(self, served: Checkpoint) -> Work | None:
        """Return what is to be done now; None when there is nothing new.

        Args:
            served: What acts; new work begins there.

        Raises:
            So101Error: The store or a job cannot be read.
        """
        jobs = self._own_jobs(served)
        for directory, record in jobs:
            is_new = record.checkpoint not in ("", served.sha256)
            is_offered = directory.path.name in self._offered
            if record.status is JobStatus.RUNNING or (is_new and not is_offered):
                return self._fine_tuning(directory)
        entries = self._store.episodes()
        request = self._finished_group(entries, served)
        if request is not None:
            return Work(name=f"group {request.group}", run=partial(self.learn_from, request))
        known = {one.id for _, record in jobs for one in record.job.episodes}
        known |= {one.id for one in served.record.episodes}
        job = self._new_job(entries, served, known)
        return None if job is None else self._fine_tuning(job)

    def learn_from(self, request: GroupRequest, listener: Listener) -> bool:
        """Learn from a finished group, once."""
        config = self._config
        update = GroupUpdate(
            self._store,
            self._checkpoints,
            self._jobs,
            GroupSettings(learning=config.group, seed=config.seed, trim=config.trim),
            config.gate,
        )
        settled = update.run(
            request,
            report=listener.report,
            should_stop=listener.should_stop,
            each=lambda done, of: listener.should_stop(),
        )
        if settled is None:
            return False
        self._settled.add((request.group, request.checkpoint))
        if settled.acting.sha256 != request.checkpoint:
            listener.reached(settled.acting)
        else:
            listener.refused(f"group {request.group}: {settled.words}")
        return True

    def fine_tune(self, directory: JobDirectory, listener: Listener) -> bool:
        """Run a fine-tuning, and offer what comes of it once."""
        should_stop: Callable[[], bool] | Milestones = listener.should_stop
        if self._config.publish_every:
            should_stop = Milestones(
                every=self._config.publish_every,
                reached=listener.reached,
                refused=listener.refused,
                should_stop=listener.should_stop,
            )
        checkpoint = training.run(
            directory,
            self._store,
            self._checkpoints,
            report=listener.report,
            should_stop=should_stop,
        )
        if checkpoint is not None:
            self._offered.add(directory.path.name)
            listener.reached(checkpoint)
        return checkpoint is not None

    def _fine_tuning(self, directory: JobDirectory) -> Work:
        name = f"fine-tuning {directory.path.name}"
        return Work(name=name, run=partial(self.fine_tune, directory))

    def _finished_group(
        self, entries: Iterable[EpisodeEntry], served: Checkpoint
    ) -> GroupRequest | None:
        """Return the group that the served policy has finished and nobody learned from."""
        own = [
            one.facts
            for one in entries
            if one.facts.checkpoint == served.sha256
            and one.facts.phase == "rollouts"
            and one.facts.group >= 0
        ]
        if not own or not self._config.rollouts:
            return None
        newest = max(own, key=lambda facts: facts.group)
        request = GroupRequest(
            stamp_ns=0,
            group=newest.group,
            checkpoint=served.sha256,
            rule=self._config.rule,
            seed=self._config.seed,
            task=newest.task,
            start=newest.start_pose,
            time_limit_s=self._config.time_limit_s,
            rollouts=self._config.rollouts,
        )
        if (request.group, served.sha256) in self._settled:
            return None
        history = GroupHistory(self._store)
        is_finished = history.has_finished(request, request.group, served.sha256)
        return request if is_finished else None

    def _new_job(
        self, entries: Iterable[EpisodeEntry], served: Checkpoint, known: Container[str]
    ) -> JobDirectory | None:
        """Return a fine-tuning on all demonstrations where enough of them are not known."""
        shown = [one for one in entries if one.is_demonstration and one.outcome]
        new = [one for one in shown if one.facts.id not in known]
        if len(new) < self._config.new_demonstrations:
            return None
        config = self._config
        request = TrainingRequest(
            name=SERIES,
            algorithm="sft",
            spec=read_spec(served.path),
            steps=config.steps,
            seed=config.seed,
            parent=_relative(served),
            settings=config.settings,
            dataset={"outcomes": [Outcome.SUCCESS.value], "trim": {"mode": config.trim}},
        )
        return open_job(self._jobs, fine_tuning_job(request, self._store, self._checkpoints))

    def _own_jobs(self, served: Checkpoint) -> list[tuple[JobDirectory, JobRecord]]:
        """Return the fine-tunings that are under way, led to what is served, or begin there.

        A job says what it was given; its checkpoint says only what could be used of that. One
        that is done may have made what was never served, where the process died just then.
        """
        found = []
        for path in sorted(self._jobs.glob(f"{SERIES}-*/{JOB_FILE}")):
            directory = JobDirectory(path.parent)
            record = directory.read()
            is_running = record.status is JobStatus.RUNNING
            is_own = path.parent.name == served.path.parent.name
            if is_running or is_own or record.job.parent == _relative(served):
                found.append((directory, record))
        return found


def _relative(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.path.parent.name}/{checkpoint.path.name}"
