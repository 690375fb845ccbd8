"""A camera driver in memory that keeps the rules of video4linux2, for tests.

The rules are those of the kernel's documentation: requests in a wrong order or on a closed
descriptor fail with the number the kernel gives, S_FMT rounds to what there is, buffers that are
full go round in order, and an unplugged device answers ENODEV to everything.
"""

import ctypes
import errno
from collections import deque

from camera_node import v4l2_abi as abi

PAGE = 4096
CARD = b"Fake Camera"


def refuse(number):
    raise OSError(number, errno.errorcode[number])


class Memory:
    """A mapped buffer; reading it after it was given back is a bug of whoever does."""

    def __init__(self, data):
        self.data, self.is_open = data, True

    def __getitem__(self, index):
        assert self.is_open, "read after munmap"
        return bytes(self.data[index])

    def close(self):
        self.is_open = False


class FakeDriver:
    """One camera. Offers are {fourcc: {(width, height): [rates]}}."""

    def __init__(self, offers=None, buffers=8, size=64 * 1024):
        self.offers = offers or {"MJPG": {(640, 480): [30, 15], (320, 240): [30]}}
        self.most, self.size = buffers, size
        self.is_plugged = True
        self.capabilities = abi.CAP_VIDEO_CAPTURE | abi.CAP_STREAMING
        self.stamps = abi.FLAG_TIMESTAMP_MONOTONIC
        self.has_rates = True
        self.is_busy = False
        self.descriptors = set()
        self.opened = []
        self.calls = []
        self.mapped = []
        self._next = 3
        self._reset()

    def _reset(self):
        self.is_streaming = False
        self.buffers = []
        self.empty, self.full = deque(), deque()
        self.sequence = 0

    # the camera's side

    def deliver(self, jpeg, captured_ns, *, flags=0, skip=0):
        """Take a picture; without an empty buffer it is lost, as in a driver."""
        self.sequence += skip
        sequence, self.sequence = self.sequence, self.sequence + 1
        if not self.is_streaming or not self.empty:
            return False
        index = self.empty.popleft()
        self.buffers[index][: len(jpeg)] = jpeg
        self.full.append((index, len(jpeg), captured_ns, sequence, flags | self.stamps))
        return True

    def unplug(self):
        self.is_plugged = False
        self._reset()

    def replug(self):
        self.is_plugged = True

    # the kernel's side

    def open(self, path):
        if not self.is_plugged:
            refuse(errno.ENOENT)
        self._next += 1
        self.descriptors.add(self._next)
        self.opened.append(path)
        return self._next

    def close(self, descriptor):
        self.descriptors.remove(descriptor)
        assert not any(memory.is_open for memory in self.mapped), "closed with memory mapped"
        self._reset()

    def wait(self, descriptor, timeout_s):
        self._check(descriptor, may_be_gone=True)
        return bool(self.full) or not self.is_plugged

    def mmap(self, descriptor, length, offset):
        self._check(descriptor)
        index = offset // PAGE
        if index >= len(self.buffers) or length != self.size or offset % PAGE:
            refuse(errno.EINVAL)
        memory = Memory(self.buffers[index])
        self.mapped.append(memory)
        return memory

    def ioctl(self, descriptor, request, argument):
        self._check(descriptor)
        assert ctypes.sizeof(argument) == request >> 16 & 0x3FFF
        names = {getattr(abi, name): name for name in dir(abi) if name.isupper()}
        wanted = {value: name for value, name in names.items() if value > 0xFFFF and value >> 30}
        self.calls.append(wanted[request])
        getattr(self, f"_{wanted[request].lower()}")(argument)

    def _check(self, descriptor, *, may_be_gone=False):
        if descriptor not in self.descriptors:
            refuse(errno.EBADF)
        if not self.is_plugged and not may_be_gone:
            refuse(errno.ENODEV)

    def _querycap(self, argument):
        ctypes.memmove(argument.card, CARD, len(CARD))
        argument.capabilities = abi.CAP_DEVICE_CAPS | 0xFF
        argument.device_caps = self.capabilities

    def _enum_fmt(self, argument):
        codes = list(self.offers)
        if argument.type != abi.CAPTURE or argument.index >= len(codes):
            refuse(errno.EINVAL)
        argument.pixelformat = abi.fourcc(codes[argument.index])

    def _sizes_of(self, code):
        return list(self.offers.get(abi.fourcc_text(code), {}))

    def _enum_framesizes(self, argument):
        sizes = self._sizes_of(argument.pixel_format)
        if argument.index >= len(sizes):
            refuse(errno.EINVAL)
        argument.type = abi.DISCRETE
        argument.width, argument.height = sizes[argument.index]

    def _enum_frameintervals(self, argument):
        sizes = self.offers.get(abi.fourcc_text(argument.pixel_format), {})
        rates = sizes.get((argument.width, argument.height), [])
        if argument.index >= len(rates):
            refuse(errno.EINVAL)
        argument.type = abi.DISCRETE
        argument.numerator, argument.denominator = 1, rates[argument.index]

    def _s_fmt(self, argument):
        if self.is_busy or self.buffers:
            refuse(errno.EBUSY)
        pix = argument.fmt.pix
        if abi.fourcc_text(pix.pixelformat) not in self.offers:
            pix.pixelformat = abi.fourcc(next(iter(self.offers)))
        sizes = self._sizes_of(pix.pixelformat)
        away = [abs(w * h - pix.width * pix.height) for w, h in sizes]
        pix.width, pix.height = sizes[away.index(min(away))]
        pix.sizeimage = self.size
        self.format = (abi.fourcc_text(pix.pixelformat), (pix.width, pix.height))

    def _s_parm(self, argument):
        if not self.has_rates:
            refuse(errno.ENOTTY)
        capture = argument.parm.capture
        code, size = self.format
        asked = capture.timeperframe.denominator / capture.timeperframe.numerator
        rate = min(self.offers[code][size], key=lambda rate: abs(rate - asked))
        capture.capability = abi.CAP_TIMEPERFRAME
        capture.timeperframe = abi.Fraction(1, rate)

    def _reqbufs(self, argument):
        if argument.type != abi.CAPTURE or argument.memory != abi.MMAP:
            refuse(errno.EINVAL)
        argument.count = min(argument.count, self.most)
        self.buffers = [bytearray(self.size) for _ in range(argument.count)]

    def _querybuf(self, argument):
        if argument.index >= len(self.buffers):
            refuse(errno.EINVAL)
        argument.length, argument.m.offset = self.size, argument.index * PAGE

    def _qbuf(self, argument):
        queued = {*self.empty, *(entry[0] for entry in self.full)}
        if argument.index >= len(self.buffers) or argument.index in queued:
            refuse(errno.EINVAL)
        self.empty.append(argument.index)

    def _streamon(self, argument):
        if argument.value != abi.CAPTURE or not self.buffers:
            refuse(errno.EINVAL)
        self.is_streaming = True

    def _streamoff(self, argument):
        self.is_streaming = False
        self.empty.clear()
        self.full.clear()

    def _dqbuf(self, argument):
        if not self.is_streaming:
            refuse(errno.EINVAL)
        if not self.full:
            refuse(errno.EAGAIN)
        index, length, captured_ns, sequence, flags = self.full.popleft()
        argument.index, argument.bytesused, argument.flags = index, length, flags
        argument.timestamp = abi.TimeValue(*divmod(captured_ns // 1000, 1_000_000))
        argument.sequence = sequence
