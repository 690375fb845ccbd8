"""How each recorded stream goes: messages, rate, age, losses, bytes; told in `diagnostics`.

One status beside the node's own: whoever calls the roll reads that one and leaves this one alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from so101.clock import NS_PER_S
from so101.events import OK, WARN, Event, encode

NAME = "recorder_node: streams"


@dataclass(kw_only=True)
class Stream:
    """One topic.

    Attributes:
        messages: How many arrived.
        lost: How many are in no bag though an episode ran, or never arrived.
        size: Bytes that arrived.
        newest_ns: When the newest one was taken, by a steady clock [ns].
        reported: Messages at the time of the last report.
    """

    messages: int = 0
    lost: int = 0
    size: int = 0
    newest_ns: int = 0
    reported: int = 0


class StreamCounts:
    """Counts what arrives, by topic."""

    def __init__(self) -> None:
        """Know no topic."""
        self._streams: dict[str, Stream] = {}
        self._reported_ns: int | None = None
        self._lost = 0

    def count(self, topic: str, size: int, lost: int, now_ns: int) -> None:
        """Take a message of a topic, and how many are missing before it.

        Args:
            topic: Relative name.
            size: Its bytes.
            lost: Messages missing right before it.
            now_ns: Steady time [ns].
        """
        stream = self._streams.get(topic)
        if stream is None:
            stream = self._streams[topic] = Stream()
        stream.messages += 1
        stream.lost += lost
        stream.size += size
        stream.newest_ns = now_ns

    def lose(self, losses: Mapping[str, int]) -> None:
        """Take losses that were found elsewhere, by topic."""
        for topic, count in losses.items():
            self._streams.setdefault(topic, Stream()).lost += count

    def report(
        self, *, stamp_ns: int, now_ns: int, message: str, values: Mapping[str, str]
    ) -> Event:
        """Return the status and begin to count rates anew.

        Args:
            stamp_ns: Of the event [ns].
            now_ns: Steady time [ns].
            message: What the recorder does.
            values: Further values by key.
        """
        elapsed_ns = 0 if self._reported_ns is None else now_ns - self._reported_ns
        told: dict[str, str] = dict(values)
        lost = sum(stream.lost for stream in self._streams.values())
        for topic, stream in self._streams.items():
            fresh = stream.messages - stream.reported
            rate_hz = fresh * NS_PER_S / elapsed_ns if elapsed_ns > 0 else 0.0
            told[f"{topic}: messages"] = encode(stream.messages)
            told[f"{topic}: rate [Hz]"] = encode(round(rate_hz, 2))
            told[f"{topic}: age [s]"] = encode(round((now_ns - stream.newest_ns) / NS_PER_S, 3))
            told[f"{topic}: lost"] = encode(stream.lost)
            told[f"{topic}: bytes"] = encode(stream.size)
            stream.reported = stream.messages
        is_worse, self._lost, self._reported_ns = lost > self._lost, lost, now_ns
        level = WARN if is_worse else OK
        return Event(stamp_ns=stamp_ns, name=NAME, message=message, values=told, level=level)
