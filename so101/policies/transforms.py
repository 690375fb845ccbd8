"""Scaling between physical values and what networks see. Each transform carries its inverse."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from so101.arrays import FloatArray, IntArray, frozen
from so101.errors import CheckpointError

SMALLEST_SCALE = 1e-2
"""A column that hardly varies is not blown up to full range [rad or m]."""


@dataclass(frozen=True, kw_only=True)
class Normalizer:
    """``(value - offset) / scale`` and back, per column.

    Attributes:
        offset: Value that becomes 0. Shape (columns,).
        scale: Difference that becomes 1, always positive. Shape (columns,).
    """

    offset: FloatArray
    scale: FloatArray

    @classmethod
    def from_range(cls, low: npt.ArrayLike, high: npt.ArrayLike) -> "Normalizer":
        """Map ``low`` to -1 and ``high`` to 1."""
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        scale = np.maximum((high - low) / 2.0, SMALLEST_SCALE)
        return cls(offset=frozen((low + high) / 2.0), scale=frozen(scale))

    @classmethod
    def from_moments(cls, mean: npt.ArrayLike, std: npt.ArrayLike) -> "Normalizer":
        """Map to mean 0 and standard deviation 1."""
        return cls(offset=frozen(mean), scale=frozen(np.maximum(std, SMALLEST_SCALE)))

    def normalize(self, values: npt.ArrayLike) -> FloatArray:
        """Return network values. Shape (..., columns)."""
        return (np.asarray(values, dtype=np.float64) - self.offset) / self.scale

    def denormalize(self, values: npt.ArrayLike) -> FloatArray:
        """Return physical values, the inverse of `normalize`. Shape (..., columns)."""
        return np.asarray(values, dtype=np.float64) * self.scale + self.offset

    def to_mapping(self) -> dict[str, list[float]]:
        """Return the JSON form."""
        return {"offset": self.offset.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_mapping(cls, values: Any, columns: int, where: str) -> "Normalizer":
        """Read the JSON form.

        Raises:
            CheckpointError: A key is missing, or the values are not finite, positive and of the
                right number.
        """
        if not isinstance(values, Mapping) or set(values) != {"offset", "scale"}:
            raise CheckpointError(f"{where}: expected the keys offset and scale, got {values!r}")
        arrays = {}
        for key, column in values.items():
            if not isinstance(column, list) or len(column) != columns:
                raise CheckpointError(f"{where}: {key} must be {columns} numbers, got {column!r}")
            try:
                arrays[key] = frozen(column)
            except (TypeError, ValueError):
                raise CheckpointError(f"{where}: {key} must be numbers, got {column!r}") from None
            if arrays[key].shape != (columns,) or not np.isfinite(arrays[key]).all():
                raise CheckpointError(f"{where}: {key} is not finite: {column!r}")
        if not (arrays["scale"] > 0).all():
            raise CheckpointError(f"{where}: scale must be positive, got {values['scale']!r}")
        return cls(**arrays)


def last_valid(mask: npt.NDArray[np.bool_]) -> IntArray:
    """Return for each entry the index of the last valid entry up to it (0 before the first).

    Args:
        mask: True where an entry is real. Shape (batch, horizon).
    """
    index = np.where(mask, np.arange(mask.shape[1]), 0)
    return np.maximum.accumulate(index, axis=1)


def fill_padding(actions: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> Any:
    """Replace padded actions by the last real one, whatever they held. (batch, horizon, joints).

    Args:
        actions: Shape (batch, horizon, joints).
        mask: True where an action is real. Shape (batch, horizon).
    """
    return np.take_along_axis(actions, last_valid(mask)[:, :, None], axis=1)


def object_features(objects: npt.ArrayLike) -> FloatArray:
    """Return position and four-fold yaw of each object: a cube looks the same every 90 degrees.

    Args:
        objects: Poses x y z qx qy qz qw [m, unit quaternion]. Shape (..., objects, 7).

    Returns:
        x y z [m], cos(4 yaw), sin(4 yaw) of each object. Shape (..., objects * 5).
    """
    poses = np.asarray(objects, dtype=np.float64)
    x, y, z, w = (poses[..., i] for i in range(3, 7))
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    angles = np.stack([np.cos(4.0 * yaw), np.sin(4.0 * yaw)], axis=-1)
    features = np.concatenate([poses[..., :3], angles], axis=-1)
    flat: FloatArray = features.reshape(*features.shape[:-2], -1)
    return flat
