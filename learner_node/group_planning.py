"""Plans the training job of a group: whose policy acted, which episodes count, what they teach."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.job import TrainingJob
from learner_node.lesson import lesson_of
from learner_node.planning import bag_sha256
from so101.config import from_mapping, to_mapping
from so101.data.episode_reader import read_episodes
from so101.data.episode_store import EpisodeStore
from so101.data.labels import read_labels
from so101.data.store_entry import EpisodeEntry
from so101.episode import Outcome
from so101.errors import CheckpointError, TrainingError
from so101.events import LabelEvent
from so101.groups.advantage import Pool
from so101.groups.rollout import DEMONSTRATION, RatedRollout, rate
from so101.policies.checkpoint import read_spec
from so101.policies.checkpoint_files import (
    WEIGHTS,
    Checkpoint,
    EpisodeRef,
    is_step_directory,
    read_training,
    verify,
)
from so101.status_events import GroupRequest

ALGORITHM = "group_reinforce"
POOLS: Mapping[str, Pool] = {
    "gated": "retime",
    "manual": "all",
    "median": "group",
    "zscore": "group",
}
"""Which episodes each rule's advantages choose from. ``retime`` needs no rating but success: with
it nobody's word would count."""
_COUNTED = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED)


def lineage(root: Path, sha256: str) -> tuple[Checkpoint, ...]:
    """Return a checkpoint and those it was trained from, back to the supervised one.

    Raises:
        CheckpointError: One of them is not under the root, or is damaged.
    """
    known: dict[str, Path] = {}
    for path in sorted(root.glob("*/step_*")):
        with suppress(CheckpointError):  # a damaged one matters only where it is needed
            if is_step_directory(path):
                known.setdefault(read_training(path)[1].get(WEIGHTS, ""), path)
    found: list[Checkpoint] = []
    while not found or found[-1].record.algorithm == ALGORITHM:
        if sha256 not in known:
            raise CheckpointError(f"{root}: no checkpoint has the weights {sha256[:12]!r}")
        found.append(verify(known.pop(sha256)))
        sha256 = found[-1].record.parent
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """How a learner learns from groups.

    Attributes:
        steps: Updates after each group; 0 as found good for the policy.
        seed: Of batches, noise and augmentation.
        trim: Which idle ticks are left out, see `so101.data.trimming`.
    """

    steps: int = 0
    seed: int = 0
    trim: str = "all"


class GroupPlanner:
    """Fixes what is learned from groups. Remembers ratings, for reading bags takes its time."""

    def __init__(self, store: EpisodeStore, checkpoints: Path, settings: GroupSettings) -> None:
        """Plan for one store.

        Args:
            store: Where episodes are.
            checkpoints: Root of all checkpoints.
            settings: How is learned.
        """
        self._store, self._checkpoints, self._settings = store, checkpoints, settings
        self._ratings: dict[tuple[Path, tuple[LabelEvent, ...]], tuple[RatedRollout, ...]] = {}

    def name(self, request: GroupRequest) -> str:
        """Return the name of the job: one for each group and policy, whatever is said later."""
        return f"group-{request.group:02d}-{request.checkpoint[:10]}"

    def plan(self, request: GroupRequest, policies: Sequence[Checkpoint]) -> TrainingJob | None:
        """Fix the job of a group on every rollout so far; None when they teach nothing.

        Args:
            request: Which group.
            policies: The `lineage` of the policy that acted in it.

        Raises:
            ConfigError: The rule is unknown.
            SessionError: The rule is ``manual`` and a rollout is not rated yet.
            TrainingError: A demonstration is gone, or the group has no rollout.
            BagError: A bag cannot be read.
        """
        acting, supervised = policies[0], policies[-1]
        spec = read_spec(acting.path)
        base = GroupReinforceConfig.for_policy(spec, self._settings.steps or None)
        config = from_mapping(
            GroupReinforceConfig,
            {**to_mapping(base), "rule": request.rule, "pool": POOLS.get(request.rule, base.pool)},
            f"group {request.group}",
        )
        entries = self._store.episodes()
        shown = self._shown(entries, supervised)
        tried = self._tried(entries, request, {one.sha256 for one in policies})
        rated = [
            *(replace(r, group=DEMONSTRATION) for one in shown for r in self._rate(one)),
            *(r for one in tried for r in self._rate(one)),
        ]
        lesson = lesson_of(
            rated,
            config,
            limit_s=request.time_limit_s,
        )
        if not lesson.advantages:
            return None
        return TrainingJob(
            name=self.name(request),
            algorithm=ALGORITHM,
            episodes=(
                *supervised.record.episodes,
                *(
                    EpisodeRef(id=one.facts.id, sha256=bag_sha256(one.path))
                    for one in tried
                    if one.facts.id in lesson.wanted
                ),
            ),
            steps=config.steps,
            seed=self._settings.seed,
            first_step=acting.record.step,
            parent=f"{acting.path.parent.name}/{acting.path.name}",
            spec=spec,
            settings=to_mapping(config),
            dataset={"trim": {"mode": self._settings.trim}},
            lesson=lesson,
        )

    def _shown(
        self, entries: Sequence[EpisodeEntry], supervised: Checkpoint
    ) -> list[EpisodeEntry]:
        """Return what the supervised policy was trained on."""
        known = {entry.facts.id: entry for entry in entries}
        names = [episode.id for episode in supervised.record.episodes]
        if gone := [name for name in names if name not in known]:
            raise TrainingError(f"{self._store.root}: demonstration {gone[0]!r} is gone")
        return [known[name] for name in names]

    def _tried(
        self, entries: Sequence[EpisodeEntry], request: GroupRequest, policies: set[str]
    ) -> list[EpisodeEntry]:
        """Return the rollouts so far, oldest first; of one that was run again the last."""
        found: dict[tuple[int, int], EpisodeEntry] = {}
        kind = ("rollouts", request.task, request.start)
        for entry in entries:
            facts = entry.facts
            if entry.problem or entry.outcome not in _COUNTED:
                continue
            if (facts.phase, facts.task, facts.start_pose) != kind:
                continue
            if facts.checkpoint in policies and 0 <= facts.group <= request.group:
                found.pop((facts.group, facts.rollout), None)
                found[facts.group, facts.rollout] = entry
        if not any(group == request.group for group, _ in found):
            raise TrainingError(f"{self._store.root}: group {request.group} has no rollout")
        return list(found.values())

    def _rate(self, entry: EpisodeEntry) -> tuple[RatedRollout, ...]:
        key = (entry.path, read_labels(entry.path))
        if key not in self._ratings:
            # without an outcome it is a demonstration of others, who keep what went well
            self._ratings[key] = tuple(
                rate(replace(one, outcome=one.outcome or Outcome.SUCCESS))
                for one in read_episodes(entry.path)
            )
        return self._ratings[key]
