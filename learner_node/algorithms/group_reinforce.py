"""Group-relative REINFORCE on a flow policy (Qiu 2025), with averaged weights and demonstrations.

After each group of n rollouts every rollout i has an advantage A_i (`so101.groups.advantage`), and
the policy imitates what was executed in it, in proportion. With the imitation loss l_it of the
chunk that begins at step t of rollout i, the loss is one of

    paper:   L(theta) = 1/n * sum_i A_i * mean_t l_it(theta)
    pooled:  L(theta) = sum_i A_i * sum_t l_it(theta) / sum_i T_i

that is, every rollout counts the same, or every frame. With A in {0, 1} this is filtered behaviour
cloning; with signed A the negative part must be bounded, for a squared error has no ceiling.

Stochastic form: rows are drawn in proportion to |A_i|, and carry the sign and the scale that make
the mean over a batch an unbiased estimate of L (`AdvantageSource`). A share s of each batch are
demonstrations: (1 - s) L + s L_sft.

Data: chunk batches. Noise, flow time and augmentation are those of `imitation`. The learning rate
falls along a half cosine to zero within each group's steps: what acts next has come to rest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from learner_node.algorithms.imitation import Imitation, ImitationConfig
from so101.arrays import Float32Array
from so101.config import option
from so101.data.batch import ChunkBatch
from so101.data.training.dataset import EpisodeDataset
from so101.errors import ConfigError
from so101.groups.advantage import Pool, Rule
from so101.groups.lesson_config import LessonConfig, LossForm
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class GroupReinforceConfig(LessonConfig, ImitationConfig):
    """Settings of group-relative REINFORCE; ``steps`` are those of one group."""

    steps: int = option(2500, "Updates after each group.", range=(1, 1e7))
    learning_rate: float = option(1e-3, "Learning rate at a group's first step.", range=(0.0, 1.0))
    ema_decay: float = option(0.99, "Of the weights that act.", range=(0.0, 0.999999))
    rule: Rule = option("gated", "How rollouts get their advantage.")
    pool: Pool = option("retime", "Which episodes are trained on.")

    @classmethod
    def for_policy(cls, spec: PolicySpec, steps: int | None = None) -> Self:
        """Return the settings found good; with cameras at the rate of the fine-tuning before."""
        found = super().for_policy(spec, steps)
        return replace(found, learning_rate=3e-3) if spec.cameras else found

    def __post_init__(self) -> None:
        """Refuse a pool in which the rule's advantages would count for nothing."""
        if self.pool in ("regate", "retime") and self.rule != "gated":
            raise ConfigError(
                f"pool={self.pool} takes every success whatever its advantage: "
                f"rule={self.rule} would change nothing; choose pool group or all, or rule gated"
            )


class GroupReinforce(Imitation):
    """An `Algorithm`; its rows come from an `AdvantageSource`."""

    config_type: ClassVar[type[GroupReinforceConfig]] = GroupReinforceConfig

    def rate(self, step: int) -> float:
        """Return the learning rate: a half cosine over each group's steps."""
        share = (step % self._settings.steps) / self._settings.steps
        return self._settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))


class AdvantageSource:
    """Draws rows so that their mean loss estimates (1 - s) L + s L_sft without bias."""

    def __init__(
        self,
        dataset: EpisodeDataset,
        advantages: Mapping[str, float],
        demonstrations: Sequence[str],
        *,
        loss: LossForm = "paper",
        demonstration_share: float = 0.0,
        paces: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare to draw.

        Args:
            dataset: Holds every episode named here; others are not used.
            advantages: Episode id to A_i; n is their number, those with 0 included.
            demonstrations: Ids of the episodes of L_sft.
            loss: Form of L.
            demonstration_share: s.
            paces: Episode id to the factor its actions are read at; 1 where nothing is said.

        Raises:
            ConfigError: An episode is not in the dataset, or nothing is left to draw.
        """
        names = {name: i for i, name in enumerate(dataset.episodes)}
        if missing := [name for name in (*advantages, *demonstrations) if name not in names]:
            raise ConfigError(f"episodes are not in the dataset: {', '.join(missing[:5])}")
        share = demonstration_share
        if (share > 0.0 and not demonstrations) or (share < 1.0 and not any(advantages.values())):
            raise ConfigError("nothing to train on: no rollout was chosen and no demonstration")
        self._dataset, self._share = dataset, share
        sizes = dataset.sizes
        given = np.zeros(len(sizes))
        for name, advantage in advantages.items():
            given[names[name]] = advantage
        counts = [names[name] for name in advantages]
        # mass of an episode: |A_i| under paper, |A_i| T_i under pooled
        per_step = np.abs(given) / np.maximum(sizes, 1) if loss == "paper" else np.abs(given)
        total = len(counts) if loss == "paper" else int(sizes[counts].sum())
        self._rollouts = tuple(per_step.tolist())
        self._scale = float((per_step * sizes).sum()) / max(1, total)
        self._sign = np.sign(given)
        is_demonstration = np.zeros(len(sizes))
        is_demonstration[[names[name] for name in demonstrations]] = 1.0
        self._demonstrations = tuple(is_demonstration.tolist())
        self._paces = np.array([(paces or {}).get(name, 1.0) for name in dataset.episodes])

    def chunks(self, rng: np.random.Generator, batch_size: int) -> ChunkBatch:
        """Draw a batch: demonstrations first, then rollouts with their weight."""
        demonstrations = round(self._share * batch_size)
        drawn = []
        if demonstrations:
            drawn.append(self._dataset.draw(rng, demonstrations, self._demonstrations))
        if demonstrations < batch_size:
            drawn.append(self._dataset.draw(rng, batch_size - demonstrations, self._rollouts))
        steps = np.concatenate(drawn)
        weight: Float32Array = np.ones(batch_size, dtype=np.float32)
        owners = self._dataset.episode_of(steps)
        weight[demonstrations:] = self._scale * self._sign[owners[demonstrations:]]
        return replace(self._dataset.chunks_at(steps, self._paces[owners]), weight=weight)
