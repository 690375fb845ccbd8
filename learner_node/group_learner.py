"""What group-relative REINFORCE does between two groups: rate, choose, train, and take back.

Holds every episode in memory; the nodes hold them as bags (`learner_node.group_update`). Episodes
in, a candidate out, then a word whether it was accepted.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from learner_node.algorithms.group_reinforce import GroupReinforce, GroupReinforceConfig
from learner_node.lesson import Lesson, lesson_of
from learner_node.trainer import Trainer, TrainerConfig
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.episode import Episode
from so101.groups.rollout import rate
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
        self._config, self._seed, self._limit_s = config, seed, limit_s
        self._spec, self._dataset = policy.spec, dataset
        self._algorithm = GroupReinforce(copy.deepcopy(policy), config, seed)
        self._accepted = self._algorithm.state_dict()
        self._episodes = list(demonstrations)
        self._rated = [rate(episode) for episode in demonstrations]

    @property
    def policy(self) -> TrainablePolicy:
        """The policy as trained last."""
        return self._algorithm.policy()

    def propose(self, group: Sequence[Episode]) -> Mapping[str, Any]:
        """Learn from a group's rollouts; `policy` is the candidate then.

        Args:
            group: Its episodes.

        Returns:
            What it was trained on, ready for JSON.

        Raises:
            SessionError: A rollout is not rated yet.
        """
        rated = [*self._rated, *map(rate, group)]
        lesson = lesson_of(rated, self._config, limit_s=self._limit_s)
        self._rated = rated
        self._episodes += group
        return {
            "standard_s": lesson.standard_s,
            "target_s": lesson.target_s,
            "chosen": lesson.chosen,
            "pool": len(lesson.advantages),
            "loss": self._train(lesson),
        }

    def settle(self, *, is_accepted: bool) -> None:
        """Keep the candidate, or go back to the one before, optimiser and average included."""
        if is_accepted:
            self._accepted = self._algorithm.state_dict()
        else:
            self._algorithm.load_state_dict(self._accepted)

    def _train(self, lesson: Lesson) -> float | None:
        """Train on the chosen episodes; None where nothing was chosen."""
        if not lesson.advantages:
            return None
        dataset = EpisodeDataset.from_episodes(
            [episode for episode in self._episodes if episode.facts.id in lesson.wanted],
            self._spec,
            self._dataset,
        )
        trainer = Trainer(
            self._algorithm,
            lesson.source(dataset, self._config),
            steps=self._config.steps,
            seed=lesson.batch_seed(self._seed),
            config=TrainerConfig(report_every=self._config.steps),
        )
        trainer.run()
        return trainer.loss_curve[-1][1] if trainer.loss_curve else None
