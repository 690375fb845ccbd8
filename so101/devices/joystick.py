"""Reads a gamepad from Linux's ``/dev/input/js*``. Nothing is published here.

The kernel tells changes only, eight bytes each; at the opening it tells the whole state. A pad
that is held still is therefore silent, and its loss is known from what reading says: the end of
the file, or an error such as ENODEV. A wireless pad that is out of reach is lost when the kernel
notices it.
"""

import os
import struct
from pathlib import Path
from typing import TypeVar

from so101.devices.sticks import MOST, Sticks
from so101.errors import HardwareError

T = TypeVar("T")

_EVENT = struct.Struct("<IhBB")  # time [ms], value, kind, number
_BUTTON, _AXIS, _INITIAL = 0x01, 0x02, 0x80
_FULL = 32767
_CHUNK = _EVENT.size * 64


class Joystick:
    """One opened gamepad. Reading never waits."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            HardwareError: It is not there, or may not be read.
        """
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise HardwareError(f"{path}: cannot be opened: {error.strerror}") from error
        self._rest = b""
        self._axes: list[float] = []
        self._buttons: list[bool] = []

    def look(self) -> list[Sticks]:
        """Return what became of sticks and buttons since the last look.

        One reading after every change of a button, so that no short press is missed, and one of
        now; none before the kernel has told anything.

        Raises:
            HardwareError: The pad is gone; close it and open it again later.
        """
        readings: list[Sticks] = []
        while data := self._read():
            data = self._rest + data
            whole = len(data) - len(data) % _EVENT.size
            for _, value, kind, number in _EVENT.iter_unpack(data[:whole]):
                self._take(value, kind & ~_INITIAL, number)
                if kind == _BUTTON:
                    readings.append(self._now())
            self._rest = data[whole:]
        return [*readings, self._now()] if self._axes or self._buttons else []

    def _now(self) -> Sticks:
        return Sticks(axes=tuple(self._axes), buttons=tuple(self._buttons))

    def close(self) -> None:
        """Close it; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> bytes:
        """Return what has come, or nothing; the end of the file is no pad any more."""
        try:
            data = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise HardwareError(f"{self._path}: gone: {error.strerror}") from error
        if not data:
            raise HardwareError(f"{self._path}: gone: it was closed")
        return data

    def _take(self, value: int, kind: int, number: int) -> None:
        if number >= MOST:
            return
        if kind == _AXIS:
            _put(self._axes, number, max(-1.0, min(1.0, -value / _FULL)), 0.0)
        elif kind == _BUTTON:
            _put(self._buttons, number, value != 0, False)


def _put(values: list[T], number: int, value: T, empty: T) -> None:
    values.extend([empty] * (number + 1 - len(values)))
    values[number] = value
