"""Structures and request codes of video4linux2 against what Linux has."""

import ctypes
import re
import sys
from pathlib import Path

import pytest

from camera_node import v4l2_abi as abi

HEADER = Path("/usr/include/linux/videodev2.h")

pytestmark = pytest.mark.skipif(sys.maxsize < 2**32, reason="written for 64-bit machines")

# As strace and the kernel's documentation show them on 64-bit machines.
CODES = {
    "QUERYCAP": 0x80685600,
    "ENUM_FMT": 0xC0405602,
    "S_FMT": 0xC0D05605,
    "REQBUFS": 0xC0145608,
    "QUERYBUF": 0xC0585609,
    "QBUF": 0xC058560F,
    "DQBUF": 0xC0585611,
    "STREAMON": 0x40045612,
    "STREAMOFF": 0x40045613,
    "S_PARM": 0xC0CC5616,
    "ENUM_FRAMESIZES": 0xC02C564A,
    "ENUM_FRAMEINTERVALS": 0xC034564B,
}
STRUCTURES = {
    "v4l2_capability": abi.Capability,
    "v4l2_fmtdesc": abi.FormatDescription,
    "v4l2_pix_format": abi.PixelFormat,
    "v4l2_captureparm": abi.CaptureParameters,
    "v4l2_requestbuffers": abi.BufferRequest,
    "v4l2_timecode": abi.TimeCode,
    "v4l2_buffer": abi.Buffer,
    "v4l2_frmsizeenum": abi.FrameSize,
    "v4l2_frmivalenum": abi.FrameInterval,
    "v4l2_fract": abi.Fraction,
}


@pytest.fixture(scope="module")
def header():
    if not HEADER.exists():
        pytest.skip("linux-libc-dev is not installed")
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("name", CODES)
def test_a_request_code_is_linuxs(name):
    assert getattr(abi, name) == CODES[name]


def test_every_request_is_checked():
    requests = {n for n in dir(abi) if n.isupper() and getattr(abi, n) >> 8 & 0xFF == ord("V")}
    assert requests - {"MJPEG"} == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_number_and_direction_of_a_request_are_the_headers(header, name):
    found = re.search(rf"#define VIDIOC_{name}\s+_(IOW?R?)\('V',\s*(\d+),\s*([\w ]+)\)", header)
    direction, number, kind = found.groups()
    code = getattr(abi, name)
    assert code & 0xFF == int(number)
    assert code >> 30 == {"IOW": 1, "IOR": 2, "IOWR": 3}[direction]
    kinds = {**STRUCTURES, "v4l2_format": abi.Format, "v4l2_streamparm": abi.StreamParameters}
    size = 4 if kind == "int" else ctypes.sizeof(kinds[kind.split()[1]])
    assert code >> 16 & 0x3FFF == size


def top_level_names(body):
    """Return the fields of a structure; of a union the name behind it, or its first field's."""
    names, depth, union = [], 0, []
    for line in body.splitlines():
        line = line.strip()
        if line.startswith("union"):
            depth, union = 1, []
        elif depth and line.startswith("}"):
            depth = 0
            named = re.match(r"\}\s*(\w+);", line)
            names.append(named[1] if named else union[0])
        elif found := re.match(r"[\w\s]+?\s\*?(\w+)(?:\[\d+\])?;", line):
            (union if depth else names).append(found[1])
    return names


@pytest.mark.parametrize("name", STRUCTURES)
def test_fields_stand_in_the_headers_order(header, name):
    body = re.search(rf"struct {name} {{(.*?)\n}};", header, re.DOTALL)[1]
    theirs = top_level_names(body)
    ours = [field[0] for field in STRUCTURES[name]._fields_]
    if name in ("v4l2_frmsizeenum", "v4l2_frmivalenum"):  # their unions are written out
        at = theirs.index("discrete")
        ours_of_union = {"v4l2_frmsizeenum": ["width", "height"]}.get(
            name, ["numerator", "denominator"]
        )
        theirs = [*theirs[:at], *ours_of_union, "stepwise", *theirs[at + 1 :]]
    assert ours == theirs


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("CAP_VIDEO_CAPTURE", "V4L2_CAP_VIDEO_CAPTURE"),
        ("CAP_STREAMING", "V4L2_CAP_STREAMING"),
        ("CAP_DEVICE_CAPS", "V4L2_CAP_DEVICE_CAPS"),
        ("CAP_TIMEPERFRAME", "V4L2_CAP_TIMEPERFRAME"),
        ("FLAG_ERROR", "V4L2_BUF_FLAG_ERROR"),
        ("FLAG_TIMESTAMP_MASK", "V4L2_BUF_FLAG_TIMESTAMP_MASK"),
        ("FLAG_TIMESTAMP_MONOTONIC", "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC"),
    ],
)
def test_a_flag_is_the_headers(header, ours, theirs):
    assert getattr(abi, ours) == int(re.search(rf"#define {theirs}\s+(0x\w+)", header)[1], 16)


def test_offsets_that_padding_decides():
    """timeval is aligned to 8 bytes, and so is the union of formats, which holds pointers."""
    assert abi.Buffer.timestamp.offset == 24
    assert abi.Buffer.m.offset == 64
    assert abi.Format.fmt.offset == 8


def test_a_pixel_format_and_its_name_are_inverse():
    assert abi.MJPEG == 0x47504A4D
    assert abi.fourcc_text(abi.fourcc("YUYV")) == "YUYV"
