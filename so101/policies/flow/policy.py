"""A small flow-matching policy over action chunks that predicts the clean chunk.

Flow matching (Lipman et al. 2023, arXiv:2210.02747) on the straight path from noise z to chunk a:
``x_t = (1 - t) z + t a``. The network predicts a itself, not the velocity a - z: for small
networks that decides between success and failure. Sampling integrates the velocity it implies,
``(a_hat - x_t) / (1 - t)``, with Euler steps, so a chunk is a pure function of noise.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import Float32Array, FloatArray, frozen
from so101.control.action_codec import ActionCodec
from so101.data.batch import ChunkBatch, ObservationBatch
from so101.errors import ConfigError, ObservationError
from so101.observation import Observation
from so101.policies.checkpoints.tensor_file import load_weights, save_weights
from so101.policies.flow.config import (
    DataSource,
    FlowConfig,
    FlowNorms,
    flow_norms,
    from_json,
    to_json,
)
from so101.policies.flow.guidance import CleanChunk, KnownPlan, PrefixGuidance, guided
from so101.policies.flow.inputs import FlowInputs, to_tensor
from so101.policies.flow.network import FlowNetwork, Inputs
from so101.policies.networks import ObservationEncoder
from so101.policies.observations import stack_observations
from so101.policies.policy import Inference
from so101.policies.transforms import fill_padding
from so101.spec import PolicySpec


class FlowPolicy:
    """A `TrainablePolicy`.

    Attributes:
        prefix_guidance: How a prefix pulls on what is not decided; no part of a checkpoint.
    """

    kind = "flow"

    def __init__(
        self,
        spec: PolicySpec,
        config: FlowConfig,
        norms: FlowNorms,
        *,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        """Build with random weights drawn from ``seed``."""
        if spec.uses_objects != (norms.objects is not None):
            raise ConfigError("flow policy: object norm stats and spec.uses_objects must agree")
        self._spec, self._config, self._norms = spec, config, norms
        self._codec = ActionCodec(spec.action_space)
        self._seen = FlowInputs(spec, config, norms)
        self.prefix_guidance = PrefixGuidance()
        self._device = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = ObservationEncoder(
                self._seen.count_numbers(),
                spec.cameras,
                spec.image_size,
                config.channels,
                config.keypoints,
            )
            body = (config.width, config.depth)
            self._network = FlowNetwork(encoder, self.noise_shape, body, config.uses_indicator)
        self._network.to(self._device)

    @classmethod
    def for_data(
        cls, spec: PolicySpec, config: FlowConfig, source: DataSource, *, seed: int = 0
    ) -> "FlowPolicy":
        """Return a new policy with norm stats taken from the data it will learn from."""
        return cls(spec, config, flow_norms(spec, source), seed=seed)

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs."""
        return self._spec

    @property
    def noise_shape(self) -> tuple[int, int]:
        """Horizon and numbers per point."""
        return self._spec.action_space.horizon, self._codec.native_size

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
            indicator: Advantage to ask for, the same for all; None leaves it open.
            guidance: How far to lean toward the indicator; None means 1.
            prefix: What is decided and what the plan was, the same for all; see
                `so101.policies.flow.guidance`.
        """
        noise = self._noise(noises, len(observations))
        references = np.stack([self._codec.reference(item) for item in observations])
        known = self._known_plan(prefix, references)
        # guidance differentiates, which inference mode would not let it
        with torch.inference_mode() if known is None else torch.no_grad():
            inputs = self._inputs(stack_observations(observations, self._spec))
            clean_chunk = self._clean_chunk(inputs, len(observations), indicator, guidance)
            sampled = self._sample(clean_chunk, noise, known)
        native = self._norms.actions.denormalize(sampled.cpu().numpy())
        positions = self._codec.decode(native, references)
        aux = noise.cpu().numpy()
        return [
            Inference(
                chunk=ActionChunk(
                    stamp_ns=item.stamp_ns,
                    positions=frozen(positions[i]),
                    rate_hz=self._spec.action_space.rate_hz,
                ),
                native_action=frozen(native[i]),
                aux={"noise": aux[i]},
            )
            for i, item in enumerate(observations)
        ]

    def reset(self) -> None:
        """Do nothing: this policy has no memory."""

    def loss(
        self,
        batch: ChunkBatch,
        *,
        noise: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        reduction: Literal["none", "mean"] = "none",
    ) -> torch.Tensor:
        """Return the squared error of the predicted clean chunk, averaged over real entries.

        Several draws of noise and time per row share one pass of the camera encoder.
        """
        clean, mask = self._targets(batch)
        rows, (horizon, size) = len(batch), self.noise_shape
        if noise is None:
            noise = torch.randn(rows, horizon, size, device=self._device)
        if time is None:
            time = torch.rand(noise.shape[:-2], device=self._device)
        noise = noise.to(self._device).reshape(rows, -1, horizon, size)
        moment = time.to(self._device).reshape(rows, -1, 1, 1)
        noisy = (1.0 - moment) * noise + moment * clean[:, None]
        indicator = None
        if self._config.uses_indicator and batch.indicator is not None:
            indicator = torch.from_numpy(batch.indicator)
        features = self._network.features(self._inputs(batch.observation), indicator)
        predicted = self._network(features, noisy, moment[:, :, 0, 0])
        error = (predicted - clean[:, None]).square().mean(dim=(1, 3))
        losses = (error * mask).sum(dim=1) / mask.sum(dim=1)
        result: torch.Tensor = losses.mean() if reduction == "mean" else losses
        return result

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the trainable weights in a fixed order."""
        return self._network.parameters()

    def config_mapping(self) -> dict[str, Any]:
        """Return the config and norm stats, ready for JSON."""
        return to_json(self._config, self._norms)

    @classmethod
    def from_mapping(
        cls, spec: PolicySpec, values: Mapping[str, Any], where: str, device: str = "cpu"
    ) -> "FlowPolicy":
        """Rebuild a policy from `config_mapping`, its weights still random.

        Raises:
            CheckpointError: A value is missing, unknown or out of range.
        """
        return cls(spec, *from_json(spec, values, where), device=device)

    def save(self, directory: Path) -> None:
        """Write ``model.safetensors`` into a directory."""
        save_weights(self._network, directory / "model.safetensors")

    def load(self, directory: Path) -> None:
        """Read the weights back; see `so101.policies.policy.TrainablePolicy.load`."""
        load_weights(self._network, directory / "model.safetensors")

    def _inputs(self, observation: ObservationBatch) -> Inputs:
        return self._seen.build(observation, self._device)

    def _tensor(self, values: Any) -> torch.Tensor:
        return to_tensor(values, self._device)

    def _targets(self, batch: ChunkBatch) -> tuple[torch.Tensor, torch.Tensor]:
        seen = batch.observation
        measured = self._spec.action_space.reference == "measured"
        reference = seen.positions if measured else seen.commands
        actions = fill_padding(batch.actions, batch.mask)
        native = self._norms.actions.normalize(self._codec.encode(actions, reference))
        return self._tensor(native), self._tensor(batch.mask.astype(np.float32))

    def _noise(self, noises: Float32Array | None, rows: int) -> torch.Tensor:
        shape = (rows, *self.noise_shape)
        if noises is None:
            return torch.randn(shape, device=self._device)
        if np.shape(noises) != shape or not np.isfinite(noises).all():
            raise ObservationError(f"noise must be finite and of shape {shape}")
        return self._tensor(np.asarray(noises, dtype=np.float32))

    def _known_plan(self, prefix: ChunkPrefix | None, references: FloatArray) -> KnownPlan | None:
        """Return the previous plan as this network would have said it, for each reference."""
        horizon = self.noise_shape[0]
        if prefix is None or not len(prefix.positions[:horizon]):
            return None
        plan = prefix.positions[:horizon]
        points = np.broadcast_to(plan, (len(references), *plan.shape))
        native = self._norms.actions.normalize(self._codec.encode(points, references))
        padded = np.zeros((len(references), *self.noise_shape))
        padded[:, : len(plan)] = native
        return KnownPlan(
            values=self._tensor(padded), points=len(plan), decided=min(prefix.decided, horizon)
        )

    def _clean_chunk(
        self, inputs: Inputs, rows: int, indicator: int | None, guidance: float | None
    ) -> CleanChunk:
        """Return the network as a function of noisy chunks and flow time."""
        if indicator is not None and not self._config.uses_indicator:
            raise ConfigError("flow policy: it was not built with uses_indicator")
        wish = None
        if indicator is not None:
            wish = torch.full((rows,), indicator, device=self._device)
        features = self._network.features(inputs, wish)
        plain = None
        if wish is not None and guidance is not None and guidance != 1.0:
            plain = self._network.features(inputs, None)

        def clean_chunk(noisy: torch.Tensor, time: float) -> torch.Tensor:
            times = torch.full((rows, 1), time, device=self._device)
            clean: torch.Tensor = self._network(features, noisy[:, None], times)[:, 0]
            if plain is not None and guidance is not None:
                free = self._network(plain, noisy[:, None], times)[:, 0]
                clean = free + guidance * (clean - free)
            return clean.clamp(-self._config.clip, self._config.clip)

        return clean_chunk

    def _sample(
        self, clean_chunk: CleanChunk, noise: torch.Tensor, known: KnownPlan | None
    ) -> torch.Tensor:
        steps = self._config.euler_steps
        current = noise
        for step in range(steps):
            if known is None:
                clean = clean_chunk(current, step / steps)
            else:
                clean = guided(clean_chunk, current, step / steps, known, self.prefix_guidance)
            # the implied velocity (clean - current) / (1 - t), times the step 1 / steps
            current = current + (clean - current) / (steps - step)
        return current
