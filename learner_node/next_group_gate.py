"""The update gate of a robot without a simulated cell: the next group's rollouts judge who acted.

A candidate acts in one group before anybody knows whether it is better. Its rollouts, as long as
they would have been at speed 1, are compared with those of the policy that was accepted last, from
the first group that one acted in, and with the supervised policy's, all paired by their number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from learner_node.group_history import GroupHistory
from learner_node.lineage import is_rejected
from so101.data.stores.store_entry import EpisodeEntry
from so101.errors import TrainingError
from so101.groups.gate import (
    NOT_JUDGED,
    THE_SUPERVISED,
    GateBy,
    GateConfig,
    Verdict,
    as_planned,
    judge,
)
from so101.groups.rollout import RatedRollout
from so101.policies.checkpoints.files import Checkpoint
from so101.policies.checkpoints.roles import record_gate
from so101.status_events import GroupRequest

BY: GateBy = "next_group"


class NextGroupGate:
    """Judges policies by groups that they acted in."""

    def __init__(self, config: GateConfig, history: GroupHistory) -> None:
        """Judge by the rollouts of one store.

        Args:
            config: How strict it is.
            history: What the store says.
        """
        self._config, self._history = config, history

    def judge(
        self, policies: Sequence[Checkpoint], tried: Sequence[EpisodeEntry], request: GroupRequest
    ) -> Verdict:
        """Return the verdict on the policy that acted in a group, from its file or reached now.

        Args:
            policies: The acting policy and those it was trained from, the supervised one last.
            tried: Every rollout so far.
            request: Names the group.

        Raises:
            CheckpointError: The acting policy's checkpoint is damaged.
            ConfigError: Groups have different numbers of rollouts.
            TrainingError: Rollouts to compare with are gone.
        """
        acting = policies[0]
        if len(policies) == 1:
            return THE_SUPERVISED
        gate = acting.record.gate
        if gate is None:
            gate = self._decide(policies, tried, request)
            record_gate(acting.path, gate)
        elif gate.get("judged_in") != request.group:
            return NOT_JUDGED  # it had acted before, and there was nothing to learn from that
        return Verdict.from_mapping(gate)

    def may_act(self, candidate: Checkpoint, request: GroupRequest) -> bool:
        """Tell whether a candidate acts in the group after the requested one.

        One that was refused does not, but where that very group refused it and is complete: then
        it has acted there, and there is nothing left for it to do.
        """
        following, gate = request.group + 1, candidate.record.gate or {}
        if not is_rejected(candidate):
            return True
        is_over = self._history.has_finished(request, following, candidate.sha256)
        return gate.get("judged_in") == following and is_over

    def _decide(
        self, policies: Sequence[Checkpoint], tried: Sequence[EpisodeEntry], request: GroupRequest
    ) -> Mapping[str, Any]:
        acting, accepted, supervised = policies[0], policies[1], policies[-1]
        verdict = judge(
            *(self._first_group(one, tried) for one in (acting, accepted, supervised)),
            margin=self._config.margin,
            limit_s=request.time_limit_s,
        )
        return {
            **verdict.to_mapping(),
            "by": BY,
            "group": int(acting.record.metrics["group"]),
            "judged_in": request.group,
            "highest_speed": request.highest_speed,
        }

    def _first_group(
        self, policy: Checkpoint, tried: Sequence[EpisodeEntry]
    ) -> list[RatedRollout]:
        """Return the rollouts of the first group that a policy acted in, by number."""
        own = [one for one in tried if one.facts.checkpoint == policy.sha256]
        if not own:
            raise TrainingError(f"{policy.path}: its rollouts are gone, nothing to compare with")
        first = min(one.facts.group for one in own)
        of_it = [one for one in own if one.facts.group == first]
        return as_planned(self._history.rate(sorted(of_it, key=lambda one: one.facts.rollout)))
