"""From a finished group to the policy that acts next: plan, train, judge, keep or take back.

Everything is in files: asked again after a crash it goes on where it was, and asked again when it
is done it says what came of it. The candidate gets no other role than that until the gate let it
pass, and nothing announces it before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from learner_node import training
from learner_node.group_planning import ALGORITHM, GroupPlanner, GroupSettings, lineage
from learner_node.job import JobDirectory
from learner_node.params import LearnerParams
from learner_node.pose_gate import Each, PoseGate, Rivals
from learner_node.trainer import Progress
from so101.data.episode_store import EpisodeStore
from so101.errors import CheckpointError
from so101.groups.gate import GateConfig, Verdict
from so101.policies.checkpoint_files import Checkpoint
from so101.policies.checkpoint_roles import assign, latest, promote
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
    """

    acting: Checkpoint
    promoted: Checkpoint
    verdict: Verdict
    loss: float = 0.0

    @property
    def words(self) -> str:
        """Say what the gate decided, and why."""
        if not self.verdict.is_accepted:
            return f"rejected: {'; '.join(self.verdict.reasons)}"
        needed_s = self.verdict.evidence.get("time_until_done_s")
        return "accepted" if needed_s is None else f"accepted: {needed_s:.2f} s until done"


def group_update_of(
    params: LearnerParams, store: EpisodeStore, checkpoints: Path, jobs: Path
) -> "GroupUpdate":
    """Return what learns from groups as a node's parameters say."""
    return GroupUpdate(
        store,
        checkpoints,
        jobs,
        GroupSettings(steps=params.group_steps, seed=params.seed, trim=params.trim),
        GateConfig(by=params.gate, poses=params.gate_poses, margin=params.gate_margin),
    )


def check_promotable(candidate: Checkpoint) -> None:
    """Refuse a group's candidate that the gate did not let pass.

    Raises:
        CheckpointError: It was rejected, or not judged yet.
    """
    gate = candidate.record.gate
    is_group = candidate.record.algorithm == ALGORITHM
    if is_group and not (gate and Verdict.from_mapping(gate).is_accepted):
        why = "was not judged yet" if gate is None else "was rejected by the gate"
        raise CheckpointError(f"{candidate.path}: {why}; it is not promoted")


class GroupUpdate:
    """Learns from one group after another."""

    def __init__(
        self,
        store: EpisodeStore,
        checkpoints: Path,
        jobs: Path,
        settings: GroupSettings,
        gate: GateConfig,
    ) -> None:
        """Learn from one store.

        Args:
            store: Where episodes are.
            checkpoints: Root of all checkpoints.
            jobs: Directory of the training jobs.
            settings: How is learned.
            gate: How strict the gate is.
        """
        self._store, self._checkpoints, self._jobs = store, checkpoints, jobs
        self._planner = GroupPlanner(store, checkpoints, settings)
        self._gate = PoseGate(checkpoints, gate)

    def run(
        self,
        request: GroupRequest,
        *,
        report: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        each: Each = lambda done, of: False,
    ) -> Settled | None:
        """Learn from a group, from wherever it was; None when told to stop.

        Args:
            request: Which group.
            report: Called with the progress of the training.
            should_stop: Asked before every training step.
            each: Told after every pose that is tried; answers whether to stop.

        Raises:
            So101Error: The group cannot be learned from; the message says why.
        """
        policies = lineage(self._checkpoints, request.checkpoint)
        acting = policies[0]
        directory = JobDirectory(self._jobs / self._planner.name(request))
        if not directory.exists():
            job = self._planner.plan(request, policies)
            if job is None:
                return Settled(acting=acting, promoted=acting, verdict=NOTHING)
            directory.create(job)
        candidate = training.run(
            directory, self._store, self._checkpoints, report=report, should_stop=should_stop
        )
        if candidate is None:
            return None
        rivals = Rivals(candidate=candidate, acting=acting, supervised=policies[-1])
        judged = self._gate.judge(rivals, request, each)
        if judged is None:
            return None
        verdict = Verdict.from_mapping(judged.record.gate or {})
        self._give_roles(rivals, is_accepted=verdict.is_accepted)
        after = judged if verdict.is_accepted else acting
        return Settled(
            acting=after,
            promoted=after,
            verdict=verdict,
            loss=judged.record.metrics.get("loss", 0.0),
        )

    def _give_roles(self, rivals: Rivals, *, is_accepted: bool) -> None:
        """Promote what was accepted, once; take the role of a candidate from what was not."""
        if is_accepted:
            promoted = latest(self._checkpoints, "promoted")
            if promoted is None or promoted.sha256 == rivals.acting.sha256:
                promote(self._checkpoints, rivals.candidate.path)
            return
        present = latest(self._checkpoints, "candidate")
        if present is not None and present.sha256 == rivals.candidate.sha256:
            assign(self._checkpoints, "candidate", rivals.acting.path)
