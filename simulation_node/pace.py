"""Holds simulated time back to a multiple of real time. Pure."""

from so101.clock import NS_PER_S

LATE_NS = NS_PER_S // 2


class Pace:
    """Says how far simulated time is ahead of where it should be."""

    def __init__(self, speed: float) -> None:
        """Start with the first question.

        Args:
            speed: Simulated seconds per second; 0 never holds back.
        """
        self._speed = speed
        self._origin: tuple[int, int] | None = None

    def restart(self) -> None:
        """Start anew with the next question, as after a jump of simulated time."""
        self._origin = None

    def ahead_s(self, stamp_ns: int, now_ns: int) -> float:
        """Return how long to wait [s]; 0 when time is due or late.

        After half a second of standing still, on purpose or not, the pace starts anew: lost time
        is never caught up by running faster.

        Args:
            stamp_ns: Simulated time [ns].
            now_ns: Monotonic time [ns].
        """
        if self._speed == 0.0:
            return 0.0
        if self._origin is None:
            self._origin = (stamp_ns, now_ns)
        first_ns, begin_ns = self._origin
        ahead_ns = (stamp_ns - first_ns) / self._speed - (now_ns - begin_ns)
        if ahead_ns < -LATE_NS:
            self._origin = (stamp_ns, now_ns)
        return max(0.0, ahead_ns / NS_PER_S)
