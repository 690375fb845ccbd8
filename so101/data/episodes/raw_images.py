"""Uncompressed images of other recorders, as the compressed ones that an episode holds."""

from typing import Any

import numpy as np

from so101.arrays import ImageArray
from so101.errors import BagError
from so101.images import MAX_IMAGE_SIDE, encode_png

_TO_RGB: dict[str, tuple[int, list[int]]] = {
    "rgb8": (3, [0, 1, 2]),
    "bgr8": (3, [2, 1, 0]),
    "rgba8": (4, [0, 1, 2]),
    "bgra8": (4, [2, 1, 0]),
    "mono8": (1, [0, 0, 0]),
}
"""Encoding to its channels, and to which of them are red, green and blue."""


def raw_image(message: Any) -> ImageArray:
    """Read an Image. Returns RGB of shape (height, width, 3).

    Raises:
        BagError: Its encoding is not supported, or its sizes contradict each other.
    """
    known = _TO_RGB.get(message.encoding)
    if known is None:
        allowed = ", ".join(_TO_RGB)
        raise BagError(f"image: encoding {message.encoding[:60]!r} is not one of {allowed}")
    channels, order = known
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not (1 <= height <= MAX_IMAGE_SIDE and 1 <= width <= MAX_IMAGE_SIDE):
        raise BagError(f"image: {width}x{height} px is outside 1..{MAX_IMAGE_SIDE}")
    row, data = width * channels, np.asarray(message.data, dtype=np.uint8)
    if step < row or len(data) != step * height:
        raise BagError(
            f"image: {len(data)} bytes are not {height} rows of {step} for {width} px each"
        )
    pixels = data.reshape(height, step)[:, :row].reshape(height, width, channels)
    return np.ascontiguousarray(pixels[:, :, order])


def compressed(message: Any) -> bytes:
    """Return an Image as PNG, which loses nothing; see `raw_image`."""
    return encode_png(raw_image(message))
