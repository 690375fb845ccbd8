"""A strict msgpack reader for bytes from the network: bounded time, memory and depth.

The msgpack library bounds each container but not their sum: eight million bytes can ask for eight
million empty lists, which take sixty times their room. This reader counts. It copies no binary
data either: a byte string becomes a view into the message.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from so101.errors import ProtocolError

MESSAGE_BYTES = 8 * 1024 * 1024
"""A larger message is refused; two raw 640x480 images are 1.8 MB."""

_NUMBERS = {
    0xCA: struct.Struct(">f"),
    0xCB: struct.Struct(">d"),
    0xCC: struct.Struct(">B"),
    0xCD: struct.Struct(">H"),
    0xCE: struct.Struct(">I"),
    0xCF: struct.Struct(">Q"),
    0xD0: struct.Struct(">b"),
    0xD1: struct.Struct(">h"),
    0xD2: struct.Struct(">i"),
    0xD3: struct.Struct(">q"),
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_LENGTHS = {1: struct.Struct(">B"), 2: struct.Struct(">H"), 4: struct.Struct(">I")}
_TEXT = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BINARY = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_LISTS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one message may ask of its reader.

    Attributes:
        message_bytes: Length of the message.
        depth: Containers inside one another.
        values: Numbers, texts, byte strings and containers together, keys included.
        text_bytes: Length of one text.
    """

    message_bytes: int = MESSAGE_BYTES
    depth: int = 8
    values: int = 4096
    text_bytes: int = 16_384


def read(
    data: bytes | memoryview,
    limits: Limits,
    on_map: Callable[[dict[Any, Any]], Any] = lambda values: values,
    *,
    byte_keys: bool = False,
) -> Any:
    """Read one value that fills the whole message.

    Args:
        data: The message.
        limits: What it may ask for.
        on_map: Turns each mapping into a value, the innermost first.
        byte_keys: Keys may be byte strings too; they stay ``bytes``.

    Returns:
        None, bool, int, float, str, memoryview (read-only), list, or what ``on_map`` returns.

    Raises:
        ProtocolError: It is no msgpack, has extension types or duplicate keys, or asks for more
            than the limits allow.
    """
    if len(data) > limits.message_bytes:
        raise ProtocolError(f"message of {len(data)} bytes, allowed {limits.message_bytes}")
    reader = _Reader(data, limits, on_map, byte_keys)
    value = reader.value(0)
    if reader.at != len(data):
        raise ProtocolError(f"message: {len(data) - reader.at} bytes after its end")
    return value


class _Reader:
    def __init__(
        self,
        data: bytes | memoryview,
        limits: Limits,
        on_map: Callable[[dict[Any, Any]], Any],
        byte_keys: bool,
    ) -> None:
        self.at = 0
        self._data = memoryview(data).toreadonly()
        self._end = len(data)
        self._limits, self._on_map, self._byte_keys = limits, on_map, byte_keys
        self._left = limits.values

    def value(self, depth: int) -> Any:
        """Read one value at some depth."""
        self._left -= 1
        if self._left < 0:
            raise ProtocolError(f"message: more than {self._limits.values} values")
        if self.at == self._end:
            raise ProtocolError("message: ends within a value")
        tag = self._data[self.at]
        self.at += 1
        if 0xA0 <= tag <= 0xBF:  # a short text: most of what a message consists of
            return self._text(tag & 0x1F)
        if tag <= 0x7F:
            return tag
        if tag >= 0xE0:
            return tag - 256
        if tag in _BINARY:
            return self._take(self._length(_BINARY[tag]))
        if tag in _NUMBERS:
            number = _NUMBERS[tag]
            return number.unpack(self._take(number.size))[0]
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag in _TEXT:
            return self._text(self._length(_TEXT[tag]))
        return self._container(tag, depth + 1)

    def _container(self, tag: int, depth: int) -> Any:
        if depth > self._limits.depth:
            raise ProtocolError(f"message: nested deeper than {self._limits.depth}")
        if tag <= 0x8F or tag in _MAPS:
            return self._map(tag & 0x0F if tag <= 0x8F else self._length(_MAPS[tag]), depth)
        if tag <= 0x9F or tag in _LISTS:
            count = self._count(tag & 0x0F if tag <= 0x9F else self._length(_LISTS[tag]))
            return [self.value(depth) for _ in range(count)]
        raise ProtocolError(f"message: byte 0x{tag:02x} begins no allowed value")

    def _map(self, count: int, depth: int) -> Any:
        values: dict[Any, Any] = {}
        for _ in range(self._count(count)):
            key = self.value(depth)
            if type(key) is not str:
                key = self._key(key)
            if key in values:
                raise ProtocolError(f"message: duplicate key {key[:60]!r}")
            values[key] = self.value(depth)
        return self._on_map(values)

    def _key(self, key: Any) -> bytes:
        if not (isinstance(key, memoryview) and self._byte_keys):
            raise ProtocolError(f"message: a key must be a text, got {type(key).__name__}")
        if len(key) > self._limits.text_bytes:
            raise ProtocolError(f"message: key of {len(key)} bytes")
        return bytes(key)

    def _count(self, count: int) -> int:
        if count > self._left:  # before anything is built of it
            raise ProtocolError(f"message: more than {self._limits.values} values")
        return count

    def _text(self, length: int) -> str:
        if length > self._limits.text_bytes:
            raise ProtocolError(f"text of {length} bytes, allowed {self._limits.text_bytes}")
        try:
            return str(self._take(length), "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError("message: a text is not UTF-8") from error

    def _length(self, size: int) -> int:
        return int(_LENGTHS[size].unpack(self._take(size))[0])

    def _take(self, count: int) -> memoryview:
        begin = self.at
        self.at = begin + count
        if self.at > self._end:
            raise ProtocolError("message: ends within a value")
        return self._data[begin : self.at]
