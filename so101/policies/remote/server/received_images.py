"""Compressed images from the network: refused before they can cost more than a camera's would.

A few kilobytes may stand for gigabytes of pixels, or for hours of work: an image can claim any
size, and a progressive JPEG can repaint all of it in each of thousands of passes.
"""

from contextlib import suppress

import numpy as np

from so101.arrays import ImageArray
from so101.errors import BagError, ObservationError, ProtocolError
from so101.images import decode_into, image_shape
from so101.policies.remote.wire.messages import Compressed

MAX_PIXELS = 2_500_000
"""A full HD frame has 2.1 million."""

MAX_SCANS = 32
"""Passes of a progressive JPEG; cameras' have one, encoders write about ten."""

_START_OF_SCAN = b"\xff\xda"


def check_received(camera: str, data: Compressed) -> None:
    """Refuse an image that asks for more than a camera's would, by its header alone.

    What is no image at all passes: a camera may fail, and decoding will say so.

    Args:
        camera: Its id, for errors.
        data: The compressed image.

    Raises:
        ProtocolError: It is too large, or has too many passes.
    """
    with suppress(BagError):
        height, width = image_shape(data)
        if height * width > MAX_PIXELS:
            raise ProtocolError(
                f"camera {camera[:40]!r}: {width}x{height} px, allowed {MAX_PIXELS}"
            )
    if bytes(data).count(_START_OF_SCAN) > MAX_SCANS:
        raise ProtocolError(f"camera {camera[:40]!r}: more than {MAX_SCANS} passes")


def decode_received(camera: str, data: Compressed, size: tuple[int, int]) -> ImageArray:
    """Decode a JPEG or PNG that passed `check_received` to RGB at a policy's size.

    Args:
        camera: Its id, for errors.
        data: The compressed image.
        size: Height and width [px]; (0, 0) as it is.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        ObservationError: It is none.
    """
    try:
        shape = image_shape(data)
    except BagError as error:
        raise ObservationError(f"observation: camera {camera[:40]!r}: {error}") from error
    pixels = np.empty((*(size if size != (0, 0) else shape), 3), dtype=np.uint8)
    try:
        decode_into(np.frombuffer(data, dtype=np.uint8), pixels)
    except BagError as error:
        raise ObservationError(
            f"observation: camera {camera[:40]!r}: {len(data)} bytes cannot be decoded"
        ) from error
    return pixels
