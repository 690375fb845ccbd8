"""From observations to the normalised inputs of a flow policy's network."""

from typing import Any

import numpy as np
import torch

from so101.data.batch import ObservationBatch
from so101.errors import ObservationError
from so101.policies.flow.config import OBJECT_FEATURES, FlowConfig, FlowNorms
from so101.policies.flow.network import Inputs
from so101.policies.observations import require_objects
from so101.policies.transforms import object_features
from so101.spec import PolicySpec


def to_tensor(values: Any, device: torch.device) -> torch.Tensor:
    """Return an array on a device, in single precision where it was in double."""
    array = np.ascontiguousarray(values)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return torch.from_numpy(array).to(device)


class FlowInputs:
    """What a flow policy looks at."""

    def __init__(self, spec: PolicySpec, config: FlowConfig, norms: FlowNorms) -> None:
        """Take the policy's own description."""
        self._spec, self._config, self._norms = spec, config, norms

    def count_numbers(self) -> int:
        """Return how many numbers the network sees besides images."""
        joints = len(self._spec.joints) * (2 if self._config.uses_commands else 1)
        objects = self._config.objects * OBJECT_FEATURES if self._spec.uses_objects else 0
        return joints + objects

    def build(self, observation: ObservationBatch, device: torch.device) -> Inputs:
        """Return the inputs of a batch of observations.

        Raises:
            ObservationError: Joints or objects are not finite, or an image is absent or of
                another size.
        """
        numbers = [self._norms.positions.normalize(observation.positions)]
        if self._config.uses_commands:
            numbers.append(self._norms.positions.normalize(observation.commands))
        if self._norms.objects is not None:
            seen = require_objects(observation, self._config.objects)
            numbers.append(self._norms.objects.normalize(object_features(seen)))
        joined = np.concatenate(numbers, axis=1)
        if not np.isfinite(joined).all():
            raise ObservationError("observation: joints or objects are not finite")
        images = {
            camera: self._image(observation, camera, device) for camera in self._spec.cameras
        }
        return Inputs(numbers=to_tensor(joined, device), images=images)

    def _image(
        self, observation: ObservationBatch, camera: str, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if camera not in observation.images:
            raise ObservationError(f"observation: no image of camera {camera!r}")
        pixels = observation.images[camera]
        if pixels.shape[1:] != (*self._spec.image_size, 3) or pixels.dtype != np.uint8:
            raise ObservationError(
                f"observation: camera {camera!r} gives {pixels.dtype} of shape "
                f"{pixels.shape[1:]}, needs uint8 of {(*self._spec.image_size, 3)}"
            )
        mask = observation.image_mask.get(camera, np.ones(len(pixels), dtype=np.bool_))
        return to_tensor(pixels, device), to_tensor(mask.astype(np.float32), device)
