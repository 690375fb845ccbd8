"""Supervised fine-tuning: imitate the executed actions of demonstrations.

Flow matching as in pi0 (Black et al. 2024, arXiv:2410.24164) with the clean chunk as the network's
output: for a chunk ``a``, noise ``z ~ N(0, 1)`` and time ``t ~ U(0, 1)``

    L(theta) = E[ w * || f_theta((1 - t) z + t a, t, observation) - a ||^2 ]

with row weight ``w`` (1 for demonstrations). What the loss is exactly is the policy's business
(`TrainablePolicy.loss`); this file owns noise, optimiser (AdamW, cosine), gradient clipping and
the exponential moving average of the weights, which is what acts.

Data: chunk batches. Several draws of noise and time per observation share one pass of the camera
encoder, by far the most expensive part of a step.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from learner_node.algorithms.algorithm import BatchKind, Metrics, SwapRule
from so101.config import option
from so101.data.batch import ChunkBatch
from so101.errors import ConfigError, TrainingError
from so101.policies.augmentation import blur_joints, shift_images
from so101.policies.policy import TrainablePolicy
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class SftConfig:
    """Settings of supervised fine-tuning."""

    steps: int = option(5000, "Updates; the learning rate reaches its end there.", range=(1, 1e7))
    batch_size: int = option(64, "Observations per update.", range=(1, 65536))
    draws: int = option(4, "Draws of noise and time per observation.", range=(1, 64))
    learning_rate: float = option(1e-3, "Largest learning rate.", range=(0.0, 1.0))
    warmup_steps: int = option(50, "Updates over which the learning rate rises.", range=(0, 1e6))
    weight_decay: float = option(1e-4, "Of AdamW.", range=(0.0, 1.0))
    grad_clip: float = option(1.0, "Largest gradient norm.", range=(1e-6, 1e6))
    ema_decay: float = option(0.999, "Of the weights that act.", range=(0.0, 0.999999))
    shift_px: int = option(0, "Largest random image shift [px].", range=(0, 64))
    joint_noise_rad: float = option(
        0.0, "Noise on the joints seen, for absolute actions [rad].", range=(0.0, 1.0)
    )

    @classmethod
    def for_policy(cls, spec: PolicySpec, steps: int | None = None) -> "SftConfig":
        """Return the settings found good with cameras and in state mode."""
        is_absolute = spec.action_space.kind == "joint_absolute"
        if not spec.cameras:
            return cls(steps=steps or 5000, joint_noise_rad=0.01 if is_absolute else 0.0)
        return cls(
            steps=steps or 3500,
            batch_size=32,
            draws=8,
            shift_px=4,
            joint_noise_rad=0.02 if is_absolute else 0.0,
        )


def learning_rate(config: SftConfig, step: int) -> float:
    """Return the learning rate of an update: linear rise, then a half cosine to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def sft_loss(
    policy: TrainablePolicy, batch: ChunkBatch, noise: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """Return the weighted mean of the policy's imitation loss."""
    losses = policy.loss(batch, noise=noise, time=time)
    return (losses * torch.from_numpy(batch.weight).to(losses)).mean()


class Sft:
    """An `Algorithm`."""

    batch_kind: ClassVar[BatchKind] = "chunk"
    aux_topics: ClassVar[tuple[str, ...]] = ()
    swap_rule: ClassVar[SwapRule] = "episode"
    config_type: ClassVar[type[SftConfig]] = SftConfig

    def __init__(self, policy: TrainablePolicy, config: SftConfig, seed: int) -> None:
        """Take over a policy; its weights change in place.

        Raises:
            ConfigError: Joints would be blurred although actions are relative to them.
        """
        if config.joint_noise_rad and policy.spec.action_space.kind != "joint_absolute":
            raise ConfigError("sft: joint_noise_rad needs joint_absolute actions")
        self._policy, self._config = policy, config
        self._parameters: list[torch.Tensor] = list(policy.parameters())
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._ema = [item.detach().clone() for item in self._parameters]
        self._generator = torch.Generator().manual_seed(seed)
        self._seed = seed
        self._step = 0

    @property
    def batch_size(self) -> int:
        """Rows per batch."""
        return self._config.batch_size

    def update(self, batch: ChunkBatch) -> Metrics:
        """Make one optimiser step, or none where loss or gradient are not finite."""
        rate = learning_rate(self._config, self._step)
        rng = np.random.default_rng([self._seed, self._step])
        batch = shift_images(batch, rng, self._config.shift_px)
        batch = blur_joints(batch, rng, self._config.joint_noise_rad)
        shape = (len(batch), self._config.draws)
        noise = torch.randn(*shape, *self._policy.noise_shape, generator=self._generator)
        time = torch.rand(*shape, generator=self._generator)
        self._step += 1
        loss = sft_loss(self._policy, batch, noise, time)
        if not torch.isfinite(loss):
            return Metrics(loss=float(loss.detach()), skipped=True)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.grad_clip)
        if not torch.isfinite(norm):
            return Metrics(loss=float(loss.detach()), skipped=True)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._average()
        values = {"learning_rate": rate, "gradient_norm": float(norm)}
        return Metrics(loss=float(loss.detach()), values=values)

    def policy(self) -> TrainablePolicy:
        """Return a copy with the averaged weights."""
        acting = copy.deepcopy(self._policy)
        with torch.no_grad():
            for parameter, average in zip(acting.parameters(), self._ema, strict=True):
                parameter.copy_(average)
        return acting

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return weights, their average, the optimiser's moments and the random state."""
        state = {
            "generator": self._generator.get_state(),
            "step": torch.tensor(self._step, dtype=torch.int64),
        }
        for i, parameter in enumerate(self._parameters):
            state[f"weights/{i:04d}"] = parameter.detach().clone()
            state[f"average/{i:04d}"] = self._ema[i].clone()
            for key, value in self._optimizer.state[parameter].items():
                state[f"optimizer/{i:04d}/{key}"] = value.detach().clone()
        return state

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state_dict`; see `Algorithm.load_state_dict`."""
        optimizer: dict[int, dict[str, torch.Tensor]] = {}
        try:
            for i, parameter in enumerate(self._parameters):
                for key in (f"weights/{i:04d}", f"average/{i:04d}"):
                    if state[key].shape != parameter.shape:
                        raise TrainingError(f"training state: {key} has another shape")
            for name, value in state.items():
                if name.startswith("optimizer/"):
                    _, index, key = name.split("/")
                    optimizer.setdefault(int(index), {})[key] = value.clone()
            step, generator = int(state["step"]), state["generator"]
        except KeyError as error:
            raise TrainingError(f"training state: {error.args[0]} is missing") from error
        with torch.no_grad():
            for i, parameter in enumerate(self._parameters):
                parameter.copy_(state[f"weights/{i:04d}"])
                self._ema[i].copy_(state[f"average/{i:04d}"])
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": optimizer, "param_groups": groups})
        self._generator.set_state(generator)
        self._step = step

    def _average(self) -> None:
        decay = min(self._config.ema_decay, self._step / (self._step + 10.0))
        with torch.no_grad():
            torch._foreach_lerp_(self._ema, self._parameters, 1.0 - decay)
