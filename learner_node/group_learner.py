"""What group-relative REINFORCE does between two groups: rate, choose, train, and take back.

Holds every episode in memory; the nodes hold them as bags. Episodes in, a candidate out, then a
word whether it was accepted.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learner_node.algorithms.group_reinforce import (
    AdvantageSource,
    GroupReinforce,
    GroupReinforceConfig,
)
from learner_node.trainer import Trainer, TrainerConfig
from so101.data.dataset import DatasetConfig, EpisodeDataset
from so101.episode import Episode
from so101.groups.advantage import advantages, paces, pooled, tighten
from so101.groups.rollout import RatedRollout, rate
from so101.policies.policy import TrainablePolicy


class GroupLearner:
    """Trains one candidate per group and goes back where it is rejected."""

    def __init__(
        self,
        policy: TrainablePolicy,
        demonstrations: Sequence[Episode],
        config: GroupReinforceConfig,
        *,
        seed: int,
        limit_s: float,
        dataset: DatasetConfig | None = None,
    ) -> None:
        """Begin at the supervised policy.

        Args:
            policy: The supervised policy; it is copied.
            demonstrations: What it was trained on.
            config: Settings.
            seed: Of batches, noise and augmentation.
            limit_s: Time limit of a rollout [s].
            dataset: Which steps are trained on.
        """
        self.standard_s: float | None = None
        self._config, self._seed, self._limit_s = config, seed, limit_s
        self._spec, self._dataset = policy.spec, dataset
        self._algorithm = GroupReinforce(copy.deepcopy(policy), config, seed)
        self._accepted = self._algorithm.state_dict()
        self._episodes = list(demonstrations)
        self._demonstrations = [episode.facts.id for episode in demonstrations]
        self._history: list[tuple[RatedRollout, float]] = [
            (rate(episode), 0.0) for episode in demonstrations
        ]

    @property
    def policy(self) -> TrainablePolicy:
        """The policy as trained last."""
        return self._algorithm.policy()

    def propose(self, group: Sequence[Episode], highest_speed: float) -> Mapping[str, Any]:
        """Learn from a group's rollouts; `policy` is the candidate then.

        Args:
            group: Its episodes.
            highest_speed: Largest factor that its rollouts may have been played at.

        Returns:
            What it was trained on, ready for JSON.

        Raises:
            SessionError: A rollout is not rated yet.
        """
        rated = [rate(episode) for episode in group]
        before = [rollout for rollout, _ in self._history if rollout.group >= 0]
        self.standard_s = tighten(
            self.standard_s,
            [*before, *rated],
            quantile=self._config.standard_quantile,
            window=self._config.standard_window,
        )
        given = advantages(
            self._config.rule,
            rated,
            standard_s=self.standard_s,
            limit_s=self._limit_s,
            negative_bound=self._config.negative_bound,
        )
        self._episodes += group
        self._history += zip(rated, given.tolist(), strict=True)
        chosen = pooled(self._config.pool, self._history, standard_s=self.standard_s)
        loss = self._train(chosen, highest_speed)
        return {
            "standard_s": self.standard_s,
            "chosen": int(np.count_nonzero(given)),
            "pool": len(chosen),
            "loss": loss,
        }

    def settle(self, *, is_accepted: bool) -> None:
        """Keep the candidate, or go back to the one before, optimiser and average included."""
        if is_accepted:
            self._accepted = self._algorithm.state_dict()
        else:
            self._algorithm.load_state_dict(self._accepted)

    def _train(self, chosen: Mapping[str, float], highest_speed: float) -> float | None:
        """Train on the chosen episodes; None where nothing was chosen."""
        if not chosen:
            return None
        wanted = {*chosen, *self._demonstrations}
        dataset = EpisodeDataset.from_episodes(
            [episode for episode in self._episodes if episode.facts.id in wanted],
            self._spec,
            self._dataset,
        )
        source = AdvantageSource(
            dataset,
            chosen,
            self._demonstrations,
            loss=self._config.loss,
            demonstration_share=self._config.demonstration_share,
            paces=self._paces(highest_speed),
        )
        seed = int(np.random.default_rng([self._seed, len(self._history)]).integers(1 << 31))
        trainer = Trainer(
            self._algorithm,
            source,
            steps=self._config.steps,
            seed=seed,
            config=TrainerConfig(report_every=self._config.steps),
        )
        trainer.run()
        return trainer.loss_curve[-1][1] if trainer.loss_curve else None

    def _paces(self, highest_speed: float) -> Mapping[str, float] | None:
        if self._config.pool != "retime":
            return None
        known = [rollout for rollout, _ in self._history]
        return paces(known, standard_s=self.standard_s, most=highest_speed)
