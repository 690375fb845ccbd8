"""A USB camera through Linux's video4linux2: its own JPEGs, its driver's capture times.

Asks for Motion-JPEG of one size and rate and takes nothing else. Frames are copied out of the
driver's buffers as they are; nothing is decoded or encoded.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_int32
from typing import Any, TypeVar

from camera_node import v4l2_abi as abi
from camera_node.devices import resolve
from camera_node.kernel import Kernel, LinuxKernel, Mapped
from camera_node.source import Frame, Wanted
from camera_node.v4l2_offers import can_of, card_of, offers
from so101.clock import NS_PER_S
from so101.errors import ConfigError, HardwareError

BUFFERS = 4
"""Frames the driver may keep for us while we are held up."""

_FEWEST = 2
_RATE_SLACK = 0.01
_SEQUENCES = 2**32

_Argument = TypeVar("_Argument")


class V4l2Source:
    """A camera of the kernel; see `camera_node.source.FrameSource`."""

    def __init__(
        self,
        device: str,
        wanted: Wanted,
        kernel: Kernel | None = None,
        find: Callable[[str], str] = resolve,
    ) -> None:
        """Open nothing yet.

        Args:
            device: Its stable name.
            wanted: Size and rate.
            kernel: System calls; None for the real ones.
            find: Returns the device that a stable name means now.
        """
        self._device = device
        self._wanted = wanted
        self._kernel: Kernel = kernel or LinuxKernel()
        self._find = find
        self._descriptor: int | None = None
        self._memory: list[Mapped] = []
        self._sequence: int | None = None

    def open(self) -> str:
        """Begin to stream.

        Returns:
            Name, size and rate, for a person.

        Raises:
            HardwareError: The camera is not there or refuses to work.
            ConfigError: It does not offer Motion-JPEG of this size and rate.
        """
        self.close()
        path = self._find(self._device)
        try:
            self._descriptor = self._kernel.open(path)
            card = self._check_device()
            self._set_format()
            rate = self._set_rate()
            self._map_buffers()
            self._send(abi.STREAMON, c_int32(abi.CAPTURE))
        except OSError as error:
            self.close()
            raise HardwareError(f"{self._device}: {_words(error)}") from error
        except BaseException:
            self.close()
            raise
        return f"{card} ({path}), {self._wanted.width}x{self._wanted.height} MJPG, {rate}"

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame; None when there is none in time.

        Raises:
            HardwareError: The camera is gone, or does not say when it took a frame.
        """
        if self._descriptor is None:
            raise HardwareError(f"{self._device}: not open")
        try:
            if not self._kernel.wait(self._descriptor, timeout_s):
                return None
            buffer = self._send(abi.DQBUF, abi.Buffer(type=abi.CAPTURE, memory=abi.MMAP))
            if buffer.index >= len(self._memory):
                raise HardwareError(f"{self._device}: no buffer {buffer.index}")
            data = self._memory[buffer.index][: buffer.bytesused]
            self._send(abi.QBUF, abi.Buffer(index=buffer.index, type=abi.CAPTURE, memory=abi.MMAP))
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return None
            raise HardwareError(f"{self._device}: {_words(error)}") from error
        return self._frame(data, buffer)

    def close(self) -> None:
        """Stop streaming and let go of the camera, also of one that is gone."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):  # it may be gone
                self._kernel.ioctl(descriptor, abi.STREAMOFF, c_int32(abi.CAPTURE))
        for memory in self._memory:
            memory.close()
        self._memory.clear()
        self._sequence = None
        if descriptor is not None:
            self._kernel.close(descriptor)

    def _frame(self, data: bytes, buffer: abi.Buffer) -> Frame:
        if buffer.flags & abi.FLAG_TIMESTAMP_MASK != abi.FLAG_TIMESTAMP_MONOTONIC:
            raise HardwareError(
                f"{self._device}: its driver does not stamp frames by the monotonic clock; "
                "without capture times, choose backend: opencv"
            )
        before, self._sequence = self._sequence, buffer.sequence
        lost = 0 if before is None else (buffer.sequence - before - 1) % _SEQUENCES
        return Frame(
            jpeg=data,
            captured_ns=buffer.timestamp.tv_sec * NS_PER_S + buffer.timestamp.tv_usec * 1000,
            lost=lost,
            problem="damaged on its way" if buffer.flags & abi.FLAG_ERROR else "",
        )

    def _check_device(self) -> str:
        found = self._send(abi.QUERYCAP, abi.Capability())
        can = can_of(found)
        if not (can & abi.CAP_VIDEO_CAPTURE and can & abi.CAP_STREAMING):
            raise ConfigError(f"device: {self._device} delivers no video; is it the right one?")
        return card_of(found)

    def _set_format(self) -> None:
        """A driver takes any request and answers with what it will do."""
        asked = abi.Format(type=abi.CAPTURE)
        pix, wanted = asked.fmt.pix, self._wanted
        pix.width, pix.height = wanted.width, wanted.height
        pix.pixelformat, pix.field = abi.MJPEG, abi.ANY_FIELD
        given = self._send(abi.S_FMT, asked).fmt.pix
        if (given.width, given.height, given.pixelformat) != (
            wanted.width,
            wanted.height,
            abi.MJPEG,
        ):
            name = abi.fourcc_text(given.pixelformat)
            raise ConfigError(
                f"{self._device}: asked for {wanted.width}x{wanted.height} MJPG, it would give "
                f"{given.width}x{given.height} {name}; it offers {offers(self._try)}"
            )

    def _set_rate(self) -> str:
        """Ask for the rate; a driver that has no say in it is measured by the watchdog."""
        asked = abi.StreamParameters(type=abi.CAPTURE)
        asked.parm.capture.timeperframe = abi.Fraction(1, self._wanted.rate_hz)
        try:
            given = self._send(abi.S_PARM, asked).parm.capture
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return "rate not known"
            raise
        period = given.timeperframe
        if not given.capability & abi.CAP_TIMEPERFRAME or not period.numerator:
            return "rate not known"
        rate = period.denominator / period.numerator
        if abs(rate - self._wanted.rate_hz) > _RATE_SLACK * self._wanted.rate_hz:
            raise ConfigError(
                f"{self._device}: asked for {self._wanted}, it would give {rate:g} Hz; "
                f"it offers {offers(self._try)}"
            )
        return f"{rate:g} Hz"

    def _map_buffers(self) -> None:
        request = abi.BufferRequest(count=BUFFERS, type=abi.CAPTURE, memory=abi.MMAP)
        given = self._send(abi.REQBUFS, request).count
        if given < _FEWEST:
            raise HardwareError(f"{self._device}: has only {given} buffers")
        for index in range(given):
            buffer = abi.Buffer(index=index, type=abi.CAPTURE, memory=abi.MMAP)
            self._send(abi.QUERYBUF, buffer)
            place = (buffer.length, buffer.m.offset)
            self._memory.append(self._kernel.mmap(self._opened(), *place))
            self._send(abi.QBUF, buffer)

    def _opened(self) -> int:
        if self._descriptor is None:
            raise HardwareError(f"{self._device}: not open")
        return self._descriptor

    def _send(self, request: int, argument: _Argument) -> _Argument:
        self._kernel.ioctl(self._opened(), request, argument)
        return argument

    def _try(self, request: int, argument: Any) -> bool:
        """Send a request that ends an enumeration by an error."""
        try:
            self._send(request, argument)
        except OSError:
            return False
        return True


def _words(error: OSError) -> str:
    if error.errno in (errno.ENODEV, errno.EIO, errno.ENXIO):
        return f"unplugged or failed ({error.strerror})"
    if error.errno == errno.EBUSY:
        return f"in use by another program ({error.strerror})"
    if error.errno == errno.EACCES:
        return f"may not be opened ({error.strerror}): is the user in the group video?"
    return str(error.strerror or error)
