"""The time grid: integer nanosecond stamps that never drift.

Physics 300 Hz, arm loop 60 Hz, cameras and policy ticks 30 Hz. All grids share their origin, so
every policy tick is a control tick and every control tick is a physics step.
"""

from dataclasses import dataclass

NS_PER_S = 1_000_000_000
PHYSICS_HZ = 300
CONTROL_HZ = 60
POLICY_HZ = 30


def seconds(duration_ns: int) -> float:
    """Convert a duration from nanoseconds to seconds."""
    return duration_ns / NS_PER_S


def nanoseconds(duration_s: float) -> int:
    """Convert a duration from seconds to the nearest nanosecond."""
    return round(duration_s * NS_PER_S)


@dataclass(frozen=True, kw_only=True)
class TickGrid:
    """The stamps ``origin_ns + k * 1e9 // rate_hz`` for every integer ``k``.

    Attributes:
        rate_hz: Ticks per second.
        origin_ns: Stamp of tick 0 [ns].
    """

    rate_hz: int
    origin_ns: int = 0

    def stamp(self, index: int) -> int:
        """Return the stamp of a tick [ns]."""
        return self.origin_ns + index * NS_PER_S // self.rate_hz

    def floor(self, stamp_ns: int) -> int:
        """Return the index of the newest tick at or before a stamp."""
        return ((stamp_ns - self.origin_ns + 1) * self.rate_hz - 1) // NS_PER_S

    def ceil(self, stamp_ns: int) -> int:
        """Return the index of the first tick at or after a stamp."""
        index = self.floor(stamp_ns)
        return index if self.stamp(index) == stamp_ns else index + 1

    def is_tick(self, stamp_ns: int) -> bool:
        """Tell whether a stamp lies exactly on the grid."""
        return self.stamp(self.floor(stamp_ns)) == stamp_ns


CONTROL_GRID = TickGrid(rate_hz=CONTROL_HZ)
POLICY_GRID = TickGrid(rate_hz=POLICY_HZ)
