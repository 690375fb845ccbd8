"""The five system calls that a camera is read with, in one place so that tests can stand in."""

import ctypes
import fcntl
import mmap
import os
import select
from typing import Any, Protocol


class Mapped(Protocol):
    """Memory that is shared with the driver."""

    def __getitem__(self, index: slice, /) -> bytes:
        """Copy a part of it."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Kernel(Protocol):
    """System calls as Linux has them; every one may raise OSError with its number."""

    def open(self, path: str) -> int:
        """Open a device without waiting; return its descriptor."""
        ...

    def close(self, descriptor: int) -> None:
        """Close it."""
        ...

    def ioctl(self, descriptor: int, request: int, argument: Any) -> None:
        """Send a request; the driver may change the argument, a ctypes value."""
        ...

    def mmap(self, descriptor: int, length: int, offset: int) -> Mapped:
        """Map memory of the device for reading."""
        ...

    def wait(self, descriptor: int, timeout_s: float) -> bool:
        """Wait until there is something to read, or an error to hear of; tell whether there is."""
        ...


class LinuxKernel:
    """The real ones."""

    def open(self, path: str) -> int:
        """Open a device without waiting; return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        """Close it."""
        os.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: Any) -> None:
        """Send a request; the driver may change the argument, a ctypes value."""
        view = memoryview(argument).cast("B")
        if len(view) != ctypes.sizeof(argument):
            raise ValueError(f"{type(argument).__name__}: {len(view)} bytes to write back")
        fcntl.ioctl(descriptor, request, view, True)

    def mmap(self, descriptor: int, length: int, offset: int) -> mmap.mmap:
        """Map memory of the device for reading."""
        flags, rights = mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(descriptor, length, flags=flags, prot=rights, offset=offset)

    def wait(self, descriptor: int, timeout_s: float) -> bool:
        """Wait until there is something to read, or an error to hear of; tell whether there is."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000.0))
