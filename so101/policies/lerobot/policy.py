"""LeRobot's policies as ours: joints in rad, cameras by our names, chunks on our grid.

LeRobot (0.6.1) is imported when a policy is built. Flow policies (SmolVLA, pi0, pi0.5) and
Diffusion plan from noise; ACT and pi0-FAST plan without. What is decided already is kept to the
bit; policies with real-time chunking (Black et al. 2025, arXiv:2506.07339) are guided toward it.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import Float32Array, frozen
from so101.config import from_mapping, option, to_mapping
from so101.data.batch import ChunkBatch
from so101.data.exchange.lerobot_values import Units
from so101.errors import CheckpointError, ConfigError, ObservationError
from so101.observation import Observation
from so101.policies.lerobot.files import LeRobotSource
from so101.policies.lerobot.inputs import LeRobotInputs
from so101.policies.lerobot.losses import row_losses
from so101.policies.lerobot.network import Parts, read_foreign, read_parts
from so101.policies.lerobot.options import TypeName, UnitName
from so101.policies.lerobot.planning import checked_noise, noise_shape, plan
from so101.policies.lerobot.spec import make_spec, read_outline
from so101.policies.lerobot.tuning import apply_tuning, computing, frozen_memo, merge_adapters
from so101.policies.lerobot.units import find_units, units_from_json
from so101.policies.observations import stack_observations
from so101.policies.policy import Inference
from so101.policies.transforms import fill_padding
from so101.policies.tuning import Tuning
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class LeRobotConfig:
    """What our checkpoint says besides LeRobot's own files. Part of policy.json."""

    units: UnitName = option("degrees", "of the body joints: degrees or m100_100")
    half_range: tuple[float, ...] = option(
        (), "half of each joint's calibrated range [rad], for m100_100"
    )
    dtype: TypeName = option("", "precision of the network; empty as LeRobot's config says")
    tuning: Tuning | None = None
    """Which weights train; None for all."""


class LeRobotPolicy:
    """A `TrainablePolicy`.

    Attributes:
        network: LeRobot's own policy.
    """

    kind = "lerobot"

    def __init__(self, spec: PolicySpec, config: LeRobotConfig, parts: Parts) -> None:
        """Put our face before LeRobot's parts."""
        self._spec, self._config, self._parts = spec, config, parts
        self.network = parts.network
        self._outline = parts.outline
        self._units = units_from_json(config.units, config.half_range, "lerobot policy")
        self._inputs = LeRobotInputs(spec, self._outline, self._units)
        if spec.action_space.horizon != self._outline.horizon:
            raise ConfigError(
                f"lerobot policy: horizon {spec.action_space.horizon}, its network plans "
                f"{self._outline.horizon} points"
            )

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs."""
        return self._spec

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Points and numbers per point of the network's own noise; () without noise."""
        return noise_shape(self.network)

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Plan a chunk; see `so101.policies.policy.Policy.infer`."""
        return self.infer_batch(
            [observation],
            None if noise is None else np.asarray(noise)[None],
            indicator=indicator,
            guidance=guidance,
            prefix=prefix,
        )[0]

    def infer_batch(
        self,
        observations: Sequence[Observation],
        noises: Float32Array | None = None,
        *,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> list[Inference]:
        """Plan a chunk for each observation.

        Args:
            observations: One per chunk.
            noises: Standard normal, shape (observations, *noise_shape); None draws them.
            indicator: Refused: LeRobot's policies are not conditioned on an advantage.
            guidance: Without effect, as there is no indicator.
            prefix: What is already decided, the same for all.

        Raises:
            ConfigError: An indicator was given.
            ObservationError: An input is missing or not finite, or what the network answers is.
        """
        if indicator is not None:
            raise ConfigError(f"{self._outline.kind}: has no advantage indicator")
        noise = checked_noise(noises, len(observations), self.noise_shape)
        seen = self._inputs.observations(stack_observations(observations, self._spec))
        with computing(self.network, self._config.tuning):
            native, values = plan(self._parts, seen, noise, self._wish(prefix), prefix)
        positions = self._units.to_rad(values)
        if not np.isfinite(positions).all():
            raise ObservationError(f"{self._outline.kind}: plans positions that are not finite")
        if prefix is not None:
            decided = prefix.positions[: min(prefix.decided, positions.shape[1])]
            positions[:, : len(decided)] = decided
        return [
            Inference(
                chunk=ActionChunk(
                    stamp_ns=item.stamp_ns,
                    positions=frozen(positions[i]),
                    rate_hz=self._spec.action_space.rate_hz,
                ),
                native_action=frozen(native[i]),
                aux={"noise": noise[i]} if self.noise_shape else {},
            )
            for i, item in enumerate(observations)
        ]

    def reset(self) -> None:
        """Forget the episode."""
        self.network.reset()

    def loss(
        self,
        batch: ChunkBatch,
        *,
        noise: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        reduction: Literal["none", "mean"] = "none",
    ) -> torch.Tensor:
        """Return LeRobot's imitation loss of each row over its real actions, or their mean."""
        actions = fill_padding(batch.actions, batch.mask)
        made, mask = self._inputs.chunks(batch.observation, actions, batch.mask)
        ready = self._parts.processors.before(made)
        device = self.network.config.device
        with computing(self.network, self._config.tuning):
            losses = row_losses(self.network, ready, mask.to(device), noise=noise, time=time)
        return losses.mean() if reduction == "mean" else losses

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the trainable weights in a fixed order."""
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    def tune(self, values: Mapping[str, Any], *, seed: int = 0, where: str = "tuning") -> None:
        """Choose what trains; see `so101.policies.policy.Tunable.tune`."""
        tuning = from_mapping(Tuning, dict(values), where)
        if not tuning.mode and self._config.tuning is not None:
            return
        found = apply_tuning(self.network, tuning, seed=seed)
        self._config = replace(self._config, tuning=found)

    def merged(self) -> "LeRobotPolicy":
        """Return a copy to act with, not to be saved: adapters are folded into the weights."""
        twin = copy.deepcopy(self)
        merge_adapters(twin.network)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> "LeRobotPolicy":
        """Copy what trains and share what does not: a copy costs no second set of weights."""
        twin = object.__new__(type(self))
        memo |= frozen_memo(self.network)
        memo |= {id(self): twin, id(self._parts.repositories): self._parts.repositories}
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def config_mapping(self) -> dict[str, Any]:
        """Return the config, ready for JSON; LeRobot's own files hold the rest."""
        return {"config": to_mapping(self._config)}

    @classmethod
    def from_mapping(
        cls, spec: PolicySpec, values: Mapping[str, Any], where: str, device: str = "cpu"
    ) -> "LeRobotPolicy":
        """Rebuild a policy from `config_mapping`, its weights still random.

        Args:
            spec: Inputs and outputs.
            values: Content of policy.json.
            where: Path of policy.json; LeRobot's files are beside it.
            device: Where the network runs.

        Raises:
            CheckpointError: A value or a file is missing, unknown or broken.
            ConfigError: LeRobot, or a package of this policy, is not installed.
        """
        try:
            config = from_mapping(LeRobotConfig, values.get("config"), f"{where}: config")
            units_from_json(config.units, config.half_range, where)
            parts = read_parts(Path(where).parent, device=device, dtype=config.dtype)
            policy = cls(spec, replace(config, tuning=None), parts)
            if config.tuning is not None:
                policy.tune(to_mapping(config.tuning), where=f"{where}: config: tuning")
            return policy
        except ConfigError as error:
            raise CheckpointError(str(error)) from error

    def save(self, directory: Path) -> None:
        """Write LeRobot's files, ``model.safetensors`` among them, into a directory."""
        self._parts.write(directory)

    def load(self, directory: Path) -> None:
        """Read the weights back; see `so101.policies.policy.TrainablePolicy.load`."""
        self._parts.load(directory)

    def _wish(self, prefix: ChunkPrefix | None) -> torch.Tensor | None:
        """Return what the chunk is guided toward, in LeRobot's units; None for no guidance."""
        if prefix is None or not len(prefix.positions) or not self.network.supports_rtc():
            return None
        return self._inputs.actions(prefix.positions[: self._outline.horizon])


def open_foreign(source: LeRobotSource, *, device: str = "cpu") -> LeRobotPolicy:
    """Load a checkpoint that LeRobot wrote.

    Raises:
        CheckpointError: It is damaged, not for this arm, or does not say enough about itself.
        ConfigError: LeRobot or a package of this policy is not installed, or options are wrong.
    """
    outline = read_outline(source.directory)
    spec = make_spec(outline, source)
    units = find_units(source, outline.is_relative)
    config = _config_of(units, source.options.dtype)
    parts = read_foreign(source.directory, device=device, dtype=source.options.dtype)
    return LeRobotPolicy(spec, config, parts)


def _config_of(units: Units, dtype: TypeName) -> LeRobotConfig:
    if units.half_range is None:
        return LeRobotConfig(units="degrees", dtype=dtype)
    half_range = tuple(units.half_range.tolist())
    return LeRobotConfig(units="m100_100", half_range=half_range, dtype=dtype)
