"""Plans the training job of a group: whose policy acted, which episodes count, what they teach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.group_history import GroupHistory
from learner_node.job import TrainingJob
from learner_node.lesson import lesson_of
from learner_node.lineage import ALGORITHM
from learner_node.params import GroupParams
from learner_node.planning import bag_sha256
from so101.config import from_mapping, to_mapping
from so101.data.stores.store_entry import EpisodeEntry
from so101.groups.advantage import Pool
from so101.groups.lesson_config import LessonConfig
from so101.groups.rollout import DEMONSTRATION
from so101.policies.checkpoints.checkpoint import read_spec
from so101.policies.checkpoints.files import Checkpoint, EpisodeRef
from so101.policies.training_settings import training_settings
from so101.spec import PolicySpec
from so101.status_events import GroupRequest

POOLS: Mapping[str, Pool] = {
    "gated": "retime",
    "manual": "all",
    "median": "group",
    "zscore": "group",
}
"""Which episodes each rule's advantages choose from. ``retime`` needs no rating but success: with
it nobody's word would count."""


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """How a learner learns from groups.

    Attributes:
        learning: What each group is worth, and how long it is trained on.
        seed: Of batches, noise and augmentation.
        trim: Which idle ticks are left out, see `so101.data.training.trimming`.
    """

    learning: GroupParams = field(default_factory=GroupParams)
    seed: int = 0
    trim: str = "all"


class GroupPlanner:
    """Fixes what is learned from groups."""

    def __init__(self, history: GroupHistory, settings: GroupSettings) -> None:
        """Plan for one store.

        Args:
            history: What the store says.
            settings: How is learned.
        """
        self._history, self._settings = history, settings

    def name(self, request: GroupRequest, base: Checkpoint) -> str:
        """Return the name of a job: one for each group, policy and start, whatever is said later.

        Args:
            request: Names the group and who acted in it.
            base: What is trained further; the policy that acted, unless it was rejected.
        """
        name = f"group-{request.group:02d}-{request.checkpoint[:10]}"
        return name if base.sha256 == request.checkpoint else f"{name}-{base.sha256[:10]}"

    def plan(
        self,
        request: GroupRequest,
        policies: Sequence[Checkpoint],
        tried: Sequence[EpisodeEntry],
    ) -> TrainingJob | None:
        """Fix the job of a group on every rollout so far; None when they teach nothing.

        Args:
            request: Which group.
            policies: What is trained further, and its `lineage`, the supervised policy last.
            tried: Every rollout so far, oldest first.

        Raises:
            ConfigError: The rule is unknown.
            SessionError: The rule is ``manual`` and a rollout is not rated yet.
            TrainingError: A demonstration is gone.
            BagError: A bag cannot be read.
        """
        base, supervised = policies[0], policies[-1]
        spec = read_spec(base.path)
        config = self._config(request, spec, training_settings(base.path))
        shown = self._history.rate(self._history.shown(supervised))
        rated = [
            *(replace(one, group=DEMONSTRATION) for one in shown),
            *self._history.rate(tried),
        ]
        lesson = lesson_of(rated, config, limit_s=request.time_limit_s)
        if not lesson.advantages:
            return None
        return TrainingJob(
            name=self.name(request, base),
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
            first_step=base.record.step,
            parent=f"{base.path.parent.name}/{base.path.name}",
            spec=spec,
            settings=to_mapping(config),
            dataset={"trim": {"mode": self._settings.trim}},
            lesson=lesson,
        )

    def _config(
        self, request: GroupRequest, spec: PolicySpec, told: Mapping[str, Any]
    ) -> GroupReinforceConfig:
        """Return what was found good for such a policy, and what was chosen in its place."""
        learning = self._settings.learning
        found = replace(GroupReinforceConfig.for_policy(spec, learning.steps or None), **told)
        chosen = {one.name: getattr(learning, one.name) for one in fields(LessonConfig)}
        if learning.learning_rate:
            chosen["learning_rate"] = learning.learning_rate
        chosen["pool"] = learning.pool or POOLS.get(request.rule, found.pool)
        values = {**to_mapping(found), **chosen, "rule": request.rule}
        return from_mapping(GroupReinforceConfig, values, f"group {request.group}")
