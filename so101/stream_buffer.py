"""The recent samples of one stream, and which of them counts at a tick."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class StreamBuffer(Generic[T]):
    """The recent samples of one stream by header stamp, fed in arrival order.

    Late and out-of-order samples take their place; of two with one stamp the later arrival counts.
    """

    def __init__(self, *, max_age_ns: int | None = None, capacity: int = 256) -> None:
        """Create an empty buffer.

        Args:
            max_age_ns: Oldest usable sample at a tick [ns]; None for no limit.
            capacity: Samples kept; the oldest stamps are dropped first.
        """
        self._max_age_ns = max_age_ns
        self._capacity = capacity
        self._stamps: list[int] = []
        self._values: list[tuple[int, T]] = []

    def __len__(self) -> int:
        """Return the number of samples held."""
        return len(self._stamps)

    @property
    def newest_stamp_ns(self) -> int | None:
        """Largest stamp that has arrived [ns]; None when empty."""
        return self._stamps[-1] if self._stamps else None

    def add(self, stamp_ns: int, value: T, arrival_ns: int) -> None:
        """Take a sample that arrived."""
        at = bisect_left(self._stamps, stamp_ns)
        if at < len(self._stamps) and self._stamps[at] == stamp_ns:
            self._values[at] = (arrival_ns, value)
            return
        self._stamps.insert(at, stamp_ns)
        self._values.insert(at, (arrival_ns, value))
        if len(self._stamps) > self._capacity:
            del self._stamps[0], self._values[0]

    def newest(
        self, tick_ns: int, *, is_inclusive: bool = True, arrived_by_ns: int | None = None
    ) -> tuple[int, T] | None:
        """Return stamp and value of the newest usable sample at a tick, or None.

        Args:
            tick_ns: The tick [ns].
            is_inclusive: A sample stamped with the tick itself counts.
            arrived_by_ns: Ignore samples that arrived later than this; None ignores none.
        """
        at = (bisect_right if is_inclusive else bisect_left)(self._stamps, tick_ns) - 1
        while at >= 0:
            stamp = self._stamps[at]
            if self._max_age_ns is not None and tick_ns - stamp > self._max_age_ns:
                return None
            arrival_ns, value = self._values[at]
            if arrived_by_ns is None or arrival_ns <= arrived_by_ns:
                return stamp, value
            at -= 1
        return None

    def drop_before(self, stamp_ns: int) -> None:
        """Forget samples with an older stamp."""
        at = bisect_left(self._stamps, stamp_ns)
        del self._stamps[:at], self._values[:at]


def newest_together(
    buffers: Mapping[str, StreamBuffer[T]], tick_ns: int, max_apart_ns: int
) -> tuple[dict[str, tuple[int, T]], frozenset[str]]:
    """Return the newest usable samples at a tick that belong together.

    Args:
        buffers: Streams by name.
        tick_ns: The tick [ns].
        max_apart_ns: A sample this much older than the newest of all is left out [ns].

    Returns:
        Stamp and value by name; and the names of those that were left out.
    """
    found = {
        name: sample
        for name, buffer in buffers.items()
        if (sample := buffer.newest(tick_ns)) is not None
    }
    oldest_ns = max((stamp_ns for stamp_ns, _ in found.values()), default=0) - max_apart_ns
    left_out = frozenset(name for name, sample in found.items() if sample[0] < oldest_ns)
    return {name: found[name] for name in found if name not in left_out}, left_out
