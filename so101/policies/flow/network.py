"""The network of a flow policy: what it sees, and the chunk network on top."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from so101.policies.networks import ChunkNetwork, ObservationEncoder


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Normalised network inputs.

    Attributes:
        numbers: Joints and objects. Shape (batch, numbers).
        images: Camera id to uint8 images, shape (batch, height, width, 3), and 1.0 where they
            are there, 0.0 where missing, shape (batch,).
    """

    numbers: torch.Tensor
    images: Mapping[str, tuple[torch.Tensor, torch.Tensor]]


class FlowNetwork(nn.Module):
    """Encode once with `features`, then predict clean chunks as often as needed."""

    def __init__(
        self,
        encoder: ObservationEncoder,
        chunk: tuple[int, int],
        body: tuple[int, int],
        has_indicator: bool,
    ) -> None:
        """Build on an encoder.

        Args:
            encoder: Of the observation.
            chunk: Horizon and numbers per point.
            body: Width and depth of the chunk network.
            has_indicator: Take an advantage indicator.
        """
        super().__init__()
        self.encoder = encoder
        self.has_indicator = has_indicator
        size = encoder.size + (2 if has_indicator else 0)
        self.chunk_network = ChunkNetwork(size, chunk, *body)

    def features(self, inputs: Inputs, indicator: torch.Tensor | None) -> torch.Tensor:
        """Return what the chunk network is conditioned on.

        Args:
            inputs: What was seen.
            indicator: 1 good, 0 bad, -1 open; None is open for all. Shape (batch,).

        Returns:
            Shape (batch, features).
        """
        seen: torch.Tensor = self.encoder(inputs.numbers, inputs.images)
        if not self.has_indicator:
            return seen
        if indicator is None:
            return torch.cat([seen, seen.new_zeros(len(seen), 2)], dim=1)
        columns = torch.stack([indicator == 0, indicator == 1], dim=1).to(seen)
        return torch.cat([seen, columns], dim=1)

    def forward(
        self, features: torch.Tensor, noisy: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        """Return the clean chunks; see `ChunkNetwork.forward`."""
        clean: torch.Tensor = self.chunk_network(features, noisy, time)
        return clean
