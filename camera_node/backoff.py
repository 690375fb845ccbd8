"""When to try again what failed. Pure."""

from so101.clock import nanoseconds

FIRST_S = 0.25
LONGEST_S = 4.0


class Backoff:
    """Growing pauses between tries; a replugged camera is found within `LONGEST_S`."""

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        """Let the first try be made at once.

        Args:
            first_s: Pause after the first failure; doubled after each further one [s].
            longest_s: Bound of the pause [s].
        """
        self._first_ns, self._longest_ns = nanoseconds(first_s), nanoseconds(longest_s)
        self._pause_ns = self._first_ns
        self._due_ns: int | None = None

    def is_due(self, now_ns: int) -> bool:
        """Tell whether the next try may be made."""
        return self._due_ns is None or now_ns >= self._due_ns

    def failed(self, now_ns: int) -> None:
        """Note a try that failed."""
        self._due_ns = now_ns + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, self._longest_ns)

    def worked(self) -> None:
        """Begin anew: what was tried does what it should."""
        self._pause_ns, self._due_ns = self._first_ns, None
