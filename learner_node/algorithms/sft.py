"""Supervised fine-tuning: imitate the executed actions of demonstrations.

The loss is that of `imitation` with weight 1 for every row. The learning rate rises linearly, then
falls along a half cosine to zero; the moving average of the weights is what acts.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from learner_node.algorithms.imitation import Imitation, ImitationConfig
from so101.config import option
from so101.policies.policy import TrainablePolicy
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class SftConfig(ImitationConfig):
    """Settings of supervised fine-tuning; the learning rate reaches zero at the last step."""

    warmup_steps: int = option(50, "Updates over which the learning rate rises.", range=(0, 1e6))

    @classmethod
    def for_policy(cls, spec: PolicySpec, steps: int | None = None) -> Self:
        """Return the settings found good; an encoder that starts blind wants a high rate."""
        found = super().for_policy(spec, steps)
        if not spec.cameras:
            return found
        return replace(found, learning_rate=3e-3, steps=steps or 7000)


def learning_rate(config: SftConfig, step: int) -> float:
    """Return the learning rate of an update: linear rise, then a half cosine to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


class Sft(Imitation):
    """An `Algorithm`."""

    config_type: ClassVar[type[SftConfig]] = SftConfig

    def __init__(self, policy: TrainablePolicy, config: SftConfig, seed: int) -> None:
        """Take over a policy; its weights change in place."""
        super().__init__(policy, config, seed)
        self._config = config

    def rate(self, step: int) -> float:
        """Return the learning rate of an update."""
        return learning_rate(self._config, step)
