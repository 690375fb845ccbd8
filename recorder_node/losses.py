"""What was published and is in no bag, counted by topic: a loss is never silent."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


class SequenceCounter:
    """Finds messages that were sent but never arrived, by gaps in sequence numbers.

    So the middleware's queues are counted too: what they drop leaves a gap.
    """

    def __init__(self) -> None:
        """Know no publisher."""
        self._last: dict[tuple[str, bytes], int] = {}

    def gap(self, topic: str, publisher: bytes, sequence: int) -> int:
        """Return how many messages are missing right before one that arrived."""
        last = self._last.get((topic, publisher))
        self._last[topic, publisher] = sequence if last is None else max(sequence, last)
        return 0 if last is None else max(0, sequence - last - 1)


@dataclass(kw_only=True)
class Losses:
    """Losses of one episode, by topic and by place.

    Attributes:
        missing: Never arrived.
        ring: Arrived before the episode was announced, and the ring was full.
        refused: The disk did not take them.
    """

    missing: Counter[str] = field(default_factory=Counter)
    ring: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_topic().values())

    def by_topic(self) -> Mapping[str, int]:
        """Return the losses of each topic that has some."""
        return self.missing + self.ring + self.refused

    def describe(self) -> str:
        """Say for a person what was lost where; empty when nothing was."""
        told = (
            (self.missing, "never arrived"),
            (self.ring, "did not fit into the ring"),
            (self.refused, "were refused by the disk"),
        )
        return "; ".join(f"{_list(counts)} {what}" for counts, what in told if counts)


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {topic}" for topic, count in counts.most_common())
