"""Compressed images from the network: refused before they can cost more than a camera's would.

A few kilobytes may stand for gigabytes of pixels, or for hours of work: an image can claim any
size, and a progressive JPEG can repaint all of it in each of thousands of passes.
"""

import numpy as np

from so101.arrays import ImageArray
from so101.errors import BagError, ObservationError
from so101.images import decode_into, image_shape
from so101.policies.remote.messages import Compressed

MAX_PIXELS = 2_500_000
"""A full HD frame has 2.1 million."""

MAX_SCANS = 32
"""Passes of a progressive JPEG; cameras' have one, encoders write about ten."""

_START_OF_SCAN = b"\xff\xda"


def decode_received(camera: str, data: Compressed, size: tuple[int, int]) -> ImageArray:
    """Decode a JPEG or PNG to RGB at a policy's size.

    Args:
        camera: Its id, for errors.
        data: The compressed image.
        size: Height and width [px]; (0, 0) as it is.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        ObservationError: It is none, or asks for too much.
    """
    try:
        height, width = image_shape(data)
    except BagError as error:
        raise ObservationError(f"observation: camera {camera[:40]!r}: {error}") from error
    if height * width > MAX_PIXELS:
        raise ObservationError(
            f"observation: camera {camera[:40]!r}: {width}x{height} px, allowed {MAX_PIXELS}"
        )
    if bytes(data).count(_START_OF_SCAN) > MAX_SCANS:
        raise ObservationError(f"observation: camera {camera[:40]!r}: more than {MAX_SCANS} scans")
    pixels = np.empty((*(size if size != (0, 0) else (height, width)), 3), dtype=np.uint8)
    try:
        decode_into(np.frombuffer(data, dtype=np.uint8), pixels)
    except BagError as error:
        raise ObservationError(
            f"observation: camera {camera[:40]!r}: {len(data)} bytes cannot be decoded"
        ) from error
    return pixels
