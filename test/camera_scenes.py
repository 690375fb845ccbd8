"""Cameras whose next moment a test decides, and their pictures."""

import numpy as np

from camera_node.source import Frame, Wanted
from so101.errors import ConfigError, HardwareError
from so101.images import encode_jpeg

WANTED = Wanted(height=48, width=64, rate_hz=30)
PERIOD_NS = 33_333_333


def picture(number, size=(48, 64)):
    """Return a JPEG that differs from every other number's."""
    rng = np.random.default_rng(number)
    return encode_jpeg(rng.integers(0, 255, (*size, 3), dtype=np.uint8))


class Clock:
    """Time that passes when told to."""

    def __init__(self, now_ns=1_000_000_000):
        self.now_ns = now_ns

    def __call__(self):
        return self.now_ns

    def pass_s(self, duration_s):
        self.now_ns += round(duration_s * 1e9)


class ScriptedSource:
    """A camera: live, frozen, cut, small, grey, silent or unplugged, as a test says."""

    def __init__(self, now_ns):
        self.now_ns = now_ns
        self.mood = "live"
        self.number = 0
        self.opened = 0
        self.is_open = False

    def open(self):
        if self.mood == "unplugged":
            raise HardwareError("wrist cam: not plugged in; there is no camera at all")
        if self.mood == "another":
            raise ConfigError("it would give 320x240")
        self.opened += 1
        self.is_open = True
        return "scripted camera"

    def read(self, timeout_s):
        assert self.is_open, "read while closed"
        if self.mood == "unplugged":
            raise HardwareError("wrist cam: unplugged")
        if self.mood == "silent":
            return None
        if self.mood != "frozen":
            self.number += 1
        jpeg = picture(self.number)
        if self.mood == "cut":
            jpeg = jpeg[: len(jpeg) // 2]
        if self.mood == "small":
            jpeg = picture(self.number, (24, 32))
        return Frame(jpeg=jpeg, captured_ns=self.now_ns())

    def close(self):
        self.is_open = False
