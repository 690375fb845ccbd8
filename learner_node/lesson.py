"""What the groups so far teach: which episodes to imitate, how much, how fast. A pure function.

In process and from bags the same rated episodes give the same lesson, and so the same candidate.
It is worked out anew from the whole history each time; nothing has to be remembered between two
groups but the episodes themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learner_node.algorithms.group_reinforce import AdvantageSource, GroupReinforceConfig
from so101.data.training.dataset import EpisodeDataset
from so101.groups.advantage import advantages, paces, pooled, target_duration, tighten
from so101.groups.rollout import DEMONSTRATION, RatedRollout


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is trained on after a group.

    Attributes:
        group: Its number.
        advantages: Episode id to its advantage; empty when there is nothing to learn from.
        paces: Episode id to the factor its actions are read at; 1 where nothing is said.
        demonstrations: Ids of the episodes that may be mixed in.
        standard_s: The running standard [s]; None before the first good rollout.
        target_s: What every episode is read to take [s]; None where they are read as executed.
        chosen: Rollouts of the group with an advantage other than 0.
        known: Episodes rated so far, demonstrations included; they decide the batches.
    """

    group: int
    advantages: dict[str, float]
    paces: dict[str, float]
    demonstrations: tuple[str, ...]
    standard_s: float | None
    target_s: float | None
    chosen: int
    known: int

    @property
    def wanted(self) -> frozenset[str]:
        """Return the ids of the episodes that the dataset must hold."""
        return frozenset((*self.advantages, *self.demonstrations))

    def batch_seed(self, seed: int) -> int:
        """Return what this group's batches are drawn with."""
        return int(np.random.default_rng([seed, self.known]).integers(1 << 31))

    def source(self, dataset: EpisodeDataset, config: GroupReinforceConfig) -> AdvantageSource:
        """Return where batches come from; the dataset holds every wanted episode."""
        return AdvantageSource(
            dataset,
            self.advantages,
            self.demonstrations,
            loss=config.loss,
            demonstration_share=config.demonstration_share,
            paces=self.paces,
        )


def lesson_of(
    rated: Sequence[RatedRollout],
    config: GroupReinforceConfig,
    *,
    limit_s: float,
) -> Lesson:
    """Return what the groups so far teach.

    Args:
        rated: Demonstrations, then every rollout so far, oldest first; at least one rollout.
        config: Rule, pool and standard.
        limit_s: Time limit of a rollout [s].

    Raises:
        SessionError: The rule is ``manual`` and a rollout is not rated yet.
    """
    shown = [one for one in rated if one.group == DEMONSTRATION]
    tried = [one for one in rated if one.group > DEMONSTRATION]
    given, standard_s = _rate_in_turn(tried, config, limit_s)
    newest = max((one.group for one, _ in given), default=0)
    last = [(one, advantage) for one, advantage in given if one.group == newest]
    target_s: float | None = None
    read_at: Mapping[str, float] = {}
    if config.pool == "retime":
        group = [one for one, _ in last]
        target_s = target_duration(group, standard_s=standard_s, step=config.pace_step)
        read_at = paces(rated, target_s)
    history = [*((one, 0.0) for one in shown), *given]
    return Lesson(
        group=newest,
        advantages=dict(pooled(config.pool, history, standard_s=standard_s)),
        paces=dict(read_at),
        demonstrations=tuple(one.episode for one in shown),
        standard_s=standard_s,
        target_s=target_s,
        chosen=sum(advantage != 0.0 for _, advantage in last),
        known=len(rated),
    )


def _rate_in_turn(
    tried: Sequence[RatedRollout], config: GroupReinforceConfig, limit_s: float
) -> tuple[list[tuple[RatedRollout, float]], float | None]:
    """Return every rollout with its advantage by the standard of its day, and today's standard."""
    given: list[tuple[RatedRollout, float]] = []
    standard_s: float | None = None
    for number in sorted({one.group for one in tried}):
        group = [one for one in tried if one.group == number]
        standard_s = tighten(
            standard_s,
            [one for one in tried if one.group <= number],
            quantile=config.standard_quantile,
            window=config.standard_window,
        )
        found = advantages(
            config.rule,
            group,
            standard_s=standard_s,
            limit_s=limit_s,
            negative_bound=config.negative_bound,
        )
        given += zip(group, found.tolist(), strict=True)
    return given, standard_s
