"""Which frames of a camera may be shown to a policy, and how the camera is doing. Pure.

A frame counts when it is a whole JPEG of the size that was asked for, was taken after the one
before, and shows another picture than the last few. What does not count is not published: the
stream falls silent, observations lack their image, and the arm comes to hold. A sensor's noise
never repeats, so the same bytes again are a picture that stands still, not a scene that does.
"""

import math
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

from camera_node.jpeg import Jpeg, check_jpeg
from camera_node.source import Frame, Wanted
from so101.clock import NS_PER_S, nanoseconds, seconds
from so101.errors import BagError

REMEMBERED = 4
"""Pictures that are no news: a stuck driver may go round its four buffers."""

AHEAD_NS = 5_000_000
"""A capture time may be this far in the future, by rounding [ns]."""

OLD_NS = NS_PER_S
"""What was captured longer ago is of no use any more [ns]."""


COUNTS = ("good", "repeated", "rejected", "lost", "opened")
"""What becomes of frames; the last one counts how often the camera was opened."""

SPAN_NS = NS_PER_S
"""Over which the rate is counted [ns]."""


class CameraState(str, Enum):
    """How a camera is doing."""

    ABSENT = "absent"
    STARTING = "starting"
    LIVE = "live"
    FROZEN = "frozen"
    DAMAGED = "damaged"
    SILENT = "silent"


@dataclass(frozen=True, kw_only=True)
class WatchdogConfig:
    """What is expected of a camera.

    Attributes:
        wanted: Size and rate.
        max_silence_s: Without a good frame for this long it is no longer live [s].
        reopen_after_s: Without one for this long it is opened anew [s].
        slow_below: It is slow with less than this part of its rate.
    """

    wanted: Wanted
    max_silence_s: float = 0.2
    reopen_after_s: float = 3.0
    slow_below: float = 0.8


@dataclass(frozen=True, kw_only=True)
class CameraStatus:
    """How a camera is doing, for `diagnostics`.

    Attributes:
        state: In one word.
        reason: For a person; empty where all is well.
        is_slow: Live, but slower than asked.
        age_s: Time since the last good frame arrived; NaN before the first [s].
        rate_hz: Good frames in the last second.
        counts: Frames so far, by what became of them.
    """

    state: CameraState
    reason: str
    is_slow: bool
    age_s: float
    rate_hz: float
    counts: dict[str, int]


class Watchdog:
    """Judges every frame of one camera."""

    def __init__(self, config: WatchdogConfig) -> None:
        """Begin without a camera."""
        self._config = config
        self._silence_ns = nanoseconds(config.max_silence_s)
        self._reopen_ns = nanoseconds(config.reopen_after_s)
        self._recent: deque[bytes] = deque(maxlen=REMEMBERED)
        self._counts: Counter[str] = Counter()
        self._reason = "not opened yet"
        self._fault = CameraState.ABSENT
        self._opened_ns: int | None = None
        self._good_ns: int | None = None
        self._captured_ns: int | None = None
        self._arrivals: deque[int] = deque()
        self._live_since_ns = 0

    def opened(self, now_ns: int) -> None:
        """Note that the camera was opened and owes frames from now on."""
        self._opened_ns, self._captured_ns = now_ns, None
        self._fault, self._reason = CameraState.STARTING, "no frame yet"
        self._counts["opened"] += 1

    def lost(self, reason: str) -> None:
        """Note that the camera is not there."""
        self._opened_ns = None
        self._fault, self._reason = CameraState.ABSENT, reason

    def judge(self, frame: Frame, now_ns: int) -> Jpeg | None:
        """Return what may be published of a frame; None when it counts for nothing.

        Args:
            frame: As the source gave it.
            now_ns: The monotonic clock [ns].
        """
        self._counts["lost"] += frame.lost
        try:
            jpeg = self._checked(frame, now_ns)
        except BagError as error:
            self._reject(CameraState.DAMAGED, "rejected", str(error))
            return None
        digest = blake2b(jpeg.picture, digest_size=16).digest()
        if digest in self._recent:
            reason = "the same picture again: the camera stands still"
            self._reject(CameraState.FROZEN, "repeated", reason)
            return None
        self._recent.append(digest)
        if self._is_new or self._since(now_ns) > self._silence_ns:
            self._live_since_ns = now_ns
        self._arrivals.append(now_ns)
        self._forget(now_ns)
        self._good_ns, self._captured_ns = now_ns, frame.captured_ns
        self._counts["good"] += 1
        self._fault, self._reason = CameraState.SILENT, ""
        return jpeg

    def _checked(self, frame: Frame, now_ns: int) -> Jpeg:
        if frame.problem:
            raise BagError(frame.problem)
        if not -OLD_NS <= frame.captured_ns - now_ns <= AHEAD_NS:
            ahead_ms = (frame.captured_ns - now_ns) * 1e-6
            raise BagError(f"captured {ahead_ms:.0f} ms ahead of the present")
        if self._captured_ns is not None and frame.captured_ns <= self._captured_ns:
            raise BagError("captured no later than the frame before")
        return check_jpeg(frame.jpeg, self._config.wanted.height, self._config.wanted.width)

    def _reject(self, fault: CameraState, count: str, reason: str) -> None:
        self._counts[count] += 1
        self._fault, self._reason = fault, reason

    def state(self, now_ns: int) -> CameraState:
        """Return how the camera is doing."""
        if self._opened_ns is None:
            return CameraState.ABSENT
        since_ns = self._since(now_ns)
        if self._is_new and since_ns <= self._silence_ns:
            return CameraState.STARTING
        return CameraState.LIVE if since_ns <= self._silence_ns else self._fault_now

    def must_reopen(self, now_ns: int) -> bool:
        """Tell whether an open camera has delivered nothing good for so long that it is stuck."""
        return self._opened_ns is not None and self._since(now_ns) > self._reopen_ns

    def report(self, now_ns: int) -> CameraStatus:
        """Return the status."""
        state = self.state(now_ns)
        self._forget(now_ns)
        rate_hz = self._rate_hz()
        least_hz = self._config.slow_below * self._config.wanted.rate_hz
        is_settled = state is CameraState.LIVE and now_ns - self._live_since_ns > SPAN_NS
        is_slow = is_settled and rate_hz < least_hz
        return CameraStatus(
            state=state,
            reason=self._words(state, rate_hz if is_slow else None),
            is_slow=is_slow,
            age_s=math.nan if self._good_ns is None else seconds(now_ns - self._good_ns),
            rate_hz=rate_hz,
            counts={name: self._counts[name] for name in COUNTS},
        )

    def _rate_hz(self) -> float:
        if len(self._arrivals) < 2:
            return float(len(self._arrivals))
        span_ns = self._arrivals[-1] - self._arrivals[0]
        return (len(self._arrivals) - 1) * NS_PER_S / max(1, span_ns)

    def _forget(self, now_ns: int) -> None:
        while self._arrivals and now_ns - self._arrivals[0] >= SPAN_NS:
            self._arrivals.popleft()

    def _words(self, state: CameraState, slow_hz: float | None) -> str:
        if state is CameraState.LIVE:
            return "" if slow_hz is None else f"only {slow_hz:.0f} Hz"
        return self._reason or "no frame comes any more"

    def _since(self, now_ns: int) -> int:
        """Return the time since the last good frame, or since it was opened [ns]."""
        opened_ns = self._opened_ns or 0
        return now_ns - (opened_ns if self._is_new else max(opened_ns, self._good_ns or 0))

    @property
    def _is_new(self) -> bool:
        """Tell whether there was no good frame since it was opened."""
        return self._captured_ns is None

    @property
    def _fault_now(self) -> CameraState:
        is_starting = self._fault is CameraState.STARTING
        return CameraState.SILENT if is_starting else self._fault
