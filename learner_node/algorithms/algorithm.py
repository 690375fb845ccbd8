"""What every algorithm offers the trainer. One readable file per algorithm implements it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch

from so101.data.batch import Batch, ChunkBatch
from so101.data.training.dataset import EpisodeDataset
from so101.policies.policy import TrainablePolicy

BatchKind = Literal["chunk", "transition", "sequence"]
SwapRule = Literal["episode", "chunk"]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What one update found.

    Attributes:
        loss: The training loss.
        skipped: The loss or its gradient was not finite, so the weights did not change.
        values: More numbers worth plotting, by name.
    """

    loss: float
    skipped: bool = False
    values: Mapping[str, float] = field(default_factory=dict)


class ChunkSource(Protocol):
    """Where batches come from. The same generator state always gives the same batch."""

    def chunks(self, rng: np.random.Generator, batch_size: int) -> ChunkBatch:
        """Draw a batch."""
        ...


class Algorithm(Protocol):
    """Changes the weights of a `TrainablePolicy`, one batch at a time.

    Attributes:
        batch_kind: Kind of batch that `update` takes.
        aux_topics: Names of arrays the policy must have recorded for it.
        swap_rule: When the running policy may change: between episodes or between chunks.
    """

    batch_kind: ClassVar[BatchKind]
    aux_topics: ClassVar[tuple[str, ...]]
    swap_rule: ClassVar[SwapRule]

    @property
    def batch_size(self) -> int:
        """Rows per batch."""
        ...

    def source(self, dataset: EpisodeDataset) -> ChunkSource:
        """Return where its batches come from; the dataset itself draws every step alike."""
        ...

    def update(self, batch: Any) -> Metrics:
        """Learn from one batch."""
        ...

    def policy(self) -> TrainablePolicy:
        """Return the policy that should act: a copy, not changed by later updates."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return everything that makes going on exact, as tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state_dict`.

        Raises:
            TrainingError: It belongs to another policy or configuration.
        """
        ...


__all__ = ["Algorithm", "Batch", "BatchKind", "ChunkSource", "Metrics", "SwapRule"]
