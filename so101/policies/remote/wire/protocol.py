"""The messages of ``so101.v1`` as bytes: each is one mapping with a ``type``.

Cameras' images travel as pixels or as the JPEG or PNG that the camera produced, untouched.
Joint positions, chunks, noise and prefixes must be finite; velocities and efforts need not be
(a driver that does not report them says NaN), nor need what a policy records beside its chunk.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import FloatArray, ImageArray
from so101.config import from_mapping, to_mapping
from so101.errors import ConfigError, ObservationError, ProtocolError
from so101.observation import Observation
from so101.policies.remote.wire import codec
from so101.policies.remote.wire.fields import Fields
from so101.policies.remote.wire.messages import (
    MAX_AUX,
    MAX_CAMERAS,
    Answer,
    ClientMessage,
    Code,
    Compressed,
    Done,
    Failure,
    Health,
    HealthRequest,
    Hello,
    InferRequest,
    Reset,
    ServerMessage,
)
from so101.spec import PolicySpec


def pack_message(message: ClientMessage | ServerMessage) -> bytes:
    """Return the bytes of a message.

    Raises:
        ProtocolError: A part of it may not travel.
    """
    name, write = _WRITERS[type(message)]
    return codec.pack({"type": name, **write(message)})


def unpack_request(data: bytes) -> ClientMessage:
    """Read what a client says, the inverse of `pack_message`.

    Raises:
        ProtocolError: It breaks the protocol.
        ObservationError: Joint positions, a prefix or noise are not finite.
    """
    message: ClientMessage = _read(data, _REQUESTS)
    return message


def unpack_answer(data: bytes) -> ServerMessage:
    """Read what a server says, the inverse of `pack_message`.

    Raises:
        ProtocolError: It breaks the protocol, or a chunk is not finite.
    """
    message: ServerMessage = _read(data, _ANSWERS)
    return message


def request_id(data: bytes) -> int:
    """Return the id of a request that may be broken otherwise; -1 when it cannot be read."""
    try:
        return Fields(codec.unpack(data), "message").whole("id")
    except ProtocolError:
        return -1


def _read(data: bytes, readers: Mapping[str, Any]) -> Any:
    fields = Fields(codec.unpack(data), "message")
    name = fields.text("type")
    if name not in readers:
        raise ProtocolError(f"message: type {name[:40]!r} is not one of {', '.join(readers)}")
    message = readers[name](fields)
    fields.finish()
    return message


def _hello_values(hello: Hello) -> dict[str, Any]:
    return {
        "spec": to_mapping(hello.spec),
        "checkpoint": hello.checkpoint,
        "noise_shape": hello.noise_shape,
        "message_bytes": hello.message_bytes,
        "version": hello.version,
    }


def _hello(fields: Fields) -> Hello:
    try:
        spec = from_mapping(PolicySpec, fields.mapping("spec"), "hello: spec")
    except ConfigError as error:
        raise ProtocolError(str(error)) from error
    return Hello(
        spec=spec,
        checkpoint=fields.text("checkpoint"),
        noise_shape=tuple(fields.wholes("noise_shape")),
        message_bytes=fields.whole("message_bytes"),
        version=fields.text("version"),
    )


def _observation_values(request: InferRequest) -> dict[str, Any]:
    seen = request.observation
    pixels = {key: value for key, value in seen.images.items() if key not in request.compressed}
    return {
        "stamp_ns": seen.stamp_ns,
        "positions": _joints(seen.positions),
        "velocities": _joints(seen.velocities),
        "effort": _joints(seen.effort),
        "command": _joints(seen.command),
        "images": {**pixels, **request.compressed},
        "missing": sorted(seen.missing),
        "task": seen.task,
        "objects": None if seen.objects is None else np.asarray(seen.objects, dtype=np.float64),
    }


def _observation(fields: Fields) -> tuple[Observation, dict[str, Compressed]]:
    images = fields.mapping("images")
    if len(images) > MAX_CAMERAS:
        raise ProtocolError(f"observation: {len(images)} images, allowed {MAX_CAMERAS}")
    pixels = {key: _pixels(key, item) for key, item in images.items() if _is_array(item)}
    compressed: dict[str, Compressed] = {}
    compressed |= {key: item for key, item in images.items() if isinstance(item, memoryview)}
    if odd := images.keys() - pixels.keys() - compressed.keys():
        raise ProtocolError(f"observation: image {min(odd)[:40]!r} is neither pixels nor bytes")
    objects = fields.optional("objects", lambda key: fields.array(key, "float64", 2))
    observation = Observation(
        stamp_ns=fields.whole("stamp_ns"),
        positions=finite(fields.array("positions", "float64", 1), "positions"),
        velocities=fields.array("velocities", "float64", 1),
        effort=fields.array("effort", "float64", 1),
        command=finite(fields.array("command", "float64", 1), "command"),
        images=pixels,
        missing=frozenset(fields.texts("missing")),
        task=fields.text("task"),
        objects=objects,
    )
    fields.finish()
    return observation, compressed


def finite(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return an array of an observation.

    Raises:
        ObservationError: A value is not finite.
    """
    if not np.isfinite(array).all():
        raise ObservationError(f"observation: {name} are not finite")
    return array


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _pixels(name: str, image: npt.NDArray[Any]) -> ImageArray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ProtocolError(
            f"observation: image {name[:40]!r} is {image.dtype} of shape {image.shape}, "
            "needs uint8 of (height, width, 3)"
        )
    return image


def _joints(values: FloatArray) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _infer_values(request: InferRequest) -> dict[str, Any]:
    noise, prefix = request.noise, request.prefix
    return {
        "id": request.id,
        "timeout_ms": float(request.timeout_ms),
        "observation": _observation_values(request),
        "noise": None if noise is None else np.asarray(noise, dtype=np.float32),
        "indicator": request.indicator,
        "guidance": None if request.guidance is None else float(request.guidance),
        "prefix": None
        if prefix is None
        else {"positions": _joints(prefix.positions), "decided": prefix.decided},
    }


def _infer(fields: Fields) -> InferRequest:
    observation, compressed = _observation(fields.inner("observation"))
    noise = fields.optional("noise", lambda key: fields.array(key, "float32"))
    prefix = fields.optional("prefix", lambda key: _prefix(fields.inner(key)))
    return InferRequest(
        id=fields.whole("id"),
        timeout_ms=fields.number("timeout_ms"),
        observation=observation,
        compressed=compressed,
        noise=None if noise is None else finite(noise, "noise"),
        indicator=fields.optional("indicator", fields.whole),
        guidance=fields.optional("guidance", fields.number),
        prefix=prefix,
    )


def _prefix(fields: Fields) -> ChunkPrefix:
    positions = finite(fields.array("positions", "float64", 2), "prefix")
    decided = fields.whole("decided")
    fields.finish()
    try:
        return ChunkPrefix(positions=positions, decided=decided)
    except ConfigError as error:
        raise ProtocolError(str(error)) from error


def _answer_values(answer: Answer) -> dict[str, Any]:
    chunk = answer.chunk
    return {
        "id": answer.id,
        "checkpoint": answer.checkpoint,
        "stamp_ns": chunk.stamp_ns,
        "positions": _joints(chunk.positions),
        "rate_hz": chunk.rate_hz,
        "speed": float(chunk.speed),
        "native_action": _joints(answer.native_action),
        "aux": {key: np.asarray(item, dtype=np.float32) for key, item in answer.aux.items()},
        "timings_ms": {key: float(value) for key, value in answer.timings_ms.items()},
    }


def _answer(fields: Fields) -> Answer:
    positions = fields.array("positions", "float64", 2)
    if not np.isfinite(positions).all():
        raise ProtocolError("answer: the chunk is not finite")
    try:
        chunk = ActionChunk(
            stamp_ns=fields.whole("stamp_ns"),
            positions=positions,
            rate_hz=fields.whole("rate_hz"),
            speed=fields.number("speed"),
        )
    except ConfigError as error:
        raise ProtocolError(f"answer: {error}") from error
    aux, timings = fields.inner("aux"), fields.inner("timings_ms")
    if len(aux.names) > MAX_AUX:
        raise ProtocolError(f"answer: {len(aux.names)} auxiliary arrays, allowed {MAX_AUX}")
    return Answer(
        id=fields.whole("id"),
        checkpoint=fields.text("checkpoint"),
        chunk=chunk,
        native_action=fields.array("native_action", "float64"),
        aux={name: aux.array(name, "float32") for name in aux.names},
        timings_ms={name: timings.number(name) for name in timings.names},
    )


def _health(fields: Fields) -> Health:
    return Health(
        id=fields.whole("id"),
        checkpoint=fields.text("checkpoint"),
        uptime_s=fields.number("uptime_s"),
        connections=fields.whole("connections"),
        waiting=fields.whole("waiting"),
    )


def _failure(fields: Fields) -> Failure:
    code = fields.text("code")
    if code not in Code._value2member_map_:
        raise ProtocolError(f"failure: unknown code {code[:40]!r}")
    return Failure(id=fields.whole("id"), code=Code(code), message=fields.text("message"))


_WRITERS: dict[type[Any], tuple[str, Any]] = {
    Hello: ("hello", _hello_values),
    InferRequest: ("infer", _infer_values),
    Reset: ("reset", to_mapping),
    HealthRequest: ("health", to_mapping),
    Answer: ("answer", _answer_values),
    Done: ("done", to_mapping),
    Health: ("health", to_mapping),
    Failure: ("failure", lambda item: {**to_mapping(item), "code": item.code.value}),
}
_REQUESTS = {
    "infer": _infer,
    "reset": lambda fields: Reset(id=fields.whole("id")),
    "health": lambda fields: HealthRequest(id=fields.whole("id")),
}
_ANSWERS = {
    "hello": _hello,
    "answer": _answer,
    "done": lambda fields: Done(id=fields.whole("id")),
    "health": _health,
    "failure": _failure,
}
