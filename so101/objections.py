"""What reports on ``diagnostics`` have against an episode that begins, or an arm that is armed.

Whoever knows of a reason says it under one of these keys, and says it empty once it is over. Who
begins episodes, or arms the arm, need not know what a temperature or a camera is.
"""

from so101.events import Event

NO_EPISODE = "no episode"
"""Key: why no episode may begin; empty when one may."""

NO_ARMING = "no arming"
"""Key: why the arm may not be armed; empty when it may."""


class Objections:
    """The newest word of everybody who has ever reported under a key. Pure; time is passed in."""

    def __init__(self, key: str, lasting_s: float, *, is_silence_one: bool = False) -> None:
        """Know of nobody.

        Args:
            key: `NO_EPISODE` or `NO_ARMING`.
            lasting_s: A word that was not said again for so long counts no more [s].
            is_silence_one: Then silence itself counts, as a reason of its own.
        """
        self._key = key
        self._lasting_s = lasting_s
        self._is_silence_one = is_silence_one
        self._words: dict[str, tuple[str, float]] = {}

    def take(self, event: Event, now_s: float) -> None:
        """Take a report; one without the key has nothing to do with this.

        Args:
            event: From ``diagnostics``.
            now_s: A clock that only goes forward [s].
        """
        if self._key in event.values:
            self._words[event.name] = (event.values[self._key], now_s)

    def words(self, now_s: float) -> str:
        """Return all that stands against it, by who says so; empty for nothing.

        Args:
            now_s: The clock of `take` [s].
        """
        reasons = []
        for name, (words, said_s) in sorted(self._words.items()):
            if now_s - said_s > self._lasting_s:
                words = "silent; is its process gone?" if self._is_silence_one else ""
            if words:
                reasons.append(f"{name}: {words}")
        return "; ".join(reasons)
