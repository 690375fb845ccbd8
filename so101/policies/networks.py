"""Small networks for one CPU core: a camera encoder, an observation encoder, a chunk network.

They see normalised numbers only; units and normalisation are the policy's business.
"""

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

TIME_FEATURES = 16
"""Sines and cosines that a flow time is spread over."""


class SpatialSoftmax(nn.Module):
    """Turn each feature map into the expected position of its activation: a keypoint.

    Maps are standardised over space first: a softmax over the faint maps of a fresh network is
    flat, its keypoints all lie in the middle, and learning to look takes several times as long.
    """

    def __init__(self, maps: int, height: int, width: int) -> None:
        """Lay out the pixel coordinates from -1 to 1."""
        super().__init__()
        rows = torch.linspace(-1.0, 1.0, height).repeat_interleave(width)
        columns = torch.linspace(-1.0, 1.0, width).repeat(height)
        self.register_buffer("grid", torch.stack([columns, rows], dim=1), persistent=False)
        self.log_sharpness = nn.Parameter(torch.zeros(maps))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return keypoints.

        Args:
            maps: Shape (batch, maps, height, width).

        Returns:
            x and y of each map in -1..1. Shape (batch, maps * 2).
        """
        flat = maps.flatten(2)
        standard = functional.layer_norm(flat, flat.shape[-1:])
        logits = standard * self.log_sharpness.exp()[:, None]
        keypoints = functional.softmax(logits, dim=-1) @ self.get_buffer("grid")
        return keypoints.flatten(1)


class CameraEncoder(nn.Module):
    """Patches of 4 px, a stride-2 convolution and a spatial softmax.

    Patches instead of two more overlapping convolutions cost half as much and learn no worse.
    """

    def __init__(
        self, image_size: tuple[int, int], channels: tuple[int, int], keypoints: int
    ) -> None:
        """Build for images of one size (height, width) [px]."""
        super().__init__()
        first, second = channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=4),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, keypoints, 1),
        )
        height, width = (math.ceil(size // 4 / 2) for size in image_size)
        self.keypoints = SpatialSoftmax(keypoints, height, width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return keypoints of uint8 images.

        Args:
            images: RGB, uint8. Shape (batch, height, width, 3).
        """
        # permuted channels-last memory is what the convolutions are fastest on
        pixels = images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
        keypoints: torch.Tensor = self.keypoints(self.convolutions(pixels))
        return keypoints


class ObservationEncoder(nn.Module):
    """Numbers pass through; each camera becomes keypoints, zero where its image is missing."""

    def __init__(
        self,
        numbers: int,
        cameras: tuple[str, ...],
        image_size: tuple[int, int],
        channels: tuple[int, int],
        keypoints: int,
    ) -> None:
        """Build one encoder per camera."""
        super().__init__()
        self.cameras = nn.ModuleDict(
            {camera: CameraEncoder(image_size, channels, keypoints) for camera in cameras}
        )
        self.size = numbers + len(cameras) * keypoints * 2

    def forward(
        self, numbers: torch.Tensor, images: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        """Return features.

        Args:
            numbers: Normalised joints and objects. Shape (batch, numbers).
            images: Camera id to uint8 images and 1.0 where they are there, 0.0 where missing,
                shapes (batch, height, width, 3) and (batch,).

        Returns:
            Shape (batch, size).
        """
        features = [numbers]
        for camera, encoder in self.cameras.items():
            pixels, mask = images[camera]
            features.append(encoder(pixels) * mask[:, None])
        return torch.cat(features, dim=1)


class Mlp(nn.Module):
    """Linear layers with SiLU between; hidden layers after the first add to their input."""

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        """Build ``depth`` hidden layers of ``width`` units."""
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return outputs. Shape (batch, outputs)."""
        hidden = functional.silu(self.first(inputs))
        for layer in self.hidden:
            hidden = hidden + functional.silu(layer(hidden))
        outputs: torch.Tensor = self.last(hidden)
        return outputs


class ChunkNetwork(nn.Module):
    """Predict clean chunks from noisy ones, their flow times and what was seen."""

    def __init__(self, features: int, chunk: tuple[int, int], width: int, depth: int) -> None:
        """Build for chunks of shape (horizon, numbers per point)."""
        super().__init__()
        self.chunk = chunk
        size = chunk[0] * chunk[1]
        self.mlp = Mlp(features + size + TIME_FEATURES, width, depth, size)
        octaves = 2.0 ** torch.arange(TIME_FEATURES // 2)
        self.register_buffer("frequencies", octaves * math.pi / 2.0, persistent=False)

    def forward(
        self, features: torch.Tensor, noisy: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        """Return the clean chunks.

        Args:
            features: Shape (batch, features).
            noisy: Shape (batch, draws, *chunk).
            time: 0 is noise, 1 is clean. Shape (batch, draws).

        Returns:
            Shape (batch, draws, *chunk).
        """
        batch, draws = time.shape
        angles = time[..., None] * self.get_buffer("frequencies")
        seen = features[:, None].expand(batch, draws, features.shape[1])
        inputs = torch.cat([seen, noisy.flatten(2), angles.sin(), angles.cos()], dim=2)
        clean: torch.Tensor = self.mlp(inputs.flatten(0, 1))
        return clean.reshape(batch, draws, *self.chunk)
