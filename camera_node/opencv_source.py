"""A camera through OpenCV: only for cameras that do not speak Motion-JPEG, and only when asked.

OpenCV decodes every frame and does not say when it was taken: its frames are compressed again, and
stamped with the moment in which they arrive. It also chooses another size without a word, so what
it gives is compared with what was asked.
"""

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from camera_node.devices import resolve
from camera_node.source import Frame, Wanted
from so101.errors import ConfigError, HardwareError
from so101.images import encode_jpeg


class OpenCvSource:
    """See `camera_node.source.FrameSource`. A read blocks for as long as OpenCV does."""

    def __init__(
        self,
        device: str,
        wanted: Wanted,
        quality: int,
        *,
        find: Callable[[str], str] = resolve,
        capture: Callable[[str], Any] | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Open nothing yet.

        Args:
            device: Its stable name.
            wanted: Size and rate.
            quality: Of the JPEGs, 1 to 100.
            find: Returns the device that a stable name means now.
            capture: Makes a ``cv2.VideoCapture`` of a device.
            now_ns: The monotonic clock [ns].
        """
        self._device, self._wanted, self._quality = device, wanted, quality
        self._find = find
        self._make = capture or (lambda path: cv2.VideoCapture(path, cv2.CAP_V4L2))
        self._now_ns = now_ns
        self._capture: Any = None

    def open(self) -> str:
        """Begin to stream.

        Raises:
            HardwareError: The camera is not there or does not open.
            ConfigError: It gives another size or rate.
        """
        self.close()
        path = self._find(self._device)
        self._capture = self._make(path)
        if not self._capture.isOpened():
            self.close()
            raise HardwareError(f"{self._device}: cannot be opened by OpenCV")
        asked = {
            cv2.CAP_PROP_FRAME_WIDTH: self._wanted.width,
            cv2.CAP_PROP_FRAME_HEIGHT: self._wanted.height,
            cv2.CAP_PROP_FPS: self._wanted.rate_hz,
        }
        for name, value in asked.items():
            self._capture.set(name, value)
        given = {name: self._capture.get(name) for name in asked}
        if any(abs(given[name] - value) > 0.01 * value for name, value in asked.items()):
            self.close()
            width, height, rate = given.values()
            raise ConfigError(
                f"{self._device}: asked for {self._wanted}, it would give "
                f"{width:g}x{height:g} at {rate:g} Hz"
            )
        return f"{path} through OpenCV, {self._wanted}, stamped at arrival"

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, compressed. OpenCV waits by its own rules.

        Raises:
            HardwareError: It delivers nothing any more.
        """
        if self._capture is None:
            raise HardwareError(f"{self._device}: not open")
        is_there, image = self._capture.read()
        if not is_there:
            raise HardwareError(f"{self._device}: OpenCV gets no more frames")
        pixels = np.ascontiguousarray(image[:, :, ::-1])
        jpeg = encode_jpeg(pixels, self._quality)
        return Frame(jpeg=jpeg, captured_ns=self._now_ns(), pixels=pixels)

    def close(self) -> None:
        """Let go of it."""
        if self._capture is not None:
            self._capture.release()
        self._capture = None
