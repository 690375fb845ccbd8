"""The newest messages before an episode: its first tick comes before anybody says that it runs."""

from collections import Counter, deque

from recorder_node.raw_message import RawMessage
from so101.clock import NS_PER_S

RING_BYTES = 64_000_000
RING_NS = 2 * NS_PER_S
_REMEMBERED = 20_000


class Ring:
    """Keeps messages for `RING_NS`, at most `RING_BYTES` of them, and counts what it drops.

    Attributes:
        size: Bytes kept.
        dropped: Messages by topic that were dropped because of their size.
    """

    def __init__(self, max_bytes: int = RING_BYTES, max_ns: int = RING_NS) -> None:
        """Keep nothing yet.

        Args:
            max_bytes: Most that is kept [bytes].
            max_ns: Longest time that a message is kept [ns].
        """
        self.size = 0
        self.dropped: Counter[str] = Counter()
        self._max_bytes = max_bytes
        self._max_ns = max_ns
        self._kept: deque[RawMessage] = deque()
        # Stamp, topic and number of what went: an episode announced late may have begun with it.
        self._gone: deque[tuple[int, str, int]] = deque(maxlen=_REMEMBERED)

    def keep(self, message: RawMessage) -> None:
        """Keep a message, and drop the oldest ones."""
        self._kept.append(message)
        self.size += len(message.data)
        while self._kept and self._is_over(message.arrival_ns):
            oldest = self._kept.popleft()
            if self.size > self._max_bytes:
                self.dropped[oldest.topic.name] += 1
            self.size -= len(oldest.data)
            if oldest.stamp_ns is not None:
                self._gone.append((oldest.stamp_ns, oldest.topic.name, 1 + oldest.lost_before))

    def _is_over(self, now_ns: int) -> bool:
        is_old = now_ns - self._kept[0].arrival_ns > self._max_ns
        return is_old or self.size > self._max_bytes

    def take(self, since_ns: int) -> tuple[list[RawMessage], Counter[str]]:
        """Empty the ring.

        Returns:
            The messages with a stamp from ``since_ns`` on, oldest first, and how many such
            messages of each topic had to go before.
        """
        kept = [one for one in self._kept if (one.stamp_ns or 0) >= since_ns]
        gone: Counter[str] = Counter()
        for stamp_ns, topic, count in self._gone:
            if stamp_ns >= since_ns:
                gone[topic] += count
        self._kept.clear()
        self._gone.clear()
        self.size = 0
        return kept, gone
