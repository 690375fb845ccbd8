"""How long to wait before the next try: longer each time, and never in step with others. Pure."""

import numpy as np


class Backoff:
    """Delays that double up to a limit, each cut at random by up to a half.

    Robots that lost the same server do not all come back in the same instant.
    """

    def __init__(self, first_s: float, longest_s: float, rng: np.random.Generator) -> None:
        """Begin with the shortest delay.

        Args:
            first_s: The first delay before it is cut [s].
            longest_s: No delay is longer [s].
            rng: Draws the cuts.
        """
        self._first_s, self._longest_s, self._rng = first_s, longest_s, rng
        self._ceiling_s = min(first_s, longest_s)

    def next_delay(self) -> float:
        """Return the delay before the next try [s]; the one after it is longer."""
        delay = self._ceiling_s * float(self._rng.uniform(0.5, 1.0))
        self._ceiling_s = min(2.0 * self._ceiling_s, self._longest_s)
        return delay

    def reset(self) -> None:
        """Begin again with the shortest delay: the last try led to something."""
        self._ceiling_s = min(self._first_s, self._longest_s)
