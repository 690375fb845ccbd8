"""From raw messages to one bag per episode, without ROS.

Messages wait in a bounded ring until an episode begins, because its first tick is published
before anybody says that it began. An episode is closed when every stream has reached its last
tick and who acted has said its last word. What was published and is not in the bag is counted,
wherever it was lost.
"""

from collections import deque
from collections.abc import Callable, Mapping

from recorder_node.intake import Intake
from recorder_node.losses import Losses
from recorder_node.raw_message import RawMessage
from recorder_node.recorder_setup import OUTCOMES, EpisodeEnd, RecorderSetup
from recorder_node.ring import Ring
from so101.data.bags.custom_data import IS_LOCK_STEP, PUBLISHED
from so101.data.stores.episode_recording import EpisodeRecording
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import EpisodeState, Outcome
from so101.errors import BagError, StoreError
from so101.events import EpisodeEvent, Event, encode
from so101.status_events import RecorderStatus
from so101.topics import Topic


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
        self._wall_time = wall_time
        self._steady_ns = steady_ns
        self._intake = Intake(steady_ns, is_lock_step=setup.is_lock_step)
        self._ring = Ring()
        self._losses = Losses()
        self._recording: EpisodeRecording | None = None
        self._running: EpisodeEvent | None = None
        self._end: EpisodeEnd | None = None
        self._problem = ""
        self._news: deque[RecorderStatus] = deque()

    @property
    def is_recording(self) -> bool:
        """Tell whether an episode is being recorded."""
        return self._recording is not None

    def on_message(
        self, topic: Topic, data: bytes, received_ns: int, lost_before: int = 0
    ) -> None:
        """Take one message.

        Args:
            topic: Its topic.
            data: CDR bytes.
            received_ns: When it was received, by the system clock [ns].
            lost_before: Messages of its publisher that are missing right before it.
        """
        message = self._intake.take(topic, data, received_ns, lost_before)
        if self._recording is not None:
            self._write(message)
        elif not topic.is_latched:
            self._ring.keep(message)

    def on_episode(self, event: EpisodeEvent) -> RecorderStatus | None:
        """Begin or end an episode; its own message on the topic comes through `on_message`.

        Returns:
            The loss to announce when the episode cannot be recorded, else None.
        """
        if event.state is EpisodeState.RUNNING:
            return self._begin(event)
        if event.state.is_end and self._recording is not None:
            self._end = EpisodeEnd(event, self._setup, self._steady_ns())
        return None

    def poll(self) -> RecorderStatus | None:
        """Close the episode once its last tick has arrived, and say what became of it.

        Also brings to the disk what has waited while nothing arrived.
        """
        if self._recording is not None:
            self._flush_if_due(self._recording)
        end = self._end
        if end is not None and end.is_due(self._intake.newest, self._steady_ns()):
            late = end.late(self._intake.newest)
            if late:
                self._problem = self._problem or f"no last message of {', '.join(late)}"
            self._news.append(self._close(end.event, OUTCOMES[end.event.state]))
        return self._news.popleft() if self._news else None

    def abort(self) -> None:
        """Close the open episode as incomplete."""
        if self._running is not None:
            self._problem = self._problem or "the recording was cut"
            self._news.append(self._close(self._running, Outcome.INCOMPLETE))

    def report(self, stamp_ns: int, values: Mapping[str, str]) -> Event:
        """Return how the streams go, for `diagnostics`.

        Args:
            stamp_ns: Of the event [ns].
            values: Further values by key.
        """
        message = f"recording {self._running.facts.id}" if self._running else "waiting"
        ring = {
            "ring: bytes": encode(self._ring.size),
            "ring: dropped": encode(self._ring.dropped.total()),
        }
        return self._intake.streams.report(
            stamp_ns=stamp_ns,
            now_ns=self._steady_ns(),
            message=f"{message}: {self._problem}" if self._problem else message,
            values={**values, **ring},
        )

    def _flush_if_due(self, recording: EpisodeRecording) -> None:
        try:
            recording.flush_if_due()
        except StoreError as error:
            self._problem = self._problem or f"disk: {error}"

    def _begin(self, event: EpisodeEvent) -> RecorderStatus | None:
        self.abort()
        self._problem = ""
        try:
            self._recording = self._store.begin(
                event.facts,
                self._setup.topics,
                self._wall_time(),
                namespace=self._setup.namespace,
                now_ns=self._steady_ns,
            )
        except StoreError as error:
            self._problem = str(error)
            return lost(event, str(error))
        self._running = event
        early, gone = self._ring.take(event.stamp_ns)
        self._losses = Losses(ring=gone)
        self._intake.streams.lose(gone)
        latched = list(self._intake.latched.values())
        # What was latched long ago is said again at the start, so the bag begins there.
        arrivals = [one.arrival_ns for one in (early or latched)]
        first_ns = event.stamp_ns if self._setup.is_lock_step else min(arrivals, default=0)
        self._intake.begin_log(first_ns)
        for message in (*latched, *early):
            self._write(message)
        return None

    def _write(self, message: RawMessage) -> None:
        topic, recording = message.topic.name, self._recording
        if message.lost_before:
            self._losses.missing[topic] += message.lost_before
        stamp_ns = message.stamp_ns
        if self._end is not None and stamp_ns is not None and stamp_ns > self._end.event.stamp_ns:
            return  # the next episode's business
        if recording is None:
            return
        try:
            recording.write(topic, message.data, *self._intake.log_times(message))
        except StoreError as error:
            self._problem = self._problem or f"disk: {error}"
            self._losses.refused[topic] += 1
            self._intake.streams.lose({topic: 1})

    def _close(self, end: EpisodeEvent, outcome: Outcome) -> RecorderStatus:
        recording, self._recording, self._end, self._running = self._recording, None, None, None
        if recording is None:
            return lost(end, self._problem)
        outcome = Outcome.INCOMPLETE if self._losses.refused else outcome
        counts, losses = recording.counts, self._losses.by_topic()
        custom = {
            **self._setup.facts,
            IS_LOCK_STEP: encode(self._setup.is_lock_step),
            **published(counts, losses),
            "reason": end.reason,
            "problem": "; ".join(filter(None, (self._problem, self._losses.describe()))),
        }
        try:
            entry = recording.finish(outcome, custom)
        except (StoreError, BagError) as error:
            return lost(end, f"{self._problem or error}; what reached the disk can be recovered")
        if entry.is_incomplete:
            why = self._problem or entry.custom_data.get("recovered", "")
            return lost(end, f"{why}; kept as incomplete", entry)
        return saved(end, outcome, entry, self._losses, self._problem)


def published(counts: Mapping[str, int], losses: Mapping[str, int]) -> dict[str, str]:
    """Return what a bag says of how many messages were published, by topic.

    Args:
        counts: Messages in the bag.
        losses: Messages that are not.
    """
    return {
        f"{PUBLISHED}{name}": encode(count + losses.get(name, 0)) for name, count in counts.items()
    }


def saved(
    end: EpisodeEvent, outcome: Outcome, entry: EpisodeEntry, losses: Losses, problem: str
) -> RecorderStatus:
    """Return the word on an episode that is in the store."""
    return RecorderStatus(
        stamp_ns=end.stamp_ns,
        episode=end.facts.id,
        state="saved",
        path=str(entry.path),
        outcome=outcome.value,
        messages=entry.messages,
        missing=losses.total,
        reason="; ".join(filter(None, (problem, losses.describe()))),
    )


def lost(event: EpisodeEvent, reason: str, entry: EpisodeEntry | None = None) -> RecorderStatus:
    """Return the word on an episode that is not in the store, or of which only a part is."""
    return RecorderStatus(
        stamp_ns=event.stamp_ns,
        episode=event.facts.id,
        state="lost",
        reason=reason,
        path=str(entry.path) if entry else "",
        outcome=Outcome.INCOMPLETE.value if entry else "",
        messages=entry.messages if entry else 0,
    )
