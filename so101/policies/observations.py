"""Observations of many ticks as one batch, images resized to what the policy looks at."""

from collections.abc import Sequence

import cv2
import numpy as np

from so101.arrays import BoolArray, Float32Array, FloatArray, ImageArray
from so101.data.batch import ObservationBatch
from so101.errors import ObservationError
from so101.observation import Observation
from so101.spec import PolicySpec


def resize_image(image: ImageArray, size: tuple[int, int]) -> ImageArray:
    """Return an RGB image of ``size`` (height, width) by area averaging."""
    if image.shape[:2] == size:
        return image
    resized = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def stack_observations(observations: Sequence[Observation], spec: PolicySpec) -> ObservationBatch:
    """Stack observations.

    Raises:
        ObservationError: A camera or the object poses that the policy needs are absent, or a
            joint array has the wrong size.
    """
    images: dict[str, ImageArray] = {}
    masks: dict[str, BoolArray] = {}
    for camera in spec.cameras:
        images[camera] = np.stack([_image(item, camera, spec) for item in observations])
        masks[camera] = np.array([camera not in item.missing for item in observations])
    objects = None
    if spec.uses_objects:
        objects = np.stack([_objects(item) for item in observations]).astype(np.float32)
    return ObservationBatch(
        positions=_joints([item.positions for item in observations], spec, "positions"),
        velocities=_joints([item.velocities for item in observations], spec, "velocities"),
        effort=_joints([item.effort for item in observations], spec, "effort"),
        commands=_joints([item.command for item in observations], spec, "command"),
        images=images,
        image_mask=masks,
        objects=objects,
        tasks=tuple(item.task for item in observations),
    )


def require_objects(batch: ObservationBatch, count: int) -> Float32Array:
    """Return the object poses of a batch. Shape (batch, count, 7).

    Raises:
        ObservationError: There are none, or another number of objects.
    """
    if batch.objects is None or batch.objects.shape[1] != count:
        seen = 0 if batch.objects is None else batch.objects.shape[1]
        raise ObservationError(f"observation: needs {count} object poses (simulation), got {seen}")
    return batch.objects


def _joints(rows: list[FloatArray], spec: PolicySpec, name: str) -> Float32Array:
    if any(np.shape(row) != (len(spec.joints),) for row in rows):
        sizes = sorted({str(np.shape(row)) for row in rows})
        raise ObservationError(
            f"observation: {name} must have {len(spec.joints)} joints, got {', '.join(sizes)}"
        )
    return np.stack(rows).astype(np.float32)


def _image(observation: Observation, camera: str, spec: PolicySpec) -> ImageArray:
    image = observation.images.get(camera)
    if camera in observation.missing:
        return np.zeros((*spec.image_size, 3), dtype=np.uint8)
    if image is None:
        raise ObservationError(f"observation: no image of camera {camera!r}")
    return resize_image(image, spec.image_size)


def _objects(observation: Observation) -> FloatArray:
    if observation.objects is None:
        raise ObservationError("observation: no object poses, which exist in simulation only")
    return observation.objects
