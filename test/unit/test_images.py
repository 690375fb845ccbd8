"""Laws of image decoding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import BagError
from so101.images import decode_image, encode_jpeg, image_shape


def gradient(height: int, width: int) -> np.ndarray:
    rows = np.linspace(0, 200, height)[:, None, None]
    columns = np.linspace(0, 50, width)[None, :, None]
    return (rows + columns + np.array([0, 2, 5])).astype(np.uint8)


def test_colours_keep_their_order():
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    image[..., 0] = 200
    decoded = decode_image(encode_jpeg(image))
    assert decoded[..., 0].mean() > 190
    assert decoded[..., 2].mean() < 10


@pytest.mark.parametrize("size", [(0, 0), (240, 320), (96, 96), (224, 224), (30, 40), (7, 11)])
def test_a_smaller_picture_shows_the_same(size):
    image = gradient(240, 320)
    decoded = decode_image(encode_jpeg(image, 95), size)
    expected = (240, 320) if size == (0, 0) else size
    assert decoded.shape == (*expected, 3)
    assert image_shape(encode_jpeg(image)) == (240, 320)
    rows = np.linspace(0, 239, expected[0] * 2 + 1)[1::2]
    columns = np.linspace(0, 319, expected[1] * 2 + 1)[1::2]
    there = image[np.ix_(rows.round().astype(int), columns.round().astype(int))]
    assert np.abs(decoded.astype(int) - there.astype(int)).mean() < 3


def test_decoding_is_a_function():
    jpeg = encode_jpeg(gradient(48, 64))
    np.testing.assert_array_equal(decode_image(jpeg, (24, 24)), decode_image(jpeg, (24, 24)))


@given(st.data())
def test_damaged_images_are_refused_or_decoded_but_never_crash(data):
    jpeg = bytearray(encode_jpeg(gradient(24, 32)))
    for _ in range(data.draw(st.integers(1, 4))):
        jpeg[data.draw(st.integers(0, len(jpeg) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(jpeg)))
    try:
        decoded = decode_image(bytes(jpeg[:cut]), (12, 16))
    except BagError:
        return
    assert decoded.shape == (12, 16, 3)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"GIF89a", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(BagError, match="image"):
        decode_image(data)


def test_a_picture_larger_than_any_camera_is_refused_before_decoding():
    jpeg = bytearray(encode_jpeg(gradient(24, 32)))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(BagError, match="65535x65535"):
        decode_image(bytes(jpeg))
