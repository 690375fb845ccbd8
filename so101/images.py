"""The one way from a camera's compressed image to the pixels a policy sees."""

import struct

import cv2
import numpy as np

from so101.arrays import ImageArray
from so101.errors import BagError

MAX_IMAGE_SIDE = 8192
DECODE_VERSION = 1
"""Of the rule below. Raised whenever the same image would become other pixels."""

_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PNG = b"\x89PNG\r\n\x1a\n"
_NOT_A_START_OF_FRAME = frozenset({0xC4, 0xC8, 0xCC})


def image_shape(data: bytes | memoryview) -> tuple[int, int]:
    """Read height and width of a JPEG or PNG from its header [px].

    Raises:
        BagError: The data is neither, has no header, or the image is larger than any camera's.
    """
    if data[:2] == b"\xff\xd8":
        shape = _jpeg_shape(data)
    elif data[:8] == _PNG and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        shape = (height, width)
    else:
        raise BagError(f"image: neither JPEG nor PNG, starts with {bytes(data[:8]).hex()!r}")
    if not (1 <= shape[0] <= MAX_IMAGE_SIDE and 1 <= shape[1] <= MAX_IMAGE_SIDE):
        raise BagError(f"image: {shape[1]}x{shape[0]} px is outside 1..{MAX_IMAGE_SIDE}")
    return shape


def decode_image(data: bytes, size: tuple[int, int] = (0, 0)) -> ImageArray:
    """Decode a JPEG or PNG to RGB and shrink it to a policy's size.

    A JPEG is decoded at the smallest scale that is no smaller than the result, which costs a
    fraction of a full decode.

    Args:
        data: The compressed image.
        size: Height and width [px]; (0, 0) as recorded.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        BagError: It cannot be decoded.
    """
    pixels = np.empty((*(size if size != (0, 0) else image_shape(data)), 3), dtype=np.uint8)
    decode_into(np.frombuffer(data, dtype=np.uint8), pixels)
    return pixels


def decode_into(data: ImageArray, pixels: ImageArray) -> None:
    """Decode a JPEG or PNG into a picture that is already there; see `decode_image`.

    Args:
        data: The compressed image. Shape (bytes,).
        pixels: Overwritten with the RGB picture; contiguous. Shape (height, width, 3).

    Raises:
        BagError: It cannot be decoded.
    """
    height, width = pixels.shape[:2]
    recorded = image_shape(memoryview(data))
    room = min(recorded[0] // height, recorded[1] // width)
    scale = max(s for s in _FLAGS if s == 1 or s <= room)
    try:
        image = cv2.imdecode(data, _FLAGS[scale])
    except cv2.error as error:
        raise BagError(f"image: cannot be decoded: {error}") from error
    if image is None:
        raise BagError(f"image: {len(data)} bytes cannot be decoded")
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=pixels)


def encode_jpeg(image: ImageArray, quality: int = 90) -> bytes:
    """Compress an RGB image, the (lossy) inverse of `decode_image`.

    Args:
        image: uint8 of shape (height, width, 3).
        quality: 1 to 100.
    """
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise BagError(f"image of shape {image.shape} cannot be compressed")
    return bytes(data)


def encode_png(image: ImageArray) -> bytes:
    """Compress an RGB image without loss, the inverse of `decode_image`.

    Args:
        image: uint8 of shape (height, width, 3).
    """
    done, data = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise BagError(f"image of shape {image.shape} cannot be compressed")
    return bytes(data)


def _jpeg_shape(data: bytes | memoryview) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NOT_A_START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise BagError("image: a JPEG without a frame header")
