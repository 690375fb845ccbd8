"""Values on the wire: msgpack, arrays as raw bytes beside type and shape. No pickle, no code.

An array is the mapping ``{"__array__": "float64", "shape": [16, 6], "data": bytes}``, little
endian, rows first. Its bytes are copied once on the way out and not at all on the way in: what
arrives is a read-only view into the message (numbers that would lie at odd addresses are copied;
images never do). Values that are not finite pass: what they mean is the protocol's business.
"""

from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from so101.errors import ProtocolError
from so101.policies.remote.wire.msgpack_reader import Limits, read

DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool")
"""Element types that may travel. Objects, texts and records may not."""

MAX_DIMS = 5
LIMITS = Limits()
_MARK = "__array__"
_KEYS = {_MARK, "shape", "data"}
_WIRE = {name: np.dtype(name).newbyteorder("<") for name in DTYPES}
_NATIVE = {name: np.dtype(name) for name in DTYPES}
_NAMES = {dtype.str: name for name, dtype in _WIRE.items()} | {
    dtype.newbyteorder(">").str: name for name, dtype in _NATIVE.items()
}
"""numpy's short name of a type, which it has at hand, to the long one, which it makes up."""


def pack(value: Any) -> bytes:
    """Return the message of a value.

    Args:
        value: None, bool, int, float, str, bytes, arrays of `DTYPES`, and lists, tuples and
            mappings (keys are texts) of them.

    Raises:
        ProtocolError: A part of it may not travel.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_plain, strict_types=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"cannot be sent: {error}") from error
    return packed


def unpack(data: bytes | memoryview, limits: Limits = LIMITS) -> Any:
    """Return the value of a message, the inverse of `pack`.

    Args:
        data: The message; it stays in memory while an array of it is used.
        limits: What it may ask for.

    Returns:
        As packed, with tuples as lists and byte strings as read-only views.

    Raises:
        ProtocolError: It is damaged, or breaks a limit.
    """
    return read(data, limits, _array_or_map)


def array_of(name: str, shape: Any, data: Any) -> npt.NDArray[Any]:
    """Return a read-only array over received bytes.

    Args:
        name: Element type, one of `DTYPES`.
        shape: List of sizes as received.
        data: The bytes, little endian.

    Raises:
        ProtocolError: The type is not allowed, or the three do not belong together.
    """
    if not isinstance(name, str) or name not in _WIRE:
        shown = name[:20] if isinstance(name, str) else type(name).__name__
        raise ProtocolError(f"array: element type {shown!r} is not one of {', '.join(DTYPES)}")
    if not isinstance(data, memoryview):
        raise ProtocolError(f"array: its data are {type(data).__name__}, not bytes")
    dtype = _WIRE[name]
    sizes = _sizes(shape, dtype.itemsize, len(data))
    if 0 in sizes:
        array: npt.NDArray[Any] = np.zeros(sizes, dtype=dtype)
    else:
        array = np.frombuffer(data, dtype=dtype).reshape(sizes)
    if name == "bool" and array.size and array.view(np.uint8).max() > 1:
        raise ProtocolError("array: a bool is neither 0 nor 1")
    if not array.flags.aligned or not dtype.isnative:
        array = array.astype(_NATIVE[name])
    array.setflags(write=False)
    return array


def _sizes(shape: Any, itemsize: int, received: int) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > MAX_DIMS:
        raise ProtocolError(f"array: its shape must be a list of at most {MAX_DIMS} sizes")
    room, filled = itemsize, itemsize
    for size in shape:
        if type(size) is not int or size < 0:
            raise ProtocolError("array: a size must be a whole number, not negative")
        room *= size or 1  # of an empty array too, or its other sizes could be anything
        filled *= size
    if room > LIMITS.message_bytes:
        raise ProtocolError("array: larger than a message")
    if filled != received:
        raise ProtocolError(f"array: {received} bytes do not fill shape {shape}")
    return tuple(shape)


def _array_or_map(values: dict[str, Any]) -> Any:
    if _MARK not in values:
        return values
    if values.keys() != _KEYS:
        raise ProtocolError(f"array: needs exactly {', '.join(sorted(_KEYS))}")
    return array_of(values[_MARK], values["shape"], values["data"])


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} may not travel")
    name = _NAMES.get(value.dtype.str)
    if name is None or value.ndim > MAX_DIMS:
        raise TypeError(f"array of {value.dtype} with {value.ndim} dimensions may not travel")
    wire = np.ascontiguousarray(value, dtype=_WIRE[name])
    data = wire.reshape(-1).view(np.uint8).data
    return {_MARK: name, "shape": list(value.shape), "data": data}
