"""LeRobot's policies as ours: joints in rad, cameras by our names, chunks on our grid.

LeRobot (0.6.1) is imported when a policy is built. Flow policies (SmolVLA, pi0, pi0.5) and
Diffusion plan from noise; ACT and pi0-FAST plan without. What is decided already is kept to the
bit; policies with real-time chunking (Black et al. 2025, arXiv:2506.07339) are guided toward it.
"""

import copy
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import Float32Array, FloatArray, frozen
from so101.config import from_mapping, option, to_mapping
from so101.data.batch import ChunkBatch
from so101.data.lerobot_values import ACTION, Units
from so101.errors import CheckpointError, ConfigError, ObservationError
from so101.observation import Observation
from so101.policies.lerobot_files import LeRobotSource
from so101.policies.lerobot_inputs import LeRobotInputs
from so101.policies.lerobot_losses import row_losses
from so101.policies.lerobot_network import Parts, read_foreign, read_parts
from so101.policies.lerobot_options import TypeName, UnitName
from so101.policies.lerobot_spec import make_spec, read_outline
from so101.policies.lerobot_tuning import apply_tuning, computing, frozen_memo, merge_adapters
from so101.policies.lerobot_units import find_units, units_from_json
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
        config = self.network.config
        if self._outline.kind == "diffusion":
            return int(config.horizon), int(config.action_feature.shape[0])
        if self._outline.kind in ("smolvla", "pi0", "pi05"):
            return int(config.chunk_size), int(config.max_action_dim)
        return (1,) if self._draws_more else ()

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
        noise = self._noise(noises, len(observations))
        if self._draws_more and len(observations) > 1:  # each row's draws must be its own
            rows = [self._plan([o], noise[i : i + 1], prefix) for i, o in enumerate(observations)]
            return [row[0] for row in rows]
        return self._plan(observations, noise, prefix)

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
        mask = mask.to(self._device)
        with computing(self.network, self._config.tuning):
            losses = row_losses(self.network, ready, mask, noise=noise, time=time)
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

    @property
    def _device(self) -> torch.device:
        return torch.device(self.network.config.device)

    @property
    def _draws_more(self) -> bool:
        """Whether the network draws random numbers while it plans."""
        config = self.network.config
        if self._outline.kind == "diffusion":
            return bool(config.noise_scheduler_type == "DDPM")
        return self._outline.kind == "pi0_fast" and config.temperature > 0

    def _noise(self, noises: Float32Array | None, rows: int) -> Float32Array:
        shape = (rows, *self.noise_shape)
        if noises is None or not self.noise_shape:
            return torch.randn(shape if self.noise_shape else (rows, 0)).numpy()
        if np.shape(noises) != shape or not np.isfinite(noises).all():
            raise ObservationError(f"noise must be finite and of shape {shape}")
        return np.asarray(noises, dtype=np.float32)

    def _plan(
        self,
        observations: Sequence[Observation],
        noise: Float32Array,
        prefix: ChunkPrefix | None,
    ) -> list[Inference]:
        seen = stack_observations(observations, self._spec)
        batch = self._inputs.observations(seen)
        guided = prefix is not None and len(prefix.positions) > 0 and self.network.supports_rtc()
        if prefix is not None and guided:
            wish = self._inputs.actions(prefix.positions[: self._outline.horizon])
            batch[ACTION] = wish.expand(len(seen), *wish.shape)
        half = computing(self.network, self._config.tuning)
        with torch.no_grad(), half, _modes_kept(self.network), self._drawing(noise):
            ready = self._parts.processors.before(batch)
            wish = ready.pop(ACTION, None)
            options: dict[str, Any] = {}
            if self._outline.kind in ("smolvla", "pi0", "pi05", "diffusion"):
                options["noise"] = torch.from_numpy(noise).to(self._device)
            if prefix is not None and guided:
                options |= _guidance(prefix, wish)
            with _guided(self.network) if guided else nullcontext():
                native = self.network.predict_action_chunk(ready, **options)
            values = self._parts.processors.after(native)
        self._check_tokens()
        positions = self._units.to_rad(values.double().cpu().numpy())
        return self._inferences(
            observations, positions, native.float().cpu().numpy(), noise, prefix
        )

    def _inferences(
        self,
        observations: Sequence[Observation],
        positions: FloatArray,
        native: FloatArray,
        noise: Float32Array,
        prefix: ChunkPrefix | None,
    ) -> list[Inference]:
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

    @contextmanager
    def _drawing(self, noise: Float32Array) -> Iterator[None]:
        """Let whatever the network draws follow from its noise."""
        if not self._draws_more:
            yield
            return
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(zlib.crc32(noise.tobytes()))
            yield

    def _check_tokens(self) -> None:
        """Refuse an answer of pi0-FAST that is no chunk: LeRobot puts zeros in its place."""
        if self._outline.kind != "pi0_fast":
            return
        decoder = self.network.action_tokenizer.bpe_tokenizer
        problem, decoder.problem = decoder.problem, ""
        if problem:
            raise ObservationError(f"pi0_fast: its answer is no chunk: {problem}")


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


def _guidance(prefix: ChunkPrefix, wish: torch.Tensor) -> dict[str, Any]:
    """Return LeRobot's arguments for real-time chunking.

    Args:
        prefix: What is decided and what is wished.
        wish: The same, normalised. Shape (batch, points, joints).
    """
    points = wish.shape[1]
    return {
        "inference_delay": min(prefix.decided, points),
        "prev_chunk_left_over": wish,
        "execution_horizon": points,
    }


@contextmanager
def _guided(network: Any) -> Iterator[None]:
    """Switch LeRobot's real-time chunking on for one inference."""
    from lerobot.policies.rtc.configuration_rtc import RTCConfig

    before = network.config.rtc_config
    network.config.rtc_config = RTCConfig()
    network.init_rtc_processor()
    try:
        yield
    finally:
        network.config.rtc_config = before
        network.init_rtc_processor()
        if before is None:
            network.model.rtc_processor = None


@contextmanager
def _modes_kept(network: nn.Module) -> Iterator[None]:
    """Let a network plan in evaluation mode, as LeRobot does, and put every module's mode back."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, is_training in modes:
            module.training = is_training
