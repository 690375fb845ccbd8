"""Decodes many messages of one shape at once: a fast path beside the general CDR decoder.

A robot's joint states differ only in stamps and numbers: same names, same sizes, every number at
the same place. Such a run of messages is one table, and its columns are views. Whatever does not
fit returns None and goes through `so101.data.bags.messages` one by one; the values are the same.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.clock import NS_PER_S

_START = 4  # behind the encapsulation header; CDR aligns relative to here
_LITTLE_ENDIAN = b"\x00\x01"
_MAX_TEXTS = 256


class JointTable(NamedTuple):
    """JointState messages of one shape. Arrays of shape (messages, joints), or (messages, 0)."""

    stamps_ns: IntArray
    names: tuple[str, ...]
    positions: FloatArray
    velocities: FloatArray
    effort: FloatArray


class PoseTable(NamedTuple):
    """PoseArray messages of one shape: rows x y z qx qy qz qw. Shape (messages, poses, 7)."""

    stamps_ns: IntArray
    poses: FloatArray


class _Shape:
    """Walks through one message and notes what every other one must share with it."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._at = _START
        self.shared = np.zeros(len(data), dtype=np.bool_)
        self.shared[:2] = True

    def skip_stamp(self) -> None:
        self._at += 8

    def count(self) -> int:
        self._at += -(self._at - _START) % 4
        (value,) = struct.unpack_from("<I", self._data, self._at)
        self._share(4)
        return int(value)

    def text(self) -> str:
        length = self.count()
        raw = bytes(self._data[self._at : self._at + length])
        if len(raw) != length or length < 1:
            raise struct.error("text is cut")
        self._share(length)
        return str(raw[:-1], "utf-8")

    def doubles(self, count: int) -> slice:
        """Return where the next numbers lie; empty when there are none."""
        if not count:
            return slice(self._at, self._at)
        self._at += -(self._at - _START) % 8
        span = slice(self._at, self._at + 8 * count)
        if span.stop > len(self._data):
            raise struct.error("numbers are cut")
        self._at = span.stop
        return span

    @property
    def is_at_end(self) -> bool:
        return self._at <= len(self._data) <= self._at + 3

    def _share(self, size: int) -> None:
        self.shared[self._at : self._at + size] = True
        self._at += size


def joint_table(messages: Sequence[bytes | memoryview]) -> JointTable | None:
    """Decode JointState messages of one shape; None when they are not of one shape."""
    if not messages or bytes(messages[0][:2]) != _LITTLE_ENDIAN:
        return None
    try:
        shape = _Shape(messages[0])
        shape.skip_stamp()
        shape.text()
        joints = shape.count()
        if joints > _MAX_TEXTS:
            return None
        names = tuple(shape.text() for _ in range(joints))
        spans = [shape.doubles(shape.count()) for _ in range(3)]
    except (struct.error, UnicodeDecodeError):
        return None
    table = _table(messages, shape)
    if table is None:
        return None
    positions, velocities, effort = (_numbers(table, span) for span in spans)
    return JointTable(_stamps(table), names, positions, velocities, effort)


def pose_table(messages: Sequence[bytes | memoryview]) -> PoseTable | None:
    """Decode PoseArray messages of one shape; None when they are not of one shape."""
    if not messages or bytes(messages[0][:2]) != _LITTLE_ENDIAN:
        return None
    try:
        shape = _Shape(messages[0])
        shape.skip_stamp()
        shape.text()
        poses = shape.count()
        span = shape.doubles(7 * poses)
    except (struct.error, UnicodeDecodeError):
        return None
    table = _table(messages, shape)
    if table is None:
        return None
    return PoseTable(_stamps(table), _numbers(table, span).reshape(len(table), poses, 7))


def image_content(message: bytes | memoryview) -> tuple[int, bytes] | None:
    """Return stamp [ns] and compressed bytes of a CompressedImage; None when it is unusual."""
    span = image_span(message)
    if span is None:
        return None
    sec, nanosec = struct.unpack_from("<iI", message, _START)
    return sec * NS_PER_S + nanosec, bytes(message[span])


def image_span(message: bytes | memoryview) -> slice | None:
    """Return where the compressed bytes of a CompressedImage lie; None when it is unusual."""
    try:
        if bytes(message[:2]) != _LITTLE_ENDIAN:
            return None
        (length,) = struct.unpack_from("<I", message, _START + 8)
        at = _START + 12 + length
        at += -(at - _START) % 4
        (length,) = struct.unpack_from("<I", message, at)
        at += 4 + length
        at += -(at - _START) % 4
        (size,) = struct.unpack_from("<I", message, at)
    except struct.error:
        return None
    span = slice(at + 4, at + 4 + size)
    if span.stop > len(message) or len(message) > span.stop + 3:
        return None
    return span


def _table(
    messages: Sequence[bytes | memoryview], shape: _Shape
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]] | None:
    size = len(messages[0])
    if not shape.is_at_end or any(len(message) != size for message in messages):
        return None
    table = np.frombuffer(b"".join(messages), dtype=np.uint8).reshape(len(messages), size)
    columns = table[:, shape.shared]
    return table if bool((columns == columns[0]).all()) else None


def _stamps(table: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> IntArray:
    parts = np.ascontiguousarray(table[:, _START : _START + 8])
    seconds = parts[:, :4].copy().view("<i4")[:, 0].astype(np.int64)
    return seconds * NS_PER_S + parts[:, 4:].copy().view("<u4")[:, 0].astype(np.int64)


def _numbers(table: np.ndarray[tuple[int, int], np.dtype[np.uint8]], span: slice) -> FloatArray:
    if span.start == span.stop:
        return np.empty((len(table), 0))
    return np.ascontiguousarray(table[:, span]).view("<f8").astype(np.float64)
