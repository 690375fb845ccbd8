"""Looks at a JPEG from outside: is it one, is it whole, how large is it. Decodes nothing.

A camera that loses data on the bus delivers the beginning of a JPEG, or its bytes with a hole. The
end is looked for here, behind every header; a hole inside the picture is only found by decoding.
"""

import struct
from dataclasses import dataclass

from so101.errors import BagError

_START, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN = 0xDA
_NOT_A_START_OF_FRAME = frozenset({0xC4, 0xC8, 0xCC})
_COLOURS = 3


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """A whole JPEG.

    Attributes:
        data: From its first marker to its last, without what a driver put behind it.
        height: [px].
        width: [px].
        colours: Number of colour components.
        scan_at: Where the picture itself begins, behind all headers [bytes].
    """

    data: bytes
    height: int
    width: int
    colours: int
    scan_at: int

    @property
    def picture(self) -> bytes:
        """The compressed picture without headers: of two frames, equal when the images are."""
        return self.data[self.scan_at :]


def whole_jpeg(data: bytes) -> Jpeg:
    """Read the headers of a JPEG and find its end.

    Args:
        data: What the camera delivered; bytes behind the end are left out.

    Raises:
        BagError: It is no JPEG, or its end is missing.
    """
    if data[:2] != _START:
        raise BagError(f"no JPEG: starts with {data[:4].hex() or 'nothing'}")
    at, shape = 2, (0, 0, 0)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in _NOT_A_START_OF_FRAME:
            shape = _shape(data, at)
        at += 2 + length
        if marker == _START_OF_SCAN:
            return _closed(data, at, shape)
    raise BagError(f"a truncated JPEG: its headers end after {len(data)} bytes")


def _shape(data: bytes, at: int) -> tuple[int, int, int]:
    if at + 10 > len(data):
        raise BagError(f"a truncated JPEG: its headers end after {len(data)} bytes")
    height, width, colours = struct.unpack_from(">HHB", data, at + 5)
    return height, width, colours


def _closed(data: bytes, scan_at: int, shape: tuple[int, int, int]) -> Jpeg:
    """Inside the picture a byte 0xff is followed by 0, so the first end marker is the end."""
    end = data.find(_END_OF_IMAGE, scan_at)
    if end < 0:
        raise BagError(f"a truncated JPEG: {len(data)} bytes and no end")
    if shape == (0, 0, 0):
        raise BagError("a JPEG without a size")
    height, width, colours = shape
    return Jpeg(data=data[: end + 2], height=height, width=width, colours=colours, scan_at=scan_at)


def check_jpeg(data: bytes, height: int, width: int) -> Jpeg:
    """Return a camera's JPEG if it is what was asked for.

    Args:
        data: What the camera delivered.
        height: Expected [px].
        width: Expected [px].

    Raises:
        BagError: It is no whole JPEG in colour of this size.
    """
    jpeg = whole_jpeg(data)
    if (jpeg.height, jpeg.width) != (height, width):
        raise BagError(f"{jpeg.width}x{jpeg.height} px instead of {width}x{height}")
    if jpeg.colours != _COLOURS:
        raise BagError(f"{jpeg.colours} colour components instead of {_COLOURS}")
    return jpeg
