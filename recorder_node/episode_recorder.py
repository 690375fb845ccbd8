"""From raw messages to one bag per episode, without ROS.

Messages wait in a bounded ring until an episode begins, because its first tick is published
before anybody says that it began. An episode is closed when every stream has reached its last
tick and who acted has said its last word; gaps in the publishers' sequence numbers are counted, so
a loss is never silent.
"""

import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from so101.clock import NS_PER_S
from so101.data.custom_data import IS_LOCK_STEP, PUBLISHED
from so101.data.episode_store import EpisodeRecording, EpisodeStore
from so101.episode import EpisodeState, Outcome
from so101.errors import StoreError
from so101.events import EpisodeEvent, encode
from so101.status_events import RecorderStatus
from so101.topics import FLOAT64, POLICY_ALIVE, STRING, TELEOP_ALIVE, Topic

RING_BYTES = 64_000_000
RING_NS = 2 * NS_PER_S
CLOSE_WITHIN_NS = 3 * NS_PER_S
_HEADLESS = (STRING, FLOAT64)

LAST_WORDS = {"policy": POLICY_ALIVE, "teleop": TELEOP_ALIVE}
"""Of each source, the topic of its signs of life; the last one has the stamp of the end."""

OUTCOMES = {
    EpisodeState.SUCCEEDED: Outcome.SUCCESS,
    EpisodeState.FAILED: Outcome.FAILURE,
    EpisodeState.TRUNCATED: Outcome.TRUNCATED,
    EpisodeState.DISCARDED: Outcome.DISCARDED,
}


@dataclass(frozen=True, kw_only=True)
class RawMessage:
    """One serialized message as it arrived.

    Attributes:
        topic: Relative name.
        data: CDR bytes.
        stamp_ns: Header stamp [ns]; None for messages without a header.
        arrival_ns: When it arrived, by the recorder's clock [ns].
    """

    topic: str
    data: bytes
    stamp_ns: int | None
    arrival_ns: int


def header_stamp_ns(topic: Topic, data: bytes) -> int | None:
    """Read the header stamp of a serialized message [ns]; None for types without a header.

    The header is the first member of every recorded type that has one, and its stamp the first
    member of the header: behind the four bytes that name the encoding.
    """
    if topic.type in _HEADLESS or len(data) < 12:
        return None
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", data, 4)
    return int(seconds * NS_PER_S + nanoseconds)


class SequenceCounter:
    """Counts messages that were sent but never arrived, by gaps in sequence numbers."""

    def __init__(self) -> None:
        """Know no publisher."""
        self._last: dict[tuple[str, bytes], int] = {}
        self.missing: dict[str, int] = {}

    def count(self, topic: str, publisher: bytes, sequence: int) -> None:
        """Take the sequence number of a message that arrived."""
        last = self._last.get((topic, publisher))
        if last is not None and sequence > last + 1:
            self.missing[topic] = self.missing.get(topic, 0) + sequence - last - 1
        self._last[topic, publisher] = max(sequence, last or 0)

    def restart(self) -> None:
        """Begin a new episode: what was missing before does not count."""
        self.missing = {}


@dataclass(frozen=True, kw_only=True)
class RecorderSetup:
    """What is recorded.

    Attributes:
        topics: Topics of every bag.
        paced: Names of the streams that tick throughout an episode: it is closed when all of
            them have reached its end.
        facts: Custom data of every bag, such as the software's version.
        is_lock_step: Log times are simulated time, so that a bag plays at its own pace.
        namespace: Robot namespace of the topics.
    """

    topics: tuple[Topic, ...]
    paced: tuple[str, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    is_lock_step: bool = True
    namespace: str = ""


class EpisodeRecorder:
    """Records one episode after another into a store."""

    def __init__(
        self,
        store: EpisodeStore,
        setup: RecorderSetup,
        *,
        wall_time: Callable[[], str],
        steady_ns: Callable[[], int],
    ) -> None:
        """Record nothing yet.

        Args:
            store: Where bags go.
            setup: What is recorded.
            wall_time: Tells ``YYYYMMDD-HHMMSS``.
            steady_ns: Monotonic clock [ns].
        """
        self._store = store
        self._setup = setup
        self._topics = {topic.name: topic for topic in setup.topics}
        self._wall_time = wall_time
        self._steady_ns = steady_ns
        self._ring: deque[RawMessage] = deque()
        self._ring_bytes = 0
        self._latched: dict[str, RawMessage] = {}
        self._newest: dict[str, int] = {}
        self._recording: EpisodeRecording | None = None
        self._end: EpisodeEvent | None = None
        self._end_asked_ns = 0
        self._log_ns = 0
        self._problem = ""
        self.sequences = SequenceCounter()

    @property
    def is_recording(self) -> bool:
        """Tell whether an episode is being recorded."""
        return self._recording is not None

    @property
    def is_ending(self) -> bool:
        """Tell whether an episode ended and waits for its last messages."""
        return self._end is not None

    def on_message(self, topic: Topic, data: bytes, arrival_ns: int) -> None:
        """Take one message."""
        message = RawMessage(
            topic=topic.name,
            data=data,
            stamp_ns=header_stamp_ns(topic, data),
            arrival_ns=arrival_ns,
        )
        if topic.is_latched:
            self._latched[topic.name] = message
        if message.stamp_ns is not None:
            newest = self._newest.get(topic.name, message.stamp_ns)
            self._newest[topic.name] = max(newest, message.stamp_ns)
        if self._recording is not None:
            self._write(message)
        elif not topic.is_latched:
            self._remember(message)

    def on_episode(self, event: EpisodeEvent) -> RecorderStatus | None:
        """Begin or end an episode; its own message on the topic comes through `on_message`.

        Returns:
            The loss to announce when the episode cannot be recorded, else None.
        """
        if event.state is EpisodeState.RUNNING:
            return self._begin(event)
        if event.state.is_end and self._recording is not None:
            self._end = event
            self._end_asked_ns = self._steady_ns()
        return None

    def poll(self) -> RecorderStatus | None:
        """Close the episode once its last tick has arrived, and say what became of it."""
        end = self._end
        if end is None or self._recording is None:
            return None
        awaited = [*self._setup.paced, *self._last_words(end.facts.source)]
        late = [name for name in awaited if self._newest.get(name, -1) < end.stamp_ns]
        if late and self._steady_ns() - self._end_asked_ns < CLOSE_WITHIN_NS:
            return None
        if late:
            self._problem = self._problem or f"no last message of {', '.join(late)}"
        return self._close(end)

    def abort(self) -> None:
        """Leave the open episode as it is on the disk; recovery marks it incomplete."""
        if self._recording is not None:
            self._recording.flush()
            self._recording = self._end = None

    def _last_words(self, source: str) -> list[str]:
        """Return the topic on which who acted says that nothing of it is on the way any more."""
        topic = LAST_WORDS.get(source)
        return [topic.name] if topic in self._setup.topics else []

    def _begin(self, event: EpisodeEvent) -> RecorderStatus | None:
        self.abort()
        self._problem = ""
        try:
            self._recording = self._store.begin(
                event.facts,
                tuple(self._topics.values()),
                self._wall_time(),
                namespace=self._setup.namespace,
            )
        except StoreError as error:
            return _lost(event, str(error))
        early = [one for one in self._ring if (one.stamp_ns or 0) >= event.stamp_ns]
        latched = list(self._latched.values())
        # What was latched long ago is said again at the start, so the bag begins there.
        arrivals = [one.arrival_ns for one in (early or latched)]
        self._log_ns = event.stamp_ns if self._setup.is_lock_step else min(arrivals, default=0)
        for message in (*latched, *early):
            self._write(message)
        self._ring.clear()
        self._ring_bytes = 0
        self.sequences.restart()
        return None

    def _close(self, end: EpisodeEvent) -> RecorderStatus:
        recording, self._recording, self._end = self._recording, None, None
        if recording is None or self._problem.startswith("disk"):
            return _lost(end, self._problem)
        missing = self.sequences.missing
        published = {
            f"{PUBLISHED}{name}": encode(count + missing.get(name, 0))
            for name, count in recording.counts.items()
        }
        outcome = OUTCOMES[end.state]
        is_lock_step = {IS_LOCK_STEP: encode(self._setup.is_lock_step)}
        custom = {
            **self._setup.facts,
            **is_lock_step,
            **published,
            "reason": end.reason,
            "problem": self._problem,
        }
        try:
            entry = recording.finish(outcome, custom)
        except StoreError as error:
            return _lost(end, str(error))
        return RecorderStatus(
            stamp_ns=end.stamp_ns,
            episode=end.facts.id,
            state="saved",
            path=str(entry.path),
            outcome=outcome.value,
            messages=sum(recording.counts.values()),
            missing=sum(missing.values()),
            reason=self._problem,
        )

    def _write(self, message: RawMessage) -> None:
        end = self._end
        if end is not None and message.stamp_ns is not None and message.stamp_ns > end.stamp_ns:
            return  # the next episode's business
        now_ns = message.stamp_ns if self._setup.is_lock_step else message.arrival_ns
        self._log_ns = max(self._log_ns, now_ns or 0)
        sent_ns = self._log_ns if message.stamp_ns is None else message.stamp_ns
        if self._recording is None:
            return
        try:
            self._recording.write(message.topic, message.data, self._log_ns, sent_ns)
        except StoreError as error:
            self._problem = self._problem or f"disk: {error}"

    def _remember(self, message: RawMessage) -> None:
        self._ring.append(message)
        self._ring_bytes += len(message.data)
        while self._ring and (
            self._ring_bytes > RING_BYTES
            or message.arrival_ns - self._ring[0].arrival_ns > RING_NS
        ):
            self._ring_bytes -= len(self._ring.popleft().data)


def _lost(event: EpisodeEvent, reason: str) -> RecorderStatus:
    """Return the word on an episode that is not in the store; recovery may find a part of it."""
    return RecorderStatus(
        stamp_ns=event.stamp_ns, episode=event.facts.id, state="lost", reason=reason
    )
