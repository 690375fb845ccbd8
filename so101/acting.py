"""When a source acts and on what: one loop for the policy, the script and in-process roll-outs.

It listens to the episode, joins the streams and hands out the observation of each decision tick
exactly once. It neither plans nor publishes.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from so101.camera_images import CameraImage
from so101.clock import nanoseconds
from so101.decisions import DecisionClock
from so101.decoding import EarlyDecoder
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent
from so101.observation import Observation
from so101.streams import JoinedTick, ObservationBuilder, ObservationConfig, Waiting
from so101.topics import JOINT_STATES, image_topic


class ActingLoop:
    """Hands a source its observations, one per decision tick of its own episodes.

    Attributes:
        builder: Joins the streams.
        clock: Decision ticks of the present episode.
        facts: The present episode, None between episodes and in others' episodes.
        waiting_for: Why the due observation is not there yet; empty when nothing is due.
        skewed: Camera id to ticks that were not decided on because its image was too much older
            than another camera's.
        missing: Camera id to ticks that were not decided on because it had no image.
    """

    def __init__(
        self,
        config: ObservationConfig,
        source: str,
        decision_ticks: int,
        decoder: EarlyDecoder | None = None,
    ) -> None:
        """Wait for an episode.

        Args:
            config: What an observation is made of.
            source: ``policy`` or ``teleop``: acts in episodes whose facts name it.
            decision_ticks: Policy ticks from one chunk to the next.
            decoder: Decodes images of the due decision while the rest of it is waited for; None
                leaves it to whoever looks.
        """
        self.builder = ObservationBuilder(config, decoder.take if decoder else CameraImage)
        self.clock = DecisionClock()
        self.facts: EpisodeFacts | None = None
        self.waiting_for = ""
        self.skewed: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self._blind_to = ""
        self._blind_since_ns: int | None = None
        self.joined: JoinedTick | None = None
        self._source = source
        self._ticks = decision_ticks
        self._decoder = decoder
        self._cameras = {image_topic(camera).name: camera for camera in config.cameras}
        self._newest_ns = 0

    def on_episode(self, event: EpisodeEvent) -> bool:
        """Take note of the episode topic; tell whether an episode of this source began."""
        if event.state is not EpisodeState.RUNNING:
            self.facts = None
            self.clock.stop()
            return False
        self.builder.reset(event.stamp_ns)
        if event.facts.source != self._source:
            return False
        self.facts = event.facts
        self.clock.start(event.stamp_ns, self._ticks)
        return True

    def has_ended(self, event: EpisodeEvent) -> bool:
        """Tell whether an episode of this source is over: its last word is due.

        The recorder waits for a sign of life with the stamp of the end. Whatever the source had
        planned until then was sent before it.
        """
        return event.state.is_end and event.facts.source == self._source

    def resize(self, image_size: tuple[int, int]) -> None:
        """Hand out images of another size from now on [px]; (0, 0) as recorded."""
        self.builder.config = replace(self.builder.config, image_size=image_size)

    def feed(self, topic: str, value: Any, stamp_ns: int, arrival_ns: int) -> None:
        """Take one decoded message of one of the builder's topics."""
        self.builder.feed(topic, value, stamp_ns, arrival_ns)
        if topic == JOINT_STATES.name:
            self._newest_ns = max(self._newest_ns, stamp_ns)
        if self._decoder and topic in self._cameras and self._may_use(stamp_ns):
            size = self.builder.config.image_size
            self._decoder.begin(self._cameras[topic], value, size)

    def hold_back(self, stamp_ns: int) -> int:
        """Decide on nothing before a stamp [ns]: so long the last decision was worth no other.

        Returns:
            How many decisions were due meanwhile and will not be made.
        """
        due_ns, overtaken = self.clock.due_ns, self.clock.overdue(self._newest_ns)
        self.clock.postpone(stamp_ns)
        return overtaken if self.clock.due_ns != due_ns else 0

    def retry(self) -> None:
        """Decide on the newest tick: nothing came of the last decision."""
        self.clock.again(self._newest_ns)

    def due(self) -> Observation | None:
        """Return the observation of the due decision, once; None when there is none yet.

        Samples may be lost to whoever was held up longer than they are kept for it. A decision
        that still waits for its own when the next one is due is given up. One that would be blind
        is put off by a tick: an image that comes too late for its tick is not waited for.
        """
        while self.clock.due_ns is not None:
            tick_ns = self.clock.due_ns
            built = self.builder.build(tick_ns, on_join=self._keep)
            if not isinstance(built, Waiting):
                self._see()
                self.clock.decided(self._newest_ns)
                return built
            self.waiting_for = built.reason
            if built.blind:
                self._blind_to = built.reason
                self._blind_since_ns = self._blind_since_ns or tick_ns
                self.skewed.update(built.blind.skewed)
                self.missing.update(built.blind.missing - built.blind.skewed)
            if not self.clock.skip(self._newest_ns):
                if not built.blind:
                    return None
                self.clock.postpone(tick_ns + 1)
        self._see()
        return None

    @property
    def ages_ms(self) -> dict[str, float]:
        """Age of every sample behind the last observation, by topic [ms]."""
        return {} if self.joined is None else self.joined.ages_ms()

    def blindness(self, longer_than_s: float) -> str:
        """Return which image has been lacking for longer than some time; empty for none.

        Args:
            longer_than_s: From the first tick without it to the newest joint state [s].
        """
        since_ns = self._blind_since_ns
        is_long = since_ns is not None and self._newest_ns - since_ns > nanoseconds(longer_than_s)
        return self._blind_to if is_long else ""

    def _see(self) -> None:
        self.waiting_for = self._blind_to = ""
        self._blind_since_ns = None

    def _may_use(self, stamp_ns: int) -> bool:
        """Tell whether an image can belong to the due decision.

        In lock-step that is the image of its very tick. Otherwise it is any within the age limit:
        which one is the last in time is known too late.
        """
        config, due_ns = self.builder.config, self.clock.due_ns
        oldest_s = 0.0 if config.is_lock_step else config.max_image_age_s
        return due_ns is not None and 0 <= due_ns - stamp_ns <= nanoseconds(oldest_s)

    def _keep(self, joined: JoinedTick) -> None:
        self.joined = joined
