"""When to try again: at once, then after pauses that double. Pure; time is passed in."""

from so101.clock import nanoseconds

FIRST_NS = nanoseconds(0.25)
LONGEST_NS = nanoseconds(5.0)


class Backoff:
    """Says when the next try is due."""

    def __init__(self) -> None:
        """The first try is due at once."""
        self.reset()

    def reset(self) -> None:
        """It worked: the next trouble begins with a try at once."""
        self._pause_ns, self._due_ns = 0, 0

    def is_due(self, now_ns: int) -> bool:
        """Tell whether to try now [ns]."""
        return now_ns >= self._due_ns

    def failed(self, now_ns: int) -> None:
        """It did not work now [ns]."""
        self._pause_ns = min(LONGEST_NS, max(FIRST_NS, 2 * self._pause_ns))
        self._due_ns = now_ns + self._pause_ns
