"""From raw messages to one bag of everything, from start to end, without ROS.

The bag is split into files, each of which says again what is latched. Episodes are found in it by
the episode topic; each is announced as saved once its last message is in the bag.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from recorder_node.episode_recorder import lost, published
from recorder_node.intake import Intake
from recorder_node.losses import Losses
from recorder_node.raw_message import RawMessage
from recorder_node.recorder_setup import OUTCOMES, EpisodeEnd, RecorderSetup
from so101.data.bags.bag_writer import Split
from so101.data.bags.custom_data import IS_LOCK_STEP
from so101.data.stores.episode_recording import EpisodeRecording
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.errors import BagError, StoreError
from so101.events import EpisodeEvent, Event, encode
from so101.status_events import RecorderStatus
from so101.topics import Topic

PHASE = "continuous"


class ContinuousRecorder:
    """Records everything into one bag after another; mostly there is only one."""

    def __init__(
        self,
        store: EpisodeStore,
        setup: RecorderSetup,
        split: Split,
        *,
        wall_time: Callable[[], str],
        steady_ns: Callable[[], int],
    ) -> None:
        """Begin the bag.

        Args:
            store: Where bags go.
            setup: What is recorded.
            split: When a bag goes on in its next file.
            wall_time: Tells ``YYYYMMDD-HHMMSS``.
            steady_ns: Monotonic clock [ns].

        Raises:
            StoreError: The store cannot be written, or space is short.
        """
        self._store = store
        self._setup = setup
        self._split = split
        self._wall_time = wall_time
        self._steady_ns = steady_ns
        self._intake = Intake(steady_ns, is_lock_step=setup.is_lock_step)
        self._all_losses: Counter[str] = Counter()
        self._losses = Losses()
        self._running: EpisodeEvent | None = None
        self._messages_before = 0
        self._end: EpisodeEnd | None = None
        self._problem = ""
        self._news: deque[RecorderStatus] = deque()
        self._recording: EpisodeRecording | None = self._begin_bag()

    def on_message(
        self, topic: Topic, data: bytes, received_ns: int, lost_before: int = 0
    ) -> None:
        """Take one message; see `EpisodeRecorder.on_message`."""
        message = self._intake.take(topic, data, received_ns, lost_before)
        if lost_before:
            self._losses.missing[topic.name] += lost_before
            self._all_losses[topic.name] += lost_before
        self._write(message)

    def on_episode(self, event: EpisodeEvent) -> RecorderStatus | None:
        """Note where an episode begins or ends.

        Returns:
            The loss to announce when it cannot be recorded, else None.
        """
        if event.state is EpisodeState.RUNNING:
            return self._begin(event)
        if event.state.is_end and self._running is not None:
            self._end = EpisodeEnd(event, self._setup, self._steady_ns())
        return None

    def poll(self) -> RecorderStatus | None:
        """Say what became of an episode once its last message has arrived; flush what waits."""
        if self._recording is not None:
            try:
                self._recording.flush_if_due()
            except StoreError as error:
                self._refuse(error)
        end = self._end
        if end is not None and end.is_due(self._intake.newest, self._steady_ns()):
            self._news.append(self._conclude(end))
        return self._news.popleft() if self._news else None

    def abort(self) -> None:
        """Close the bag: the end of a continuous recording."""
        if self._recording is not None:
            self._close_bag(self._recording)

    def report(self, stamp_ns: int, values: Mapping[str, str]) -> Event:
        """Return how the streams go; see `EpisodeRecorder.report`."""
        name = self._recording.facts.id if self._recording else "nothing"
        message = f"recording {name}" + (f": {self._problem}" if self._problem else "")
        return self._intake.streams.report(
            stamp_ns=stamp_ns, now_ns=self._steady_ns(), message=message, values=values
        )

    def _begin_bag(self) -> EpisodeRecording:
        recording = self._store.begin(
            EpisodeFacts(id=_free_id(self._store.root), phase=PHASE),
            self._setup.topics,
            self._wall_time(),
            namespace=self._setup.namespace,
            split=self._split,
            now_ns=self._steady_ns,
        )
        self._problem = ""
        self._all_losses.clear()
        return recording

    def _begin(self, event: EpisodeEvent) -> RecorderStatus | None:
        if self._end is not None:
            self._news.append(self._conclude(self._end))
        if self._recording is None:
            try:
                self._recording = self._begin_bag()
            except StoreError as error:
                self._problem = str(error)
                return lost(event, str(error))
            for message in tuple(self._intake.latched.values()):
                self._write(message)
        self._running, self._losses = event, Losses()
        self._messages_before = self._messages()
        return None

    def _messages(self) -> int:
        return sum(self._recording.counts.values()) if self._recording else 0

    def _write(self, message: RawMessage) -> None:
        if self._recording is not None:
            log_ns, sent_ns = self._intake.log_times(message)
            try:
                self._recording.write(message.topic.name, message.data, log_ns, sent_ns)
            except StoreError as error:
                self._all_losses[message.topic.name] += 1
                self._refuse(error)
        if self._recording is None:
            self._losses.refused[message.topic.name] += 1
            self._intake.streams.lose({message.topic.name: 1})

    def _refuse(self, error: StoreError) -> None:
        """Close the bag that the disk refuses; the next episode begins another one."""
        self._problem = self._problem or f"disk: {error}"
        if self._recording is not None:
            self._close_bag(self._recording)

    def _conclude(self, end: EpisodeEnd) -> RecorderStatus:
        """Return the word on an episode that ended."""
        self._running = self._end = None
        event, losses = end.event, self._losses
        late = end.late(self._intake.newest)
        problem = f"no last message of {', '.join(late)}" if late else ""
        try:
            if self._recording is not None:
                self._recording.sync()  # what is announced as saved survives whatever comes
        except StoreError as error:
            self._refuse(error)
        if self._recording is None or losses.refused:
            return lost(event, f"{self._problem}; the bag ends before the episode does")
        return RecorderStatus(
            stamp_ns=event.stamp_ns,
            episode=event.facts.id,
            state="saved",
            path=str(self._recording.path),
            outcome=OUTCOMES[event.state].value,
            messages=self._messages() - self._messages_before,
            missing=losses.total,
            reason="; ".join(filter(None, (problem, losses.describe()))),
        )

    def _close_bag(self, recording: EpisodeRecording) -> EpisodeEntry | None:
        self._recording = None
        repeated = recording.repeated
        counts = {name: found - repeated[name] for name, found in recording.counts.items()}
        custom = {
            **self._setup.facts,
            IS_LOCK_STEP: encode(self._setup.is_lock_step),
            **published(counts, self._all_losses),
            "problem": self._problem,
        }
        try:
            return recording.finish(Outcome.INCOMPLETE if self._problem else None, custom)
        except (StoreError, BagError) as error:
            self._problem = f"{self._problem or error}; what reached the disk can be recovered"
            return None


def _free_id(store: Path) -> str:
    """Return the first of ``continuous-0000`` and so on that no bag of a store has."""
    names = (f"{PHASE}-{number:04d}" for number in count())
    return next(name for name in names if not any(store.glob(f"*-{name}*")))
