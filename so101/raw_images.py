"""The one way from an uncompressed image to RGB: what drivers and other recorders send.

Colours, grey, raw sensor mosaics and YUV, of 8 or 16 bits, with padded rows, of either byte order.
What is not in the list goes to cv_bridge, which a ROS distribution has; without it, it is refused.
The list never goes there: a bag shows the same pixels on every machine.
"""

import sys
from importlib import import_module
from typing import Any, NamedTuple

import cv2
import numpy as np

from so101.arrays import ImageArray
from so101.errors import BagError
from so101.images import MAX_IMAGE_SIDE

_RGB, _BGR, _GREY = (0, 1, 2), (2, 1, 0), (0, 0, 0)
_TO_8_BIT = 255.0 / 65535.0


class _Layout(NamedTuple):
    """How a pixel lies in memory.

    Attributes:
        sample: Bytes of a sample.
        channels: Samples of a pixel.
        order: Which of them are red, green and blue; empty where OpenCV has to compute these.
        code: OpenCV's name of that computation.
    """

    sample: int
    channels: int
    order: tuple[int, ...] = ()
    code: int = 0


_UYVY = _Layout(1, 2, code=cv2.COLOR_YUV2RGB_UYVY)
_YUYV = _Layout(1, 2, code=cv2.COLOR_YUV2RGB_YUY2)
# ROS names a mosaic by its first pixels, OpenCV by the pixel at (1, 1) and its neighbour.
_MOSAICS = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
LAYOUTS: dict[str, _Layout] = {
    **{f"rgb{8 * size}": _Layout(size, 3, _RGB) for size in (1, 2)},
    **{f"bgr{8 * size}": _Layout(size, 3, _BGR) for size in (1, 2)},
    **{f"rgba{8 * size}": _Layout(size, 4, _RGB) for size in (1, 2)},
    **{f"bgra{8 * size}": _Layout(size, 4, _BGR) for size in (1, 2)},
    **{f"mono{8 * size}": _Layout(size, 1, _GREY) for size in (1, 2)},
    # No colours are said; who sends these has them from OpenCV, in OpenCV's order.
    "8UC1": _Layout(1, 1, _GREY),
    "8UC3": _Layout(1, 3, _BGR),
    "8UC4": _Layout(1, 4, _BGR),
    **{
        f"bayer_{name}{8 * size}": _Layout(size, 1, code=code)
        for name, code in _MOSAICS.items()
        for size in (1, 2)
    },
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
}
"""Every encoding that is read without cv_bridge."""


def raw_image(message: Any) -> ImageArray:
    """Read an Image message as RGB. Returns uint8 of shape (height, width, 3).

    16 bits are scaled to 8. The alpha channel is left out.

    Raises:
        BagError: Nobody here reads its encoding, or its sizes contradict each other.
    """
    height, width = int(message.height), int(message.width)
    if not (1 <= height <= MAX_IMAGE_SIDE and 1 <= width <= MAX_IMAGE_SIDE):
        raise BagError(f"image: {width}x{height} px is outside 1..{MAX_IMAGE_SIDE}")
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        return _by_cv_bridge(message)
    samples = _samples(message, layout)
    if layout.order:
        return _eight_bits(samples[:, :, list(layout.order)])
    try:
        return _eight_bits(cv2.cvtColor(samples, layout.code))
    except cv2.error as error:
        raise BagError(f"image: {width}x{height} px of {message.encoding}: {error}") from error


def _samples(message: Any, layout: _Layout) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the samples without padding, in this machine's byte order.

    Shape (height, width, channels), uint8 or uint16.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    row, data = width * layout.channels * layout.sample, _bytes(message)
    if step < row or len(data) != step * height:
        raise BagError(
            f"image: {len(data)} bytes are not {height} rows of {step} for {width} px each"
        )
    rows = np.ascontiguousarray(data.reshape(height, step)[:, :row])
    kind = np.dtype(f"{'>' if message.is_bigendian else '<'}u{layout.sample}")
    samples = rows.view(kind).reshape(height, width, layout.channels)
    return samples.astype(kind.newbyteorder("="), copy=False)


def _eight_bits(samples: np.ndarray[Any, np.dtype[Any]]) -> ImageArray:
    if samples.dtype == np.uint8:
        return np.ascontiguousarray(samples)
    return np.rint(samples * _TO_8_BIT).astype(np.uint8)


def _bytes(message: Any) -> ImageArray:
    """Return the data, which is an array of bytes in a live message and NumPy's in a bag."""
    data = message.data
    if isinstance(data, np.ndarray):
        return data.astype(np.uint8, copy=False)
    return np.frombuffer(data, dtype=np.uint8)


def _by_cv_bridge(message: Any) -> ImageArray:
    """Let cv_bridge read what this file does not. Built for another NumPy, it does not load."""
    what = f"image: encoding {str(message.encoding)[:60]!r} is not one of {', '.join(LAYOUTS)}"
    if len(message.data) != int(message.step) * int(message.height):
        raise BagError(f"{what}, and {len(message.data)} bytes are not {message.height} rows")
    try:
        bridge = import_module("cv_bridge").CvBridge()
        pixels = np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="rgb8"))
    except ImportError as error:
        raise BagError(
            f"{what}. A distribution's cv_bridge may read it, but {sys.executable} cannot load "
            f"that: {error}"
        ) from error
    except (RuntimeError, TypeError, ValueError, cv2.error) as error:
        raise BagError(f"{what}, and cv_bridge does not read it either: {error}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (message.height, message.width, 3):
        raise BagError(f"{what}, and cv_bridge made {pixels.dtype} of {pixels.shape} of it")
    return np.ascontiguousarray(pixels)
