"""Serialized messages read with every length checked: what came over the network may be anything.

The middleware's own reader trusts the padding that a message's first bytes name; four bytes and
what lies behind them in memory end a process (decision 40). Fields and order come from the message
classes themselves; what is read has their attributes, sequences of numbers as ``array.array``.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from so101.errors import BagError

_START = 4
"""Behind the encapsulation; CDR aligns relative to here."""

_NUMBERS: Mapping[str, tuple[str, str]] = {
    "boolean": ("?", "B"),
    "octet": ("B", "B"),
    "uint8": ("B", "B"),
    "int8": ("b", "b"),
    "uint16": ("H", "H"),
    "int16": ("h", "h"),
    "uint32": ("I", "I"),
    "int32": ("i", "i"),
    "uint64": ("Q", "Q"),
    "int64": ("q", "q"),
    "float": ("f", "f"),
    "double": ("d", "d"),
}
"""Per type of ROS the letters of `struct` and of `array`."""


_COUNTS = struct.Struct(">I"), struct.Struct("<I")


class _Cursor:
    """A place in a message: `data`, where it is `at`, and whether it `is_little` endian."""

    __slots__ = ("at", "data", "is_little")

    def __init__(self, data: bytes) -> None:
        if len(data) < _START or data[0] or data[1] not in (0, 1):
            raise BagError(f"{len(data)} bytes, encapsulation {data[:2].hex()}, are no plain CDR")
        self.data, self.at, self.is_little = data, _START, data[1]

    def count(self) -> int:
        """Read how many elements follow; each of them needs a byte at least."""
        at = self.at + -self.at % 4
        self.at = at + 4
        (count,) = _COUNTS[self.is_little].unpack_from(self.data, at)
        if count > len(self.data) - self.at:
            raise BagError(f"{count} elements in {len(self.data) - self.at} bytes")
        return int(count)

    def text(self) -> str:
        """Read a text; one of length 0 has not even its end, as some writers have it."""
        count = self.count()
        if not count:
            return ""
        begin, self.at = self.at, self.at + count
        if self.data.find(b"\x00", begin, self.at) != self.at - 1:
            raise BagError("a text without its end, or with an end inside")
        return self.data[begin : self.at - 1].decode()

    def numbers(self, letter: str, count: int, size: int) -> "array[Any]":
        """Read numbers of a size that lie behind each other."""
        if not count:
            return array(letter)
        begin = self.at + (_START - self.at) % size
        self.at = begin + count * size
        if self.at > len(self.data):
            raise BagError(f"{self.at} bytes are needed, {len(self.data)} came")
        found = array(letter, self.data[begin : self.at])
        if bool(self.is_little) != (sys.byteorder == "little"):
            found.byteswap()
        return found


_Read = Callable[[_Cursor], Any]


def read_message(data: bytes, kind: Any) -> Any:
    """Read a serialized message. What is behind its end means nothing.

    Args:
        data: The bytes; any at all.
        kind: The message class.

    Returns:
        An object with the message's attributes.

    Raises:
        BagError: It is no such message.
    """
    try:
        return reader(kind)(_Cursor(data))
    except struct.error:
        raise BagError(f"{len(data)} bytes are fewer than it needs") from None
    except UnicodeDecodeError as error:
        raise BagError(f"a text is no UTF-8: {error.reason}") from None


@cache
def reader(kind: Any) -> _Read:
    """Return what reads a message class; made once, before the first message comes."""
    fields = {
        name: _field(text) for name, text in kind.get_fields_and_field_types().items()
    }.items()

    def read(cursor: _Cursor) -> Any:
        return SimpleNamespace(**{name: field(cursor) for name, field in fields})

    return read


def _field(text: str) -> _Read:
    if text.startswith("sequence<"):
        return _repeated(text.removeprefix("sequence<").removesuffix(">").split(",")[0], None)
    if text.endswith("]"):
        element, _, count = text[:-1].rpartition("[")
        return _repeated(element, int(count))
    if text == "string" or text.startswith("string<"):
        return _Cursor.text
    if text in _NUMBERS:
        return _number(_NUMBERS[text][0])
    package, _, name = text.partition("/")
    return reader(getattr(import_module(f"{package}.msg"), name))


def _number(letter: str) -> _Read:
    packers = struct.Struct(">" + letter), struct.Struct("<" + letter)
    size = packers[0].size

    def read(cursor: _Cursor) -> Any:
        at = cursor.at + (_START - cursor.at) % size
        cursor.at = at + size
        return packers[cursor.is_little].unpack_from(cursor.data, at)[0]

    return read


def _repeated(element: str, fixed: int | None) -> _Read:
    """Return what reads a sequence, or ``fixed`` elements."""

    def count(cursor: _Cursor) -> int:
        return cursor.count() if fixed is None else fixed

    if element in _NUMBERS:
        letter = _NUMBERS[element][1]
        size = struct.calcsize(letter)
        return lambda cursor: cursor.numbers(letter, count(cursor), size)
    read = _field(element)
    return lambda cursor: [read(cursor) for _ in range(count(cursor))]
