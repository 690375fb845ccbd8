"""Times of arrival that no jump of the system clock disturbs."""

from so101.clock import NS_PER_S

LONGEST_WAIT_NS = 10 * NS_PER_S
"""No message waits longer to be taken; one that seems to was stamped by a clock that jumped."""

AHEAD_NS = NS_PER_S // 2
"""No message arrives later than now, but for what the two clocks drift apart."""


class Arrivals:
    """Turns the system clock's stamps into times that pass as a steady clock's.

    They keep the system clock's origin as it was with the first message, so that a recording says
    when it was made; what comes after a jump goes on where time was.
    """

    def __init__(self) -> None:
        """Know no message."""
        self._origin_ns: int | None = None
        self._shift_ns = 0
        self._newest_ns = 0

    def take(self, received_ns: int, now_ns: int) -> int:
        """Return when a message arrived [ns]; never before the message taken last.

        Args:
            received_ns: When it was received, by the system clock [ns].
            now_ns: When it is taken, by the steady clock [ns].
        """
        if self._origin_ns is None:
            self._origin_ns = received_ns - now_ns
        expected_ns = self._origin_ns + now_ns
        waited_ns = expected_ns - (received_ns - self._shift_ns)
        if not -AHEAD_NS <= waited_ns <= LONGEST_WAIT_NS:
            self._shift_ns = received_ns - expected_ns
        self._newest_ns = max(self._newest_ns, received_ns - self._shift_ns)
        return self._newest_ns
