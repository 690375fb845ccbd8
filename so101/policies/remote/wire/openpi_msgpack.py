"""openpi's dictionaries on the wire: msgpack with arrays marked as msgpack-numpy marks them.

Read with the limits of our own messages, and nothing is ever unpickled.
"""

from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from so101.errors import ProtocolError
from so101.policies.remote.wire.codec import DTYPES, LIMITS, array_of
from so101.policies.remote.wire.msgpack_reader import read

_NAMES = {np.dtype(name).newbyteorder("<").str: name for name in DTYPES}
_ARRAY, _SCALAR = b"__ndarray__", b"__npgeneric__"


def pack_openpi(values: Mapping[str, Any]) -> bytes:
    """Return the message of a dictionary of texts, numbers, arrays and such dictionaries.

    Raises:
        ProtocolError: A part of it may not travel.
    """
    try:
        packed: bytes = msgpack.packb(values, default=_plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"cannot be sent: {error}") from error
    return packed


def unpack_openpi(data: bytes) -> dict[str, Any]:
    """Return the dictionary of a message, the inverse of `pack_openpi`.

    Raises:
        ProtocolError: It is damaged, is no dictionary, or breaks a limit.
    """
    values = read(data, LIMITS, _array_or_map, byte_keys=True)
    if not isinstance(values, dict):
        raise ProtocolError(f"message: must be a dictionary, got {type(values).__name__}")
    return values


def _array_or_map(values: dict[Any, Any]) -> Any:
    if _ARRAY in values:
        return _array(values, b"shape")
    if _SCALAR in values:
        number = values.get(b"data")
        if values.get(b"dtype") not in _NAMES or type(number) not in (bool, int, float):
            raise ProtocolError("message: a NumPy number of another type")
        return number
    return values


def _array(values: dict[Any, Any], shape: bytes) -> npt.NDArray[Any]:
    name = values.get(b"dtype")
    known = _NAMES.get(name) if isinstance(name, str) else None
    if known is None:
        raise ProtocolError(f"array: element type {str(name)[:20]!r} is not allowed")
    return array_of(known, values.get(shape), values.get(b"data"))


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype.name not in DTYPES:
        raise TypeError(f"{type(value).__name__} may not travel")
    wire = np.ascontiguousarray(value)
    return {
        _ARRAY: True,
        b"data": wire.reshape(-1).view(np.uint8).data,
        b"dtype": wire.dtype.str,
        b"shape": list(value.shape),
    }
