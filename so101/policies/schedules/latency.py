"""How long an inference will take: measured every time, never less than what is declared. Pure."""

from collections import deque

from so101.errors import ConfigError

WINDOW = 10
"""Inferences that are remembered."""


class LatencyEstimate:
    """The longest of the last inferences; before the first one, what was declared.

    A chunk that was planned for a latency too short departs from the plan in force while the arm
    still follows it; one planned for a latency too long merely keeps to it a little longer. So
    the estimate is the largest of the recent values (Black et al. 2025, arXiv:2506.07339,
    algorithm 1, which keeps a queue of them as well).

    In lock-step simulation the latency that is measured is the declared one, so that nothing
    depends on the machine.
    """

    def __init__(self, declared_ns: int = 0) -> None:
        """Start with what is known before anything was measured.

        Args:
            declared_ns: Time from an observation to the arrival of its chunk [ns].

        Raises:
            ConfigError: It is negative.
        """
        if declared_ns < 0:
            raise ConfigError(f"latency estimate: declared_ns={declared_ns} must be at least 0")
        self.declared_ns = declared_ns
        self._last: deque[int] = deque(maxlen=WINDOW)

    @property
    def expected_ns(self) -> int:
        """Time the next inference is expected to take at most [ns]."""
        return max(self._last, default=self.declared_ns)

    @property
    def last_ns(self) -> int | None:
        """What the last inference took [ns]; None before the first."""
        return self._last[-1] if self._last else None

    def measured(self, latency_ns: int) -> None:
        """Take note of one inference.

        Args:
            latency_ns: From the observation's stamp to the arrival of the chunk [ns]; one from
                before its observation, as clocks that were set back make it, counts as 0.
        """
        self._last.append(max(0, latency_ns))
