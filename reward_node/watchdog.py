"""Says what a session has been waiting for when that takes long. Pure.

It changes nothing: whoever waits goes on waiting. It only keeps a person from having to guess.
"""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What has to happen before the session goes on.

    Attributes:
        what: The same, in words for a person.
        progress: Differs whenever something has moved: then waiting begins anew.
    """

    what: str
    progress: Hashable = None


class Watchdog:
    """Looks at what is waited for, again and again, and speaks once per cause."""

    def __init__(self, bound_s: float) -> None:
        """Wait for nothing yet.

        Args:
            bound_s: How long nothing has to move before it says so [s].
        """
        self._bound_s = bound_s
        self._wait: Wait | None = None
        self._since_s = 0.0
        self._is_said = False

    def look(self, wait: Wait | None, now_s: float) -> str | None:
        """Return what is to be said now: words, empty when an announced wait is over, or None.

        Args:
            wait: What is waited for now; None for nothing.
            now_s: Present time; only differences count [s].
        """
        if wait != self._wait:
            was_said, self._is_said = self._is_said, False
            self._wait, self._since_s = wait, now_s
            return "" if was_said else None
        waited_s = now_s - self._since_s
        if wait is None or self._is_said or waited_s < self._bound_s:
            return None
        self._is_said = True
        return f"{waited_s:.0f} s for {wait.what}"
