"""One step of weighted imitation, what `sft` and `group_reinforce` have in common.

Flow matching as in pi0 (Black et al. 2024, arXiv:2410.24164) with the clean chunk as the network's
output: for a chunk ``a``, noise ``z ~ N(0, 1)`` and time ``t ~ U(0, 1)``

    L(theta) = E[ w * || f_theta((1 - t) z + t a, t, observation) - a ||^2 ]

with row weight ``w``: 1 for demonstrations, an advantage for rollouts. What the loss is exactly is
the policy's business (`TrainablePolicy.loss`); this file owns noise and augmentation.

Several draws of noise and time per observation share one pass of the camera encoder, by far the
most expensive part of a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch

from learner_node.algorithms.algorithm import BatchKind, ChunkSource, Metrics, SwapRule
from learner_node.algorithms.optimization import Optimization, OptimizationConfig
from so101.config import option
from so101.data.batch import ChunkBatch
from so101.data.training.dataset import EpisodeDataset
from so101.errors import ConfigError, TrainingError
from so101.policies.augmentation import blur_joints, shift_images
from so101.policies.policy import TrainablePolicy
from so101.spec import PolicySpec

_AUGMENTATION = 0x617567  # "aug": a stream of its own


@dataclass(frozen=True, kw_only=True)
class ImitationConfig:
    """Settings of weighted imitation."""

    steps: int = option(5000, "Updates of one training run.", range=(1, 1e7))
    batch_size: int = option(64, "Observations per update.", range=(1, 65536))
    draws: int = option(4, "Draws of noise and time per observation.", range=(1, 64))
    learning_rate: float = option(1e-3, "Largest learning rate.", range=(0.0, 1.0))
    weight_decay: float = option(1e-4, "Of AdamW.", range=(0.0, 1.0))
    grad_clip: float = option(1.0, "Largest gradient norm.", range=(1e-6, 1e6))
    ema_decay: float = option(0.999, "Of the weights that act.", range=(0.0, 0.999999))
    shift_px: int = option(0, "Largest random image shift [px].", range=(0, 64))
    joint_noise_rad: float = option(
        0.0, "Noise on the joints seen, for absolute actions [rad].", range=(0.0, 1.0)
    )

    @classmethod
    def for_policy(cls, spec: PolicySpec, steps: int | None = None) -> Self:
        """Return the settings found good with cameras and in state mode."""
        found = cls() if steps is None else cls(steps=steps)
        is_absolute = spec.action_space.kind == "joint_absolute"
        if not spec.cameras:
            return replace(found, joint_noise_rad=0.01 if is_absolute else 0.0)
        noise = 0.02 if is_absolute else 0.0
        return replace(found, batch_size=16, draws=8, shift_px=4, joint_noise_rad=noise)


def augmentation_rng(seed: int, step: int) -> np.random.Generator:
    """Return the source of a step's augmentation, independent of what the batch is drawn with.

    Were it the same stream, the shift of an image would tell which episode it is from, and the
    policy would learn to read that instead of the image.
    """
    return np.random.default_rng([seed, step, _AUGMENTATION])


def imitation_loss(
    policy: TrainablePolicy, batch: ChunkBatch, noise: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """Return the weighted mean of the policy's imitation loss."""
    losses = policy.loss(batch, noise=noise, time=time)
    return (losses * torch.from_numpy(batch.weight).to(losses)).mean()


class Imitation:
    """The `Algorithm` under `sft` and `group_reinforce`; they say how fast it learns."""

    batch_kind: ClassVar[BatchKind] = "chunk"
    aux_topics: ClassVar[tuple[str, ...]] = ()
    swap_rule: ClassVar[SwapRule] = "episode"

    def __init__(self, policy: TrainablePolicy, config: ImitationConfig, seed: int) -> None:
        """Take over a policy; its weights change in place.

        Raises:
            ConfigError: Joints would be blurred although actions are relative to them.
        """
        if config.joint_noise_rad and policy.spec.action_space.kind != "joint_absolute":
            raise ConfigError("joint_noise_rad needs joint_absolute actions")
        self._policy, self._settings, self._seed = policy, config, seed
        self._optimization = Optimization(
            policy,
            OptimizationConfig(
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                grad_clip=config.grad_clip,
                ema_decay=config.ema_decay,
            ),
        )
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def batch_size(self) -> int:
        """Rows per batch."""
        return self._settings.batch_size

    def source(self, dataset: EpisodeDataset) -> ChunkSource:
        """Return where its batches come from: every step alike."""
        return dataset

    def rate(self, step: int) -> float:
        """Return the learning rate of an update."""
        raise NotImplementedError

    def update(self, batch: ChunkBatch) -> Metrics:
        """Make one optimiser step, or none where loss or gradient are not finite."""
        step = self._optimization.step
        rng = augmentation_rng(self._seed, step)
        batch = shift_images(batch, rng, self._settings.shift_px)
        batch = blur_joints(batch, rng, self._settings.joint_noise_rad)
        shape = (len(batch), self._settings.draws)
        noise = torch.randn(*shape, *self._policy.noise_shape, generator=self._generator)
        time = torch.rand(*shape, generator=self._generator)
        loss = imitation_loss(self._policy, batch, noise, time)
        return self._optimization.update(loss, self.rate(step))

    def policy(self) -> TrainablePolicy:
        """Return a copy with the averaged weights."""
        return self._optimization.policy()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return weights, their average, the optimiser's moments and the random state."""
        return {**self._optimization.state_dict(), "generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state_dict`; see `Algorithm.load_state_dict`."""
        if "generator" not in state:
            raise TrainingError("training state: generator is missing")
        self._optimization.load_state_dict(state)
        self._generator.set_state(state["generator"])
