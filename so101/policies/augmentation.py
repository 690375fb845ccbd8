"""Random changes of what is seen, made before the loss so that a loss stays a pure function."""

from dataclasses import replace

import numpy as np

from so101.arrays import ImageArray, IntArray
from so101.data.batch import ChunkBatch


def shift_images(batch: ChunkBatch, rng: np.random.Generator, pixels: int) -> ChunkBatch:
    """Shift every image by up to ``pixels`` in each direction, edges repeated.

    Args:
        batch: Its images are uint8 of shape (batch, height, width, 3).
        rng: Source of the shifts.
        pixels: Largest shift; 0 returns the batch itself.
    """
    if pixels == 0 or not batch.observation.images:
        return batch
    images = {
        camera: _shift(stack, rng.integers(0, 2 * pixels + 1, (len(stack), 2)), pixels)
        for camera, stack in batch.observation.images.items()
    }
    return replace(batch, observation=replace(batch.observation, images=images))


def blur_joints(batch: ChunkBatch, rng: np.random.Generator, std_rad: float) -> ChunkBatch:
    """Add noise to measured and commanded joints, the same to both.

    Along a demonstration the joints alone tell where the arm is going. A camera policy that reads
    them to the last digit learns to go on instead of to look.

    Args:
        batch: Its actions must not be relative to the joints: they stay as they are.
        rng: Source of the noise.
        std_rad: Standard deviation [rad]; 0 returns the batch itself.
    """
    if std_rad == 0.0:
        return batch
    seen = batch.observation
    noise = rng.normal(0.0, std_rad, seen.positions.shape).astype(np.float32)
    blurred = replace(seen, positions=seen.positions + noise, commands=seen.commands + noise)
    return replace(batch, observation=blurred)


def _shift(images: ImageArray, offsets: IntArray, pixels: int) -> ImageArray:
    height, width = images.shape[1:3]
    margins = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    padded = np.pad(images, margins, mode="edge")
    shifted = np.empty_like(images)
    for i, (top, left) in enumerate(offsets):
        shifted[i] = padded[i, top : top + height, left : left + width]
    return shifted
