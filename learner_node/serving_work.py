"""What a serving learner does next: go on with a job, learn from a group, fine-tune. No threads.

It looks at the store and at the jobs alone, so that a process that was killed finds again what it
was doing. Every piece of work begins at the policy that is served and ends in checkpoints.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from learner_node import training
from learner_node.fine_tuning import fine_tuning_job, open_job
from learner_node.group_history import GroupHistory
from learner_node.group_planning import GroupSettings
from learner_node.group_update import GroupUpdate
from learner_node.job import JobDirectory, running_jobs
from learner_node.lineage import family
from learner_node.milestones import Milestones
from learner_node.params import GroupParams
from learner_node.planning import TrainingRequest
from learner_node.trainer import Progress
from so101.config import option
from so101.data.episode_store import EpisodeStore
from so101.data.store_entry import EpisodeEntry
from so101.episode import Outcome
from so101.groups.gate import GateConfig
from so101.policies.checkpoint import read_spec
from so101.policies.checkpoint_files import Checkpoint
from so101.status_events import GroupRequest

SERIES = "live"
"""Series of the checkpoints that a serving learner fine-tunes, before the hash of their job."""


@dataclass(frozen=True, kw_only=True)
class ServingLearnerConfig:
    """What a serving learner learns from, and how long."""

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
    gate: GateConfig = field(default_factory=lambda: GateConfig(by="next_group"))
    settings: Mapping[str, object] = field(default_factory=dict)


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


class Work(Protocol):
    """A piece of work, done by running it, from wherever it was."""

    @property
    def name(self) -> str:
        """What it is, in words."""
        ...

    def run(self, listener: Listener) -> bool:
        """Do it; False when it was told to stop before its end.

        Raises:
            So101Error: It cannot be done; the message says why.
        """
        ...


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

    def next(self, served: Checkpoint) -> Work | None:
        """Return what is to be done now; None when there is nothing new.

        Args:
            served: What acts; new work begins there.

        Raises:
            So101Error: The store or a job cannot be read.
        """
        for directory in running_jobs(self._jobs):
            if directory.path.name.startswith(f"{SERIES}-"):
                return self._fine_tuning(directory)
        entries = self._store.episodes()
        request = self._finished_group(entries, served)
        if request is not None:
            return _GroupWork(self, request)
        job = self._new_job(entries, served)
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

    def _fine_tuning(self, directory: JobDirectory) -> "_FineTuning":
        return _FineTuning(directory, self._store, self._checkpoints, self._config.publish_every)

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

    def _new_job(self, entries: Iterable[EpisodeEntry], served: Checkpoint) -> JobDirectory | None:
        """Return a fine-tuning on all demonstrations where enough of them are new."""
        known = self._known(served)
        new = [
            one
            for one in entries
            if one.is_demonstration
            and one.outcome is Outcome.SUCCESS
            and one.facts.id not in known
        ]
        if len(new) < self._config.new_demonstrations:
            return None
        config = self._config
        request = TrainingRequest(
            name=SERIES,
            algorithm="sft",
            spec=read_spec(served.path),
            steps=config.steps,
            seed=config.seed,
            parent=f"{served.path.parent.name}/{served.path.name}",
            settings=config.settings,
            dataset={"outcomes": [Outcome.SUCCESS.value], "trim": {"mode": config.trim}},
        )
        return open_job(self._jobs, fine_tuning_job(request, self._store, self._checkpoints))

    def _known(self, served: Checkpoint) -> frozenset[str]:
        """Return the demonstrations that were trained on or tried, those left out included.

        A job says what it was given; its checkpoint says only what could be used of that.
        """
        known = {episode.id for episode in served.record.episodes}
        own = JobDirectory(self._jobs / served.path.parent.name)
        parent = f"{served.path.parent.name}/{served.path.name}"
        for path in self._jobs.glob(f"{SERIES}-*"):
            job = JobDirectory(path).read().job
            if path == own.path or job.parent == parent:
                known |= {episode.id for episode in job.episodes}
        return frozenset(known)


class _FineTuning:
    """A fine-tuning job."""

    def __init__(
        self, directory: JobDirectory, store: EpisodeStore, checkpoints: Path, every: int
    ) -> None:
        self._directory, self._store, self._checkpoints = directory, store, checkpoints
        self._every = every

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"fine-tuning {self._directory.path.name}"

    def run(self, listener: Listener) -> bool:
        """Train to the end, from wherever it was."""
        should_stop: Callable[[], bool] | Milestones = listener.should_stop
        if self._every:
            should_stop = Milestones(
                every=self._every,
                reached=listener.reached,
                refused=listener.refused,
                should_stop=listener.should_stop,
            )
        checkpoint = training.run(
            self._directory,
            self._store,
            self._checkpoints,
            report=listener.report,
            should_stop=should_stop,
        )
        if checkpoint is not None:
            listener.reached(checkpoint)
        return checkpoint is not None


class _GroupWork:
    """A finished group."""

    def __init__(self, curriculum: Curriculum, request: GroupRequest) -> None:
        self._curriculum, self._request = curriculum, request

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"group {self._request.group}"

    def run(self, listener: Listener) -> bool:
        """Train and judge, from wherever it was."""
        return self._curriculum.learn_from(self._request, listener)


def where_to_go_on(root: Path, named: Checkpoint, live: Checkpoint | None) -> Checkpoint:
    """Return what is served first: what was served last where it came of the one that is named.

    Args:
        root: Directory of all checkpoints.
        named: What the person asks for.
        live: What has the role ``live``; None for nothing.
    """
    if live is not None and live.sha256 in family(root, named.sha256):
        return live
    return named
