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
        patience_s: How long nothing has to move before it is said [s]; None for the usual time.
    """

    what: str
    progress: Hashable = None
    patience_s: float | None = None


def policy_wait(wanted: str | None, running: str, says: str) -> Wait | None:
    """Return the checkpoint that the policy has yet to load; None when none is wanted.

    Args:
        wanted: Its sha256, empty for any.
        running: The one that it runs; empty for none.
        says: What it waits for itself; empty for nothing.
    """
    if wanted is None:
        return None
    runs = running[:12] or "none"
    what = f"the policy to load checkpoint {wanted[:12] or '(any)'}; it runs {runs}"
    return Wait(what=f"{what}; it says: {says}" if says else what)


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
        if wait is None or self._is_said:
            return None
        if waited_s < (self._bound_s if wait.patience_s is None else wait.patience_s):
            return None
        self._is_said = True
        return f"{waited_s:.0f} s for {wait.what}"
