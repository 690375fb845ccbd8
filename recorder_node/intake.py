"""Takes every message once: its time, its place in the log, what is latched, how streams go."""

from collections.abc import Callable

from recorder_node.arrivals import Arrivals
from recorder_node.raw_message import RawMessage, header_stamp_ns
from recorder_node.stream_counts import StreamCounts
from so101.topics import Topic


class Intake:
    """What the recorder knows of the messages that arrived, recorded or not.

    Attributes:
        latched: Newest message of every latched topic, by name.
        newest: Newest header stamp of every topic, by name [ns].
        streams: How each stream goes.
    """

    def __init__(self, steady_ns: Callable[[], int], *, is_lock_step: bool) -> None:
        """Know no message.

        Args:
            steady_ns: Monotonic clock [ns].
            is_lock_step: Log times are header stamps, else times of arrival.
        """
        self.latched: dict[str, RawMessage] = {}
        self.newest: dict[str, int] = {}
        self.streams = StreamCounts()
        self._arrivals = Arrivals()
        self._steady_ns = steady_ns
        self._is_lock_step = is_lock_step
        self._log_ns = 0

    def take(self, topic: Topic, data: bytes, received_ns: int, lost_before: int) -> RawMessage:
        """Take one message; see `so101.ros.taps.Tapped`."""
        now_ns = self._steady_ns()
        message = RawMessage(
            topic=topic,
            data=data,
            stamp_ns=header_stamp_ns(topic, data),
            arrival_ns=self._arrivals.take(received_ns, now_ns),
            lost_before=lost_before,
        )
        if topic.is_latched:
            self.latched[topic.name] = message
        if message.stamp_ns is not None:
            self.newest[topic.name] = message.stamp_ns
        self.streams.count(topic.name, len(data), lost_before, now_ns)
        return message

    def begin_log(self, log_ns: int) -> None:
        """Begin a bag: no log time before this one [ns]."""
        self._log_ns = log_ns

    def log_times(self, message: RawMessage) -> tuple[int, int]:
        """Return when a message goes into the log, never before another, and when it was sent."""
        at_ns = message.stamp_ns if self._is_lock_step else message.arrival_ns
        self._log_ns = max(self._log_ns, at_ns or 0)
        sent_ns = self._log_ns if message.stamp_ns is None else message.stamp_ns
        return self._log_ns, max(0, sent_ns)  # a bag knows no time before 1970
