"""Images from the network: a camera's pass, bombs do not."""

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from so101.errors import ObservationError, ProtocolError
from so101.images import decode_image, encode_jpeg, encode_png
from so101.policies.remote.server.received_images import MAX_SCANS, check_received, decode_received

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def claimed(jpeg, height, width):
    """Return a JPEG whose header claims another size."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def png_bomb(side):
    """Return a small PNG of black pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (1 + 3 * side) * side, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
@pytest.mark.parametrize("size", [(0, 0), (24, 32)])
def test_what_a_policy_sees_is_what_a_local_one_would(encode, size):
    data = encode(PICTURE)
    found = decode_received("front", memoryview(data), size)
    assert np.array_equal(found, decode_image(data, size))


def test_a_camera_in_full_hd_passes():
    assert decode_received("front", encode_jpeg(WIDE), (224, 224)).shape == (224, 224, 3)


def test_a_progressive_jpeg_passes():
    done, data = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert done
    assert decode_received("front", bytes(data), (60, 80)).shape == (60, 80, 3)


JPEG = encode_jpeg(PICTURE)
WIDE = np.zeros((1080, 1920, 3), dtype=np.uint8)
SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
BOMBS = {
    "a JPEG bomb": claimed(JPEG, 8000, 8000),
    "a JPEG of 8192": claimed(JPEG, 8192, 8192),
    "a PNG bomb": png_bomb(6000),
    "thousands of passes": JPEG[:-2] + SCAN * (MAX_SCANS + 1),
}
BROKEN = {
    "nothing": b"",
    "no image": b"hello" * 20,
    "a JPEG's first bytes": JPEG[:20],
    "larger than any camera's": claimed(JPEG, 60_000, 60_000),
    "a JPEG of no height": claimed(JPEG, 0, 80),
    "a PNG without pixels": encode_png(PICTURE)[:60],
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_by_its_header(data):
    tracemalloc.start()
    with pytest.raises(ProtocolError, match="camera 'front'") as caught:
        check_received("front", data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_image_is_the_observations_fault(data):
    check_received("front", data)
    with pytest.raises(ObservationError, match="camera 'front'") as caught:
        decode_received("front", data, (24, 24))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("data", [JPEG, encode_png(PICTURE), encode_jpeg(WIDE)])
def test_a_cameras_image_passes(data):
    check_received("front", memoryview(data))
