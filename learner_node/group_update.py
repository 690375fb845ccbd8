"""From a finished group to the policy that acts next: plan, train, judge, keep or take back.

Everything is in files: asked again after a crash it goes on where it was, and asked again when it
is done it says what came of it. The candidate gets no other role than that until the gate let it
pass, and nothing announces it before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import Path
from typing import NamedTuple

from learner_node import training
from learner_node.group_history import GroupHistory
from learner_node.group_planning import GroupPlanner, GroupSettings
from learner_node.job import JobDirectory
from learner_node.lineage import family, is_rejected, lineage
from learner_node.next_group_gate import NextGroupGate
from learner_node.params import LearnerParams
from learner_node.pose_gate import Each, PoseGate, Rivals
from learner_node.trainer import Progress, TrainerConfig
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.training.dataset import EpisodeDataset
from so101.errors import CheckpointError
from so101.groups.gate import THE_SUPERVISED, GateConfig, Verdict
from so101.policies.checkpoints.files import Checkpoint
from so101.policies.checkpoints.roles import assign, latest, promote
from so101.status_events import GroupRequest

NOTHING = Verdict(is_accepted=False, reasons=("no rollout teaches anything",))


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What came of a group.

    Attributes:
        acting: The checkpoint that acts in the next group.
        promoted: The last one that the gate let pass, at first the supervised one.
        verdict: The gate's newest.
        loss: Last loss of the training.
        left_out: Why rollouts of the group did not count.
    """

    acting: Checkpoint
    promoted: Checkpoint
    verdict: Verdict
    loss: float = 0.0
    left_out: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Say what the gate decided and why, who is yet to be judged, and what was left out."""
        is_on_trial = self.acting.sha256 != self.promoted.sha256
        on_trial = "the next group judges this one" if is_on_trial else ""
        left_out = [f"left out: {reason}" for reason in self.left_out]
        return "; ".join(filter(None, (self._decision(), on_trial, *left_out)))

    def _decision(self) -> str:
        verdict = self.verdict
        if verdict == THE_SUPERVISED:
            return "the supervised policy acted, others are compared with it"
        if not verdict.is_accepted:
            return f"rejected: {'; '.join(verdict.reasons)}"
        needed_s = verdict.evidence.get("time_until_done_s")
        return "accepted" if needed_s is None else f"accepted: {needed_s:.2f} s until done"


def group_update_of(
    params: LearnerParams, store: EpisodeStore, checkpoints: Path, jobs: Path
) -> "GroupUpdate":
    """Return what learns from groups as a node's parameters say."""
    return GroupUpdate(
        store,
        checkpoints,
        jobs,
        GroupSettings(learning=params.group, seed=params.seed, trim=params.trim),
        params.gate,
        TrainerConfig(device=params.device),
    )


class GroupUpdate:
    """Learns from one group after another."""

    def __init__(
        self,
        store: EpisodeStore,
        checkpoints: Path,
        jobs: Path,
        settings: GroupSettings,
        gate: GateConfig,
        trainer: TrainerConfig | None = None,
    ) -> None:
        """Learn from one store.

        Args:
            store: Where episodes are.
            checkpoints: Root of all checkpoints.
            jobs: Directory of the training jobs.
            settings: How is learned.
            gate: How strict the gate is.
            trainer: Where it trains.
        """
        self._trainer = trainer
        self._store, self._checkpoints, self._jobs = store, checkpoints, jobs
        self._by = gate.by
        self._history = GroupHistory(store)
        self._planner = GroupPlanner(self._history, settings)
        self._pose_gate = PoseGate(checkpoints, gate)
        self._next_group_gate = NextGroupGate(gate, self._history)

    def run(
        self,
        request: GroupRequest,
        *,
        on_dataset: Callable[[EpisodeDataset], None] | None = None,
        report: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        each: Each = lambda done, of: False,
    ) -> Settled | None:
        """Learn from a group, from wherever it was; None when told to stop.

        Args:
            request: Which group.
            on_dataset: Called with what is trained on.
            report: Called with the progress of the training.
            should_stop: Asked before every training step.
            each: Told after every pose that is tried; answers whether to stop.

        Raises:
            So101Error: The group cannot be learned from; the message says why.
        """
        policies = lineage(self._checkpoints, request.checkpoint)
        tried = self._history.tried(request, family(self._checkpoints, policies[-1].sha256))
        work = _Work(request, tried, on_dataset, report, should_stop, each)
        learn = self._judge_then_train if self._by == "next_group" else self._train_then_judge
        settled = learn(policies, work)
        return settled and replace(settled, left_out=self._history.left_out)

    def _train_then_judge(self, policies: Sequence[Checkpoint], work: "_Work") -> Settled | None:
        """Train the acting policy further; what comes of it acts if the gate lets it pass."""
        acting = policies[0]
        if is_rejected(acting):
            raise CheckpointError(
                f"{acting.path}: acted in group {work.request.group} and was taken back since; "
                "start the session again"
            )
        directory = self._job(policies, work)
        if directory is None:
            return Settled(acting=acting, promoted=acting, verdict=NOTHING)
        candidate = self._train(directory, work)
        if candidate is None:
            return None
        rivals = Rivals(candidate=candidate, acting=acting, supervised=policies[-1])
        judged = self._pose_gate.judge(rivals, work.request, work.each)
        if judged is None:
            return None
        verdict = Verdict.from_mapping(judged.record.gate or {})
        self._give_roles(judged, acting, is_accepted=verdict.is_accepted)
        after = judged if verdict.is_accepted else acting
        return Settled(acting=after, promoted=after, verdict=verdict, loss=_loss(judged))

    def _judge_then_train(self, policies: Sequence[Checkpoint], work: "_Work") -> Settled | None:
        """Judge who acted by its rollouts; train the accepted policy further, and let that act."""
        verdict = self._next_group_gate.judge(policies, work.tried, work.request)
        policies = lineage(self._checkpoints, work.request.checkpoint)  # with the verdict
        if len(policies) > 1:
            self._give_roles(*policies[:2], is_accepted=not is_rejected(policies[0]))
        accepted = list(dropwhile(is_rejected, policies))
        if work.request.is_last:
            return Settled(acting=accepted[0], promoted=accepted[0], verdict=verdict)
        directory = self._job(accepted, work)
        if directory is None:
            return Settled(acting=accepted[0], promoted=accepted[0], verdict=verdict)
        candidate = self._train(directory, work)
        if candidate is None:
            return None
        may_act = self._next_group_gate.may_act(candidate, work.request)
        acting = candidate if may_act else accepted[0]
        return Settled(acting=acting, promoted=accepted[0], verdict=verdict, loss=_loss(candidate))

    def _job(self, policies: Sequence[Checkpoint], work: "_Work") -> JobDirectory | None:
        """Return the job that trains a policy further; None where there is nothing to learn."""
        directory = JobDirectory(self._jobs / self._planner.name(work.request, policies[0]))
        if not directory.exists():
            job = self._planner.plan(work.request, policies, work.tried)
            if job is None:
                return None
            directory.create(job)
        return directory

    def _train(self, directory: JobDirectory, work: "_Work") -> Checkpoint | None:
        """Return what a job makes; None when told to stop."""
        return training.run(
            directory,
            self._store,
            self._checkpoints,
            trainer_config=self._trainer,
            on_dataset=work.on_dataset,
            report=work.report,
            should_stop=work.should_stop,
        )

    def _give_roles(self, candidate: Checkpoint, before: Checkpoint, *, is_accepted: bool) -> None:
        """Promote what was accepted, once; take the role of a candidate from what was not."""
        if is_accepted:
            promoted = latest(self._checkpoints, "promoted")
            if promoted is None or promoted.sha256 == before.sha256:
                promote(self._checkpoints, candidate.path)
            return
        present = latest(self._checkpoints, "candidate")
        if present is not None and present.sha256 == candidate.sha256:
            assign(self._checkpoints, "candidate", before.path)


class _Work(NamedTuple):
    """One group to learn from, and whom to tell."""

    request: GroupRequest
    tried: Sequence[EpisodeEntry]
    on_dataset: Callable[[EpisodeDataset], None] | None
    report: Callable[[Progress], None] | None
    should_stop: Callable[[], bool] | None
    each: Each


def _loss(checkpoint: Checkpoint) -> float:
    return checkpoint.record.metrics.get("loss", 0.0)
