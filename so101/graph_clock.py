"""The clock of a real robot's graph: it agrees with the date, and no set date moves it.

Steady time, counted from the date that it was when the graph began. Every process of a graph has
the same anchor, also one that is started again later: it is in the environment. Simulation has
time of its own and does not use it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from so101.clock import NS_PER_S, seconds
from so101.errors import ClockError, ConfigError

ANCHOR = "SO101_CLOCK_ANCHOR_NS"
"""Environment variable: system time minus steady time of this machine as the graph began [ns]."""

MOST_OFF_NS = NS_PER_S // 2
"""Clocks that are further apart are told of [ns]."""

AHEAD_NS = 50_000_000
"""What was measured later than now, by more than two synchronized machines differ, is not used."""

_LATEST_NS = 2**31 * NS_PER_S
"""ROS's stamps end in 2038 [ns]."""


@dataclass(frozen=True, kw_only=True)
class GraphClock:
    """Steady time from an anchor on.

    Attributes:
        anchor_ns: Added to the steady clock [ns].
        steady_ns: The machine's steady clock [ns].
    """

    anchor_ns: int
    steady_ns: Callable[[], int] = time.monotonic_ns

    def now_ns(self) -> int:
        """Return the time [ns]."""
        return self.at(self.steady_ns())

    def at(self, steady_ns: int) -> int:
        """Return the time at a reading of the steady clock [ns]."""
        return self.anchor_ns + steady_ns

    def behind_ns(self, system_ns: Callable[[], int] = time.time_ns) -> int:
        """Return by how much the date was set forward since the anchor was taken [ns]."""
        return measured_anchor(self.steady_ns, system_ns) - self.anchor_ns

    @classmethod
    def of(
        cls,
        environ: Mapping[str, str],
        *,
        steady_ns: Callable[[], int] = time.monotonic_ns,
        system_ns: Callable[[], int] = time.time_ns,
    ) -> "GraphClock":
        """Return the clock of the graph that an environment is of, or one that begins now.

        Raises:
            ConfigError: The anchor is no number, or makes no stamp of ROS.
        """
        text = environ.get(ANCHOR)
        if text is None:
            anchor_ns = measured_anchor(steady_ns, system_ns)
            return cls(anchor_ns=anchor_ns, steady_ns=steady_ns)
        try:
            clock = cls(anchor_ns=int(text), steady_ns=steady_ns)
        except ValueError:
            raise ConfigError(f"{ANCHOR}: {text!r} is no whole number of ns") from None
        if not 0 <= clock.now_ns() < _LATEST_NS:
            raise ConfigError(f"{ANCHOR}: {text} ns makes no stamp between 1970 and 2038")
        return clock


def measured_anchor(
    steady_ns: Callable[[], int] = time.monotonic_ns, system_ns: Callable[[], int] = time.time_ns
) -> int:
    """Return system time minus steady time [ns], by the quickest of some readings."""
    readings = [(steady_ns(), system_ns(), steady_ns()) for _ in range(5)]
    before, system, after = min(readings, key=lambda one: one[2] - one[0])
    return system - (before + after) // 2


def check_past(stamp_ns: int, now_ns: int) -> None:
    """Refuse what says it was measured later than now. Simulated time is always long past.

    Args:
        stamp_ns: Of a message [ns].
        now_ns: The graph's clock [ns].

    Raises:
        ClockError: Its stamp is of another clock, or ours is.
    """
    ahead_ns = stamp_ns - now_ns
    if ahead_ns > AHEAD_NS:
        raise ClockError(
            f"stamped {seconds(ahead_ns):.3f} s ahead of this process's clock; start both with "
            f"one {ANCHOR}, or with the graph"
        )
