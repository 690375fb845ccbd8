"""What every policy offers. Algorithms, nodes and evaluation use nothing else.

Whoever implements these methods is interchangeable: the flow policy, a LeRobot policy, a remote
one, or a wrapper around another policy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import Float32Array, FloatArray
from so101.data.batch import ChunkBatch
from so101.observation import Observation
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class Inference:
    """One answer of a policy.

    Attributes:
        chunk: Joint positions [rad] with the observation's stamp.
        native_action: The network's own numbers behind the chunk. Shape (horizon, native).
        aux: Named arrays an algorithm may ask to be recorded, such as ``noise``.
    """

    chunk: ActionChunk
    native_action: FloatArray
    aux: Mapping[str, Float32Array] = field(default_factory=dict)


class Policy(Protocol):
    """Observation in, action chunk out."""

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs."""
        ...

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one inference starts from; () when there is none."""
        ...

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Plan a chunk. The same arguments always give the same chunk when noise is given.

        Args:
            observation: What the robot knows.
            noise: Standard normal, shape `noise_shape`; None draws it.
            indicator: Advantage to ask for: 1 good, 0 bad; None leaves it open.
            guidance: How far to lean toward the indicator; None means 1.
            prefix: What the arm does until the chunk can arrive, and was about to do after it.

        Raises:
            ObservationError: An input is missing or not finite.
        """
        ...

    def reset(self) -> None:
        """Forget the episode: the next observation starts a new one."""
        ...


class TrainablePolicy(Policy, Protocol):
    """A policy whose weights an algorithm may change."""

    @property
    def kind(self) -> str:
        """Key in `so101.policies.policy_table`."""
        ...

    def loss(
        self,
        batch: ChunkBatch,
        *,
        noise: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        reduction: Literal["none", "mean"] = "none",
    ) -> torch.Tensor:
        """Return the imitation loss of each row, or its mean. Padded actions do not matter.

        Args:
            batch: Observations and the actions that followed.
            noise: Standard normal, shape (batch, *noise_shape) or (batch, draws, *noise_shape).
            time: Flow times in [0, 1), shape (batch,) or (batch, draws).
            reduction: ``none`` for shape (batch,), ``mean`` for a scalar.
        """
        ...

    def parameters(self) -> Iterable[torch.nn.Parameter]:
        """Return the trainable weights, always in the same order."""
        ...

    def config_mapping(self) -> dict[str, Any]:
        """Return what rebuilds this policy besides its spec and weights, ready for JSON."""
        ...

    def save(self, directory: Path) -> None:
        """Write the weights, ``model.safetensors`` among them, into an existing directory."""
        ...

    def load(self, directory: Path) -> None:
        """Read the weights back.

        Raises:
            CheckpointError: A tensor is missing, unknown or of another size or type.
        """
        ...


@runtime_checkable
class Tunable(Protocol):
    """A policy of which a part can be trained."""

    def tune(self, values: Mapping[str, Any], *, seed: int = 0, where: str = "tuning") -> None:
        """Choose what trains; its `parameters` are those.

        Args:
            values: A `so101.policies.tuning.Tuning`, missing keys as they are by default.
            seed: Of weights that it adds.
            where: For messages.

        Raises:
            ConfigError: A value is wrong, or the policy has no such part.
        """
        ...
