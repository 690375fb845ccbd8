"""openpi's websocket protocol, as its client package speaks it: dictionaries of named arrays.

The server sends a dictionary that describes it; then each dictionary of observations is answered
by one with ``actions`` of shape (horizon, joints), or by a text that says what is wrong. There is
no request id, no deadline, no units and no stamp: units are agreed on beforehand (`OpenpiKeys`).
How a dictionary becomes bytes is in ``so101.policies.remote.wire.openpi_msgpack``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from so101.arrays import FloatArray
from so101.errors import ConfigError, ObservationError, ProtocolError
from so101.observation import Observation
from so101.policies.remote.wire.messages import Answer, Compressed, Failure, Hello, InferRequest
from so101.policies.remote.wire.openpi_msgpack import pack_openpi, unpack_openpi
from so101.policies.remote.wire.protocol import finite
from so101.robot import CAMERAS, JOINTS, from_lerobot, to_lerobot

NO_DEADLINE_MS = 60_000.0
"""openpi's clients wait as long as it takes; a request that is older is given up."""


@dataclass(frozen=True, kw_only=True)
class OpenpiKeys:
    """What the entries of openpi's dictionaries mean.

    Nested dictionaries are read as one, their keys joined by ``/``.

    Attributes:
        state: Key of the joint positions, in the order of `so101.robot.JOINTS`.
        images: Key of an image, RGB uint8 of shape (height, width, 3) or a JPEG, to camera id.
        prompt: Key of the instruction.
        units: Of the state and of ``actions``: ``rad``, or LeRobot's ``degrees`` with the
            gripper from 0 (closed) to 100 (open).
    """

    state: str = "observation/state"
    images: dict[str, str] = field(
        default_factory=lambda: {"observation/image": "front", "observation/wrist_image": "wrist"}
    )
    prompt: str = "prompt"
    units: Literal["rad", "degrees"] = "rad"

    def __post_init__(self) -> None:
        """Refuse cameras that the robot does not have."""
        if odd := set(self.images.values()) - set(CAMERAS):
            raise ConfigError(f"openpi keys: no camera {min(odd)!r}; known: {', '.join(CAMERAS)}")

    def to_rad(self, values: FloatArray) -> FloatArray:
        """Return joint positions [rad]."""
        return values if self.units == "rad" else from_lerobot(values)

    def from_rad(self, positions: FloatArray) -> FloatArray:
        """Return joint positions in these units, the inverse of `to_rad`."""
        return positions if self.units == "rad" else to_lerobot(positions)


def describe(hello: Hello, keys: OpenpiKeys) -> bytes:
    """Return the message that openpi's clients get first."""
    space = hello.spec.action_space
    return pack_openpi(
        {
            "server": "so101",
            "version": hello.version,
            "checkpoint": hello.checkpoint,
            "joints": list(hello.spec.joints),
            "units": keys.units,
            "action_horizon": space.horizon,
            "action_rate_hz": space.rate_hz,
            "state_key": keys.state,
            "image_keys": dict(keys.images),
            "prompt_key": keys.prompt,
        }
    )


def read_observation(data: bytes, number: int, keys: OpenpiKeys) -> InferRequest:
    """Return the request that openpi's client makes.

    It tells neither velocities nor torques (zero here) nor the command in force, for which the
    measured positions stand.

    Args:
        data: The message.
        number: Id of the request.
        keys: What its entries mean.

    Raises:
        ProtocolError: The message is damaged.
        ObservationError: An entry is missing, unknown, or of another type or shape.
    """
    values = _flat(unpack_openpi(data))
    known = {keys.state, keys.prompt, *keys.images}
    if odd := values.keys() - known:
        raise ObservationError(
            f"observation: unknown key {min(odd)[:60]!r}; this server reads "
            f"{', '.join(sorted(known))}"
        )
    if keys.state not in values:
        raise ObservationError(f"observation: {keys.state!r} is missing")
    prompt = values.get(keys.prompt, "")
    if not isinstance(prompt, str):
        raise ObservationError(f"observation: {keys.prompt!r} must be a text")
    positions = keys.to_rad(_state(values[keys.state], keys.state))
    pixels: dict[str, Any] = {}
    compressed: dict[str, Compressed] = {}
    for key, camera in keys.images.items():
        if key in values:
            place = compressed if isinstance(values[key], memoryview) else pixels
            place[camera] = _image(values[key], key)
    observation = Observation(
        stamp_ns=0,
        positions=positions,
        velocities=np.zeros(len(positions)),
        effort=np.zeros(len(positions)),
        command=positions,
        images=pixels,
        task=prompt,
    )
    return InferRequest(
        id=number, observation=observation, timeout_ms=NO_DEADLINE_MS, compressed=compressed
    )


def write_answer(answer: Answer | Failure, keys: OpenpiKeys) -> bytes | str:
    """Return the message that answers openpi's client: a dictionary, or a text for a failure."""
    if isinstance(answer, Failure):
        return answer.message or answer.code.value
    return pack_openpi(
        {
            "actions": keys.from_rad(answer.chunk.positions).astype(np.float32),
            "checkpoint": answer.checkpoint,
            "policy_timing": {"infer_ms": float(answer.timings_ms["infer"])},
            "server_timing": {"infer_ms": float(answer.timings_ms["total"])},
        }
    )


def _state(value: Any, key: str) -> FloatArray:
    is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    if not is_array or value.shape != (len(JOINTS),):
        raise ObservationError(f"observation: {key!r} must be floats of shape ({len(JOINTS)},)")
    return finite(value, key).astype(np.float64)


def _image(value: Any, key: str) -> Any:
    if isinstance(value, memoryview):
        return value
    is_image = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3
    if not is_image or value.shape[2] != 3 or not value.size:
        raise ObservationError(
            f"observation: {key!r} must be uint8 of shape (height, width, 3), or a JPEG"
        )
    return value


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise ProtocolError("message: a key must be a text")
        inner = (
            _flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {prefix + key: value}
        )
        if flat.keys() & inner.keys():
            raise ProtocolError(f"message: duplicate key {key[:60]!r}")
        flat |= inner
    return flat
