"""Batches of observations as LeRobot's processors take them: names, units, images, language."""

from typing import Any

import numpy as np
import torch

from so101.arrays import Float32Array, FloatArray, ImageArray
from so101.data.batch import ObservationBatch
from so101.data.exchange.lerobot_values import ACTION, STATE, Units
from so101.errors import ObservationError
from so101.policies.lerobot.network import PADDING_MASK
from so101.policies.lerobot.spec import RESIZING, Outline
from so101.policies.observations import resize_image
from so101.spec import PolicySpec


class LeRobotInputs:
    """Turns observations and actions into LeRobot's batches."""

    def __init__(self, spec: PolicySpec, outline: Outline, units: Units) -> None:
        """Keep what they are made by."""
        self._spec, self._outline, self._units = spec, outline, units

    def observations(self, seen: ObservationBatch) -> dict[str, Any]:
        """Return what LeRobot's pre-processor takes.

        A policy that looks at several observations gets the present image for the past ones, and
        the past joints from the present velocities: between two decisions nobody keeps more.

        Raises:
            ObservationError: An input is missing or not finite.
        """
        batch: dict[str, Any] = {STATE: self._states(seen), "task": self._tasks(seen)}
        masks = {}
        for camera, name in self._spec.camera_names.items():
            pixels, mask = self._pixels(seen, camera, name)
            masks[camera] = mask
            batch[name] = self._with_past(pixels)
            batch[name + PADDING_MASK] = torch.from_numpy(mask)
        if masks and not np.any(list(masks.values()), axis=0).all():
            raise ObservationError(
                f"observation: no image of any camera: {', '.join(self._spec.cameras)}"
            )
        return batch

    def actions(self, positions: FloatArray | Float32Array) -> torch.Tensor:
        """Return joint positions [rad], shape (..., joints), in LeRobot's units."""
        values = self._units.from_rad(np.asarray(positions, dtype=np.float64))
        return torch.from_numpy(values.astype(np.float32))

    def chunks(
        self, seen: ObservationBatch, actions: Float32Array, mask: Any
    ) -> tuple[dict[str, Any], torch.Tensor]:
        """Return a training batch and which of its actions count.

        Where the network's chunk begins in the past, the goal in force then fills it.

        Args:
            seen: Shape (batch, ...).
            actions: Joint positions [rad], padding filled in. Shape (batch, horizon, joints).
            mask: True where an action is real. Shape (batch, horizon).

        Returns:
            The batch, and a mask of shape (batch, network's horizon).
        """
        past = self._outline.past
        if past:
            before = np.repeat(seen.commands[:, None], past, axis=1)
            known = np.zeros((len(mask), past), dtype=np.bool_)
            known[:, -1] = True
            actions = np.concatenate([before, actions], axis=1)
            mask = np.concatenate([known, mask], axis=1)
        kept = torch.from_numpy(np.ascontiguousarray(mask))
        batch = self.observations(seen)
        return {**batch, ACTION: self.actions(actions), "action_is_pad": ~kept}, kept

    def _states(self, seen: ObservationBatch) -> torch.Tensor:
        if not (np.isfinite(seen.positions).all() and np.isfinite(seen.commands).all()):
            raise ObservationError("observation: joints are not finite")
        if not self._has_time:
            return self.actions(seen.positions)
        if not np.isfinite(seen.velocities).all():
            raise ObservationError("observation: joint velocities are not finite")
        period_s = 1.0 / self._spec.action_space.rate_hz
        ages_s = period_s * np.arange(self._outline.past, -1, -1)[:, None]
        return self.actions(seen.positions[:, None] - ages_s * seen.velocities[:, None])

    def _tasks(self, seen: ObservationBatch) -> list[str]:
        tasks = seen.tasks or ("",) * len(seen)
        return [task or self._spec.task for task in tasks]

    def _pixels(self, seen: ObservationBatch, camera: str, name: str) -> tuple[torch.Tensor, Any]:
        if camera not in seen.images:
            raise ObservationError(f"observation: no image of camera {camera!r}")
        pixels = seen.images[camera]
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ObservationError(
                f"observation: camera {camera!r} gives {pixels.dtype} of shape "
                f"{pixels.shape[1:]}, needs uint8 of (height, width, 3)"
            )
        if self._outline.kind not in RESIZING:
            pixels = _resized(pixels, self._outline.images[name])
        mask = seen.image_mask.get(camera, np.ones(len(pixels), dtype=np.bool_))
        channels_first = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        return channels_first.float() / 255.0, np.asarray(mask)

    def _with_past(self, pixels: torch.Tensor) -> torch.Tensor:
        if not self._has_time:
            return pixels
        return pixels[:, None].expand(-1, self._outline.past + 1, -1, -1, -1)

    @property
    def _has_time(self) -> bool:
        return self._outline.kind == "diffusion"


def _resized(pixels: ImageArray, size: tuple[int, int]) -> ImageArray:
    if pixels.shape[1:3] == size:
        return pixels
    return np.stack([resize_image(one, size) for one in pixels])
