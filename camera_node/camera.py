"""One camera: opened, watched, and opened again by its name when it is gone. No ROS, no clock."""

from collections.abc import Callable
from dataclasses import dataclass

from camera_node.backoff import Backoff
from camera_node.jpeg import Jpeg
from camera_node.source import Frame, FrameSource
from camera_node.watchdog import CameraStatus, Watchdog, WatchdogConfig
from so101.errors import HardwareError


@dataclass(frozen=True, kw_only=True)
class GoodFrame:
    """A frame that may be published.

    Attributes:
        jpeg: A whole JPEG of the size that was asked for.
        frame: As its source gave it.
    """

    jpeg: Jpeg
    frame: Frame


class Camera:
    """Delivers the good frames of a source that may come, go and lie."""

    def __init__(
        self,
        source: FrameSource,
        config: WatchdogConfig,
        now_ns: Callable[[], int],
        log: Callable[[str], object],
    ) -> None:
        """Open nothing yet.

        Args:
            source: Where frames come from.
            config: What is expected of them.
            now_ns: The monotonic clock [ns].
            log: Takes a sentence when something changes.
        """
        self._source = source
        self._now_ns = now_ns
        self._log = log
        self._watchdog = Watchdog(config)
        self._backoff = Backoff()
        self._problem = ""
        self.is_open = False

    def step(self, timeout_s: float) -> GoodFrame | None:
        """Return the next good frame, if there is one in time.

        Opens the source when that is due. Returns at once while there is nothing to wait for.

        Raises:
            ConfigError: The camera does not offer what is asked of it: a person is needed.
        """
        if not self.is_open and not self._open():
            return None
        try:
            frame = self._source.read(timeout_s)
        except HardwareError as error:
            self._lose(str(error))
            return None
        good = None if frame is None else self._judge(frame)
        if good is None and self._watchdog.must_reopen(self._now_ns()):
            reason = self._watchdog.report(self._now_ns()).reason
            self._lose(f"opened anew: {reason}")
        return good

    def report(self) -> CameraStatus:
        """Return how the camera is doing."""
        return self._watchdog.report(self._now_ns())

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()
        self.is_open = False

    def _open(self) -> bool:
        if not self._backoff.is_due(self._now_ns()):
            return False
        try:
            words = self._source.open()
        except HardwareError as error:
            self._lose(str(error))
            return False
        self.is_open = True
        self._watchdog.opened(self._now_ns())
        self._log(f"opened {words}")
        return True

    def _judge(self, frame: Frame) -> GoodFrame | None:
        jpeg = self._watchdog.judge(frame, self._now_ns())
        if jpeg is None:
            return None
        self._backoff.worked()
        self._problem = ""
        return GoodFrame(jpeg=jpeg, frame=frame)

    def _lose(self, reason: str) -> None:
        self.close()
        self._watchdog.lost(reason)
        self._backoff.failed(self._now_ns())
        if reason != self._problem:  # said once, however often it is tried
            self._log(reason)
        self._problem = reason
