"""Laws of uncompressed images: whatever a driver sends, red is red and padding is no picture."""

import sys
import types
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from so101.errors import BagError
from so101.raw_images import LAYOUTS, raw_image

SHAPE = (10, 12)
PICTURE = np.random.default_rng(5).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
MOSAICS = [name for name in LAYOUTS if name.startswith("bayer")]
YUV = ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"]
PLAIN = [name for name in LAYOUTS if name not in (*MOSAICS, *YUV)]
OPENCV = {
    "rgb": None,
    "bgr": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "mono": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,
    "8UC4": cv2.COLOR_BGRA2RGB,
}
UNKNOWN_TO_CV_BRIDGE = {"uyvy", "yuyv"}
"""Newer names of two that it knows."""


def samples_of(encoding):
    """Return noise in an encoding's samples. Shape (height, width, channels)."""
    layout = LAYOUTS[encoding]
    top = 256**layout.sample
    noise = np.random.default_rng(7).integers(0, top, (*SHAPE, layout.channels))
    return noise.astype(f"u{layout.sample}")


def message_of(encoding, samples, *, padding=0, is_bigendian=False):
    """Return an Image whose rows end in `padding` more pixels of nothing."""
    order = ">" if is_bigendian else "<"
    wide = np.pad(samples, ((0, 0), (0, padding), (0, 0)), constant_values=7)
    rows = wide.astype(f"{order}u{samples.itemsize}").reshape(len(wide), -1).view(np.uint8)
    return SimpleNamespace(
        height=samples.shape[0],
        width=samples.shape[1],
        encoding=encoding,
        is_bigendian=int(is_bigendian),
        step=rows.shape[1],
        data=rows.tobytes(),
    )


def opencv_of(encoding, samples):
    """Return what OpenCV's own functions make of it."""
    code = OPENCV[encoding if encoding in OPENCV else encoding.rstrip("0123456789")]
    rgb = samples if code is None else cv2.cvtColor(samples, code)
    return rgb if rgb.dtype == np.uint8 else cv2.convertScaleAbs(rgb, alpha=1 / 257)


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", PLAIN)
def test_colours_are_those_that_opencv_finds(encoding, padding, is_bigendian):
    samples = samples_of(encoding)
    message = message_of(encoding, samples, padding=padding, is_bigendian=is_bigendian)
    np.testing.assert_array_equal(raw_image(message), opencv_of(encoding, samples))


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("encoding", ["rgb16", "mono16"])
def test_16_bits_become_the_same_8(encoding, is_bigendian):
    channels = LAYOUTS[encoding].channels
    samples = PICTURE[:, :, :channels].astype(np.uint16) * 257
    read = raw_image(message_of(encoding, samples, is_bigendian=is_bigendian))
    np.testing.assert_array_equal(read, np.broadcast_to(PICTURE[:, :, :channels], read.shape))


@pytest.mark.parametrize("encoding", MOSAICS)
@pytest.mark.parametrize("padding", [0, 2])
def test_a_mosaic_is_named_after_its_first_four_pixels(encoding, padding):
    """A wall of one colour reads back as that colour, at its edges too."""
    colour = {"r": 200, "g": 90, "b": 30}
    letters = np.array(list(encoding.removeprefix("bayer_")[:4])).reshape(2, 2)
    tile = np.vectorize(colour.get)(letters) * (257 if encoding.endswith("16") else 1)
    samples = np.tile(tile, (SHAPE[0] // 2, SHAPE[1] // 2))[:, :, None]
    samples = samples.astype(f"u{LAYOUTS[encoding].sample}")
    message = message_of(encoding, samples, padding=padding)
    read = raw_image(message)
    np.testing.assert_array_equal(read, np.broadcast_to([200, 90, 30], (*SHAPE, 3)))


@pytest.mark.parametrize("encoding", YUV)
def test_yuv_is_that_of_television(encoding):
    """ITU-R BT.601 with 16 for black; two pixels share a colour. Reckoned here in floats."""
    rng = np.random.default_rng(3)
    y = rng.integers(16, 236, SHAPE)
    u, v = rng.integers(90, 166, (2, SHAPE[0], SHAPE[1] // 2))
    chroma = np.stack((u, v), axis=2).reshape(SHAPE)
    is_uyvy = encoding in ("yuv422", "uyvy")
    samples = np.stack((chroma, y) if is_uyvy else (y, chroma), axis=2).astype(np.uint8)
    light = 255 / 219 * (y - 16.0)
    blue, red = (np.repeat(each, 2, axis=1) - 128.0 for each in (u, v))
    expected = np.stack(
        (light + 1.596 * red, light - 0.392 * blue - 0.813 * red, light + 2.017 * blue), axis=2
    )
    read = raw_image(message_of(encoding, samples, padding=4)).astype(float)
    np.testing.assert_allclose(read, expected.clip(0, 255), atol=1.5)


@pytest.mark.parametrize("encoding", LAYOUTS)
def test_cv_bridge_makes_the_same_of_it(encoding):
    bridge = pytest.importorskip("cv_bridge").CvBridge()
    wanted = "passthrough" if encoding.startswith("8UC") else "rgb8"
    for padding in (0, 4):
        for is_bigendian in (False, True):
            samples = samples_of(encoding)
            message = message_of(encoding, samples, padding=padding, is_bigendian=is_bigendian)
            try:
                theirs = bridge.imgmsg_to_cv2(message, wanted)
            except TypeError:  # its own error is one
                assert encoding in UNKNOWN_TO_CV_BRIDGE
                continue
            if wanted == "passthrough":  # in OpenCV's order, where it has one
                theirs = opencv_of(encoding, theirs)
            np.testing.assert_array_equal(raw_image(message), theirs)


def test_every_encoding_here_is_one_of_ros():
    """Other names would never come."""
    assert set(PLAIN) >= {"rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "rgb16", "8UC3"}
    assert len(MOSAICS) == 8


@pytest.fixture
def cv_bridge(monkeypatch):
    """A stand-in for cv_bridge: it reads what its `reads` returns."""
    module = types.ModuleType("cv_bridge")
    module.asked = []

    def imgmsg_to_cv2(message, desired_encoding):
        module.asked.append((message.encoding, desired_encoding))
        return module.reads(message)

    module.CvBridge = lambda: SimpleNamespace(imgmsg_to_cv2=imgmsg_to_cv2)
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    return module


def odd(encoding="nv24"):
    return message_of(encoding, PICTURE)


def test_what_is_not_in_the_list_is_read_by_cv_bridge(cv_bridge):
    cv_bridge.reads = lambda message: PICTURE
    np.testing.assert_array_equal(raw_image(odd()), PICTURE)
    raw_image(odd("bgr8"))  # in the list: it shows the same with and without cv_bridge
    assert cv_bridge.asked == [("nv24", "rgb8")]


def raising(error):
    def read(message):
        raise error

    return read


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        (raising(TypeError("Unrecognized")), "'nv24'.*cv_bridge does not read it either: Unrec"),
        (raising(ImportError("numpy")), "'nv24'.*cv_bridge may read it, but .*python.*: numpy"),
        (lambda message: PICTURE[:, :, 0], "'nv24'.*cv_bridge made uint8 of"),
        (lambda message: PICTURE / 2, "'nv24'.*cv_bridge made float64 of"),
    ],
)
def test_what_nobody_reads_is_refused_by_name(cv_bridge, reads, words):
    cv_bridge.reads = reads
    with pytest.raises(BagError, match=words):
        raw_image(odd())


def test_without_cv_bridge_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(BagError, match=r"'nv24'.*A distribution's cv_bridge may read it"):
        raw_image(odd())


@pytest.mark.parametrize("encoding", [*LAYOUTS, "nv24"])
def test_sizes_that_contradict_each_other_are_refused(cv_bridge, encoding):
    samples = samples_of(encoding) if encoding in LAYOUTS else PICTURE
    message = message_of(encoding, samples)
    message.data = message.data[:-1]
    with pytest.raises(BagError, match="are not 10 rows"):
        raw_image(message)
    assert not cv_bridge.asked


@pytest.mark.parametrize("encoding", YUV)
def test_half_a_pair_of_pixels_is_refused(encoding):
    message = message_of(encoding, samples_of(encoding)[:, :11])
    with pytest.raises(BagError, match=f"11x10 px of {encoding}"):
        raw_image(message)
