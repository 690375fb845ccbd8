"""Which camera of the robot fills which camera of a remote policy. Pure.

A policy trained elsewhere has names of its own, and maybe more cameras than the robot: pi0 has
three. A slot that no camera fills is sent as missing, and only where that was asked for.
"""

from collections.abc import Mapping
from dataclasses import replace

from so101.errors import ConfigError, ObservationError
from so101.observation import Observation
from so101.policies.observations import resize_image
from so101.spec import PolicySpec


class CameraSlots:
    """Renames the cameras of observations.

    Attributes:
        spec: The policy's, with the robot's camera ids.
    """

    def __init__(self, spec: PolicySpec, names: Mapping[str, str], where: str) -> None:
        """Check a mapping against a policy.

        Args:
            spec: The policy's.
            names: Camera id of the robot to the policy's; cameras of the policy that it leaves
                out are always missing. Empty when the ids are the same.
            where: Who has the policy, for errors.

        Raises:
            ConfigError: The policy has no such camera, or two cameras fill one slot.
        """
        unknown = [slot for slot in names.values() if slot not in spec.cameras]
        if unknown:
            known = ", ".join(spec.cameras) or "none"
            raise ConfigError(f"{where}: no camera {', '.join(unknown)}; its policy has {known}")
        if len(set(names.values())) != len(names):
            raise ConfigError(f"{where}: two cameras are to fill one of {', '.join(spec.cameras)}")
        camera_of = {slot: camera for camera, slot in names.items()}
        if not names:
            camera_of = {slot: slot for slot in spec.cameras}
        self._size = spec.image_size
        self._slots = {camera_of[slot]: slot for slot in spec.cameras if slot in camera_of}
        self._empty = frozenset(spec.cameras) - frozenset(camera_of)
        self.spec = replace(
            spec,
            cameras=tuple(self._slots),
            camera_names={
                camera: spec.camera_names.get(slot, slot) for camera, slot in self._slots.items()
            }
            if names or spec.camera_names
            else {},
        )

    def fill(self, observation: Observation) -> tuple[Observation, dict[str, bytes]]:
        """Return an observation as the policy names it, and the JPEGs that go in place of pixels.

        Images without a JPEG are resized to what the policy looks at. Cameras that the policy
        does not look at stay behind. Nothing is decoded that has a JPEG.

        Raises:
            ObservationError: A camera has no image and is not missing either.
        """
        jpegs: dict[str, bytes] = {}
        pixels = {}
        for camera, slot in self._slots.items():
            if camera in observation.missing:
                continue
            if camera in observation.jpegs:
                jpegs[slot] = observation.jpegs[camera]
            else:
                image = observation.images.get(camera)
                if image is None:
                    raise ObservationError(f"observation: no image of camera {camera!r}")
                pixels[slot] = image if self._size == (0, 0) else resize_image(image, self._size)
        missing = {self._slots[name] for name in observation.missing if name in self._slots}
        renamed = replace(
            observation, images=pixels, jpegs={}, missing=frozenset(missing) | self._empty
        )
        return renamed, jpegs
