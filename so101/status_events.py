"""What processes say about themselves: the policy, its checkpoint, the recorder, the learner.

Typed forms of `so101.events.Event`, each the inverse of its event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from so101.events import ERROR, OK, WARN, Event, decode, decode_tuple, encode


@dataclass(frozen=True, kw_only=True)
class PolicyInfo:
    """The ``policy/info`` topic: how one chunk came about, keyed by its observation stamp.

    Attributes:
        stamp_ns: Observation stamp of the chunk [ns].
        checkpoint: sha256 of the weights; empty when the policy runs none.
        inference_ms: Wall time of the inference [ms].
        speed: Playback factor.
        ages_ms: Stream to the age of the sample used [ms].
        native_action: The network's own numbers, flattened.
        indicator: Advantage indicator the policy was conditioned on; empty for none.
        guidance: Guidance weight.
        waiting_for: Why no chunk could be made; empty when one was.
        highest_speed: Largest playback factor at which its chunks reach to their successors.
        waited_ms: From the observation to the beginning of its inference, wall time [ms].
        schedule: When the policy looks (`so101.policies.schedules.scheduling`).
        latency_ms: Time from an observation to its chunk that the schedule reckons with [ms].
        overtaken: Decisions of this episode that were due while an inference was in flight.
        refused: Inferences of this episode that gave no chunk that may be followed.
    """

    stamp_ns: int
    checkpoint: str
    inference_ms: float = 0.0
    speed: float = 1.0
    ages_ms: Mapping[str, float] = field(default_factory=dict)
    native_action: tuple[float, ...] = ()
    indicator: str = ""
    guidance: float = 1.0
    waiting_for: str = ""
    highest_speed: float = 1.0
    waited_ms: float = 0.0
    schedule: str = ""
    latency_ms: float = 0.0
    overtaken: int = 0
    refused: int = 0

    def to_event(self) -> Event:
        """Return the event."""
        names = [f.name for f in fields(self) if f.name not in ("stamp_ns", "ages_ms")]
        values = {name: encode(getattr(self, name)) for name in names}
        ages = {f"age_ms/{stream}": encode(age) for stream, age in self.ages_ms.items()}
        return Event(stamp_ns=self.stamp_ns, name="policy", values={**values, **ages})

    @classmethod
    def from_event(cls, event: Event) -> "PolicyInfo":
        """Read the event."""
        ages = [key for key in event.values if key.startswith("age_ms/")]
        return cls(
            stamp_ns=event.stamp_ns,
            checkpoint=decode(event, "checkpoint", str),
            inference_ms=decode(event, "inference_ms", float),
            speed=decode(event, "speed", float),
            ages_ms={key.removeprefix("age_ms/"): decode(event, key, float) for key in ages},
            native_action=decode_tuple(event, "native_action", float),
            indicator=decode(event, "indicator", str),
            guidance=decode(event, "guidance", float),
            waiting_for=decode(event, "waiting_for", str),
            highest_speed=decode(event, "highest_speed", float),
            waited_ms=decode(event, "waited_ms", float),
            schedule=decode(event, "schedule", str),
            latency_ms=decode(event, "latency_ms", float),
            overtaken=decode(event, "overtaken", int),
            refused=decode(event, "refused", int),
        )


@dataclass(frozen=True, kw_only=True)
class CheckpointEvent:
    """The ``policy/checkpoint`` topic: a checkpoint was published.

    Attributes:
        stamp_ns: When [ns].
        path: Its directory.
        sha256: Hash of its weights.
        role: ``candidate`` (may be tried), ``live`` (running) or ``promoted`` (passed the gate).
        step: Training step.
    """

    stamp_ns: int
    path: str
    sha256: str
    role: str
    step: int = 0

    def to_event(self) -> Event:
        """Return the event, named by the role."""
        values = {"path": self.path, "sha256": self.sha256, "step": encode(self.step)}
        return Event(stamp_ns=self.stamp_ns, name="checkpoint", message=self.role, values=values)

    @classmethod
    def from_event(cls, event: Event) -> "CheckpointEvent":
        """Read the event."""
        return cls(
            stamp_ns=event.stamp_ns,
            path=decode(event, "path", str),
            sha256=decode(event, "sha256", str),
            role=event.message,
            step=decode(event, "step", int),
        )


@dataclass(frozen=True, kw_only=True)
class RecorderStatus:
    """The ``recorder/status`` topic: what became of an episode's bag.

    Attributes:
        stamp_ns: Last stamp of the episode [ns].
        episode: Episode id.
        state: ``saved`` or ``lost``.
        path: The bag's directory, empty when lost.
        outcome: An `Outcome` value.
        messages: Messages in the bag.
        missing: Messages that were published but did not arrive.
        reason: Why it was lost, or what is wrong with it.
    """

    stamp_ns: int
    episode: str
    state: str
    path: str = ""
    outcome: str = ""
    messages: int = 0
    missing: int = 0
    reason: str = ""

    def to_event(self) -> Event:
        """Return the event, named by the episode id."""
        names = ("path", "outcome", "messages", "missing", "reason")
        values = {name: encode(getattr(self, name)) for name in names}
        level = OK if self.state == "saved" and not self.missing else ERROR
        return Event(
            stamp_ns=self.stamp_ns,
            name=self.episode,
            message=self.state,
            values=values,
            level=level,
        )

    @classmethod
    def from_event(cls, event: Event) -> "RecorderStatus":
        """Read the event."""
        return cls(
            stamp_ns=event.stamp_ns,
            episode=event.name,
            state=event.message,
            path=decode(event, "path", str),
            outcome=decode(event, "outcome", str),
            messages=decode(event, "messages", int),
            missing=decode(event, "missing", int),
            reason=decode(event, "reason", str),
        )


@dataclass(frozen=True, kw_only=True)
class LearnerStatus:
    """The ``learner/status`` topic, at least once a second while the learner is alive.

    Attributes:
        stamp_ns: When [ns].
        phase: ``idle``, ``loading``, ``training``, ``judging``, ``trained``, ``failed`` or
            ``taken back`` (a person rolled back what had been promoted).
        step: Training steps done, or poses tried.
        steps: Training steps of the whole job, or poses to try.
        loss: Newest loss.
        checkpoint: sha256 of the checkpoint that acts next; empty before it is known.
        episodes: Episodes trained on.
        reason: What went wrong, what was read and left out of it, or why the gate decided as it
            did.
        group: Group that is learned from; -1 for a fine-tuning.
        promoted: sha256 of the last checkpoint that the gate let pass, at first the supervised
            one: what the groups have led to so far. Empty before it is known.
        is_accepted: The gate's newest word was yes.
    """

    stamp_ns: int
    phase: str
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    checkpoint: str = ""
    episodes: int = 0
    reason: str = ""
    group: int = -1
    promoted: str = ""
    is_accepted: bool = False

    def to_event(self) -> Event:
        """Return the event."""
        names = [f.name for f in fields(self) if f.name not in ("stamp_ns", "phase")]
        values = {name: encode(getattr(self, name)) for name in names}
        level = ERROR if self.phase == "failed" else OK
        return Event(
            stamp_ns=self.stamp_ns, name="learner", message=self.phase, values=values, level=level
        )

    @classmethod
    def from_event(cls, event: Event) -> "LearnerStatus":
        """Read the event."""
        return cls(
            stamp_ns=event.stamp_ns,
            phase=event.message,
            step=decode(event, "step", int),
            steps=decode(event, "steps", int),
            loss=decode(event, "loss", float),
            checkpoint=decode(event, "checkpoint", str),
            episodes=decode(event, "episodes", int),
            reason=decode(event, "reason", str),
            group=decode(event, "group", int),
            promoted=decode(event, "promoted", str),
            is_accepted=decode(event, "is_accepted", bool),
        )


@dataclass(frozen=True, kw_only=True)
class SessionStatus:
    """The ``session/status`` topic: what the session has been waiting for unusually long.

    Attributes:
        stamp_ns: When [ns].
        phase: What the session is doing.
        waiting: For how long and for what, in words; empty when it goes on again.
    """

    stamp_ns: int
    phase: str
    waiting: str = ""

    def to_event(self) -> Event:
        """Return the event."""
        return Event(
            stamp_ns=self.stamp_ns,
            name="session",
            message=self.phase,
            values={"waiting": self.waiting},
            level=WARN if self.waiting else OK,
        )

    @classmethod
    def from_event(cls, event: Event) -> "SessionStatus":
        """Read the event."""
        waiting = decode(event, "waiting", str)
        return cls(stamp_ns=event.stamp_ns, phase=event.message, waiting=waiting)


@dataclass(frozen=True, kw_only=True)
class GroupRequest:
    """The ``learner/request`` topic: the session wants a group learned from.

    Latched, so that a learner that was killed hears it again and goes on. Asked for again, the
    learner answers with what came of it before.

    Attributes:
        stamp_ns: When [ns].
        group: Number of the group; its rollouts are in the store.
        checkpoint: sha256 of the policy that acted in it.
        highest_speed: Largest factor that its rollouts may have been played at.
        rule: How rollouts get their advantage.
        seed: Run seed, of the gate's poses too.
        task: Name of the task.
        start: Start region.
        time_limit_s: Of a rollout, simulated [s].
        rollouts: Rollouts of a group.
        is_last: No group follows: nothing acts on trial, who was accepted last is what came of it.
    """

    stamp_ns: int
    group: int
    checkpoint: str
    highest_speed: float = 1.0
    rule: str = "gated"
    seed: int = 0
    task: str = "pick"
    start: str = "std"
    time_limit_s: float = 12.0
    rollouts: int = 10
    is_last: bool = False

    def to_event(self) -> Event:
        """Return the event."""
        names = [f.name for f in fields(self) if f.name != "stamp_ns"]
        values = {name: encode(getattr(self, name)) for name in names}
        return Event(stamp_ns=self.stamp_ns, name="session", message="learn", values=values)

    @classmethod
    def from_event(cls, event: Event) -> "GroupRequest":
        """Read the event."""
        kinds = {f.name: f.type for f in fields(cls) if f.name != "stamp_ns"}
        found = {name: decode(event, name, kind) for name, kind in kinds.items()}  # type: ignore[arg-type]
        return cls(stamp_ns=event.stamp_ns, **found)
