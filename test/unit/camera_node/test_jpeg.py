"""What counts as a whole JPEG, without decoding it."""

import struct

import cv2
import numpy as np
import pytest
from camera_scenes import picture
from hypothesis import given
from hypothesis import strategies as st

from camera_node.jpeg import check_jpeg, whole_jpeg
from so101.errors import BagError
from so101.images import decode_image, image_shape

WHOLE = picture(1)


def segments(data):
    """Return (marker, start, end) of every header of a JPEG."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        found.append((data[at + 1], at, end))
        at = end
    return found


@pytest.mark.case(30)
@given(st.integers(0, len(WHOLE) - 1))
def test_no_beginning_of_a_jpeg_is_whole(length):
    with pytest.raises(BagError):
        whole_jpeg(WHOLE[:length])


@given(st.binary(max_size=200))
def test_whatever_it_is_given_it_answers_or_refuses(data):
    for bytes_ in (data, b"\xff\xd8" + data, WHOLE[:300] + data):
        try:
            whole_jpeg(bytes_)
        except BagError:
            continue


@given(st.binary(max_size=100), st.integers(0, 50), st.tuples(*[st.integers(1, 70)] * 2))
def test_what_a_driver_puts_behind_the_end_is_left_out(behind, number, size):
    whole = picture(number, size)
    found = whole_jpeg(whole + behind)
    assert found.data == whole
    assert (found.height, found.width) == size == image_shape(whole)
    assert whole.endswith(found.picture) and found.picture.endswith(b"\xff\xd9")


def test_an_end_inside_a_header_is_not_the_end():
    """A thumbnail is a JPEG in a header."""
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(WHOLE)) + WHOLE
    data = WHOLE[:2] + thumbnail + WHOLE[2:]
    assert whole_jpeg(data).data == data
    with pytest.raises(BagError, match="truncated"):
        whole_jpeg(data[:-2])


def test_headers_that_count_frames_do_not_make_another_picture():
    comments = [b"\xff\xfe" + struct.pack(">H", 4) + bytes((0, n)) for n in range(2)]
    one, other = (whole_jpeg(WHOLE[:2] + comment + WHOLE[2:]) for comment in comments)
    assert one.data != other.data and one.picture == other.picture


@pytest.mark.case(30)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (picture(1, (24, 32)), "32x24 px instead of 64x48"),
        (bytes(64 * 48 * 2), "no JPEG"),  # raw YUYV
        (cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes(), "no JPEG"),
        (cv2.imencode(".jpg", np.zeros((48, 64), np.uint8))[1].tobytes(), "1 colour"),
        (WHOLE[: len(WHOLE) // 2], "truncated"),
        (b"", "nothing"),
    ],
)
def test_another_size_or_encoding_is_refused(data, words):
    with pytest.raises(BagError, match=words):
        check_jpeg(data, 48, 64)


def test_a_jpeg_without_huffman_tables_passes_and_is_decoded():
    """Many USB cameras leave out the tables that every Motion-JPEG shares."""
    tables = [(start, end) for marker, start, end in segments(WHOLE) if marker == 0xC4]
    assert tables
    bare = WHOLE
    for start, end in reversed(tables):
        bare = bare[:start] + bare[end:]
    assert check_jpeg(bare, 48, 64).data == bare
    np.testing.assert_array_equal(decode_image(bare), decode_image(WHOLE))
