"""What a camera offers, for the message that says what may be asked of it."""

from collections.abc import Callable, Iterator
from typing import Any

from camera_node import v4l2_abi as abi

Ask = Callable[[int, Any], bool]
"""Sends a request and its argument; tells whether there was an answer."""

_MOST = 100


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
