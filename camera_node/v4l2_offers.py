"""What a camera offers, for the message that says what may be asked of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from camera_node import v4l2_abi as abi
from camera_node.kernel import Kernel

Ask = Callable[[int, Any], bool]
"""Sends a request and its argument; tells whether there was an answer."""

_MOST = 100


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A device as it introduces itself.

    Attributes:
        card: What it is called.
        delivers_video: It has pictures; further devices of a camera have only data about them.
        formats: What it offers, for a person.
    """

    card: str
    delivers_video: bool
    formats: str


def look_up(kernel: Kernel, path: str) -> Offer:
    """Return what a device offers, without a picture of it; it may be in use meanwhile.

    Args:
        kernel: System calls.
        path: The device, such as /dev/video2.

    Raises:
        OSError: It is not there, not ours to open, or no such device.
    """
    descriptor = kernel.open(path)
    try:
        found = abi.Capability()
        kernel.ioctl(descriptor, abi.QUERYCAP, found)

        def ask(request: int, argument: Any) -> bool:
            try:
                kernel.ioctl(descriptor, request, argument)
            except OSError:
                return False
            return True

        can = can_of(found)
        delivers = bool(can & abi.CAP_VIDEO_CAPTURE and can & abi.CAP_STREAMING)
        formats = offers(ask) if delivers else ""
        return Offer(card=card_of(found), delivers_video=delivers, formats=formats)
    finally:
        kernel.close(descriptor)


def can_of(found: abi.Capability) -> int:
    """Return the capabilities of a device; those of its driver where it does not say its own."""
    has_own = found.capabilities & abi.CAP_DEVICE_CAPS
    return int(found.device_caps if has_own else found.capabilities)


def card_of(found: abi.Capability) -> str:
    """Return what a device is called."""
    return bytes(found.card).split(b"\0")[0].decode("utf-8", "replace")


def offers(ask: Ask) -> str:
    """List formats, sizes and rates, such as ``MJPG 640x480 (30, 15 Hz); YUYV 320x240 (5 Hz)``."""
    shown = [
        f"{abi.fourcc_text(code)} {', '.join(_sizes(ask, code)) or 'any size'}"
        for code in _formats(ask)
    ]
    return "; ".join(shown) or "no format at all"


def _formats(ask: Ask) -> Iterator[int]:
    for index in range(_MOST):
        found = abi.FormatDescription(index=index, type=abi.CAPTURE)
        if not ask(abi.ENUM_FMT, found):
            return
        yield int(found.pixelformat)


def _sizes(ask: Ask, code: int) -> Iterator[str]:
    for index in range(_MOST):
        found = abi.FrameSize(index=index, pixel_format=code)
        if not ask(abi.ENUM_FRAMESIZES, found) or found.type != abi.DISCRETE:
            return
        rates = ", ".join(_rates(ask, code, found.width, found.height))
        yield f"{found.width}x{found.height}" + (f" ({rates} Hz)" if rates else "")


def _rates(ask: Ask, code: int, width: int, height: int) -> Iterator[str]:
    for index in range(_MOST):
        found = abi.FrameInterval(index=index, pixel_format=code, width=width, height=height)
        if not ask(abi.ENUM_FRAMEINTERVALS, found) or found.type != abi.DISCRETE:
            return
        if found.numerator:
            yield f"{found.denominator / found.numerator:g}"
