"""The part of Linux's video4linux2 interface that a camera of this project needs, as data.

Structures and request codes as in ``linux/videodev2.h`` on 64-bit machines, written out because
no Python package is needed for six structures. A test compares them with that header where it is
installed.
"""

import ctypes
from ctypes import c_int32, c_long, c_uint8, c_uint32, c_uint64

CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE."""
MMAP = 1
"""V4L2_MEMORY_MMAP."""
ANY_FIELD = 0
"""V4L2_FIELD_ANY."""
DISCRETE = 1
"""V4L2_FRMSIZE_TYPE_DISCRETE and V4L2_FRMIVAL_TYPE_DISCRETE."""

CAP_VIDEO_CAPTURE = 0x00000001
CAP_STREAMING = 0x04000000
CAP_DEVICE_CAPS = 0x80000000
CAP_TIMEPERFRAME = 0x1000

FLAG_ERROR = 0x00000040
FLAG_TIMESTAMP_MASK = 0x0000E000
FLAG_TIMESTAMP_MONOTONIC = 0x00002000


def fourcc(text: str) -> int:
    """Return the number of a pixel format, such as MJPG."""
    return int.from_bytes(text.encode("ascii"), "little")


def fourcc_text(code: int) -> str:
    """Return the name of a pixel format, the inverse of `fourcc`."""
    return code.to_bytes(4, "little").decode("ascii", "replace")


MJPEG = fourcc("MJPG")


class Capability(ctypes.Structure):
    """``struct v4l2_capability``."""

    _fields_ = (
        ("driver", c_uint8 * 16),
        ("card", c_uint8 * 32),
        ("bus_info", c_uint8 * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """``struct v4l2_fmtdesc``."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_uint8 * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class PixelFormat(ctypes.Structure):
    """``struct v4l2_pix_format``."""

    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("priv", c_uint32),
        ("flags", c_uint32),
        ("ycbcr_enc", c_uint32),
        ("quantization", c_uint32),
        ("xfer_func", c_uint32),
    )


class _AnyFormat(ctypes.Union):
    """Holds pointers in the header, so it is aligned like one."""

    _fields_ = (("pix", PixelFormat), ("raw_data", c_uint8 * 200), ("align", c_uint64))


class Format(ctypes.Structure):
    """``struct v4l2_format``."""

    _fields_ = (("type", c_uint32), ("fmt", _AnyFormat))


class Fraction(ctypes.Structure):
    """``struct v4l2_fract``."""

    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class CaptureParameters(ctypes.Structure):
    """``struct v4l2_captureparm``."""

    _fields_ = (
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("timeperframe", Fraction),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class _AnyParameters(ctypes.Union):
    _fields_ = (("capture", CaptureParameters), ("raw_data", c_uint8 * 200))


class StreamParameters(ctypes.Structure):
    """``struct v4l2_streamparm``."""

    _fields_ = (("type", c_uint32), ("parm", _AnyParameters))


class BufferRequest(ctypes.Structure):
    """``struct v4l2_requestbuffers``."""

    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    )


class TimeValue(ctypes.Structure):
    """``struct timeval``."""

    _fields_ = (("tv_sec", c_long), ("tv_usec", c_long))


class TimeCode(ctypes.Structure):
    """``struct v4l2_timecode``."""

    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("frames", c_uint8),
        ("seconds", c_uint8),
        ("minutes", c_uint8),
        ("hours", c_uint8),
        ("userbits", c_uint8 * 4),
    )


class _Place(ctypes.Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_uint64))


class Buffer(ctypes.Structure):
    """``struct v4l2_buffer``."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", TimeValue),
        ("timecode", TimeCode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _Place),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
    )


class FrameSize(ctypes.Structure):
    """``struct v4l2_frmsizeenum``; of a stepwise one, the first two numbers are no size."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("stepwise", c_uint32 * 4),
        ("reserved", c_uint32 * 2),
    )


class FrameInterval(ctypes.Structure):
    """``struct v4l2_frmivalenum``; of a stepwise one, the first two numbers are its shortest."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("numerator", c_uint32),
        ("denominator", c_uint32),
        ("stepwise", c_uint32 * 4),
        ("reserved", c_uint32 * 2),
    )


_WRITE, _READ = 1, 2


def _request(direction: int, number: int, kind: type[ctypes.Structure] | type[c_int32]) -> int:
    return direction << 30 | ctypes.sizeof(kind) << 16 | ord("V") << 8 | number


QUERYCAP = _request(_READ, 0, Capability)
ENUM_FMT = _request(_READ | _WRITE, 2, FormatDescription)
S_FMT = _request(_READ | _WRITE, 5, Format)
REQBUFS = _request(_READ | _WRITE, 8, BufferRequest)
QUERYBUF = _request(_READ | _WRITE, 9, Buffer)
QBUF = _request(_READ | _WRITE, 15, Buffer)
DQBUF = _request(_READ | _WRITE, 17, Buffer)
STREAMON = _request(_WRITE, 18, c_int32)
STREAMOFF = _request(_WRITE, 19, c_int32)
S_PARM = _request(_READ | _WRITE, 22, StreamParameters)
ENUM_FRAMESIZES = _request(_READ | _WRITE, 74, FrameSize)
ENUM_FRAMEINTERVALS = _request(_READ | _WRITE, 75, FrameInterval)
