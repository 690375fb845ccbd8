"""Stamped events: what the DiagnosticArray topics carry, and their typed forms.

An `Event` is one DiagnosticArray with one status. `from_message` reads any object with the
message's attributes (an rclpy message or one decoded from a bag); ``so101.ros.convert`` builds
messages. Each typed form and its event are an inverse pair.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from so101.clock import NS_PER_S
from so101.episode import ControlSource, EpisodeFacts, EpisodeState, Outcome
from so101.errors import BagError

OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Event:
    """One stamped fact.

    Attributes:
        stamp_ns: When it became true [ns].
        name: What it is about.
        message: Its state in one word, or a sentence for a person.
        values: Typed by key; text on the wire.
        level: `OK`, `WARN` or `ERROR`.
    """

    stamp_ns: int
    name: str
    message: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    level: int = OK


def from_message(message: Any) -> Event:
    """Read a DiagnosticArray.

    Raises:
        BagError: It does not hold exactly one status, or a key twice.
    """
    if len(message.status) != 1:
        raise BagError(f"event: expected one status, got {len(message.status)}")
    status = message.status[0]
    stamp = message.header.stamp
    level = status.level
    values = {item.key: item.value for item in status.values}
    if len(values) != len(status.values):
        keys = [item.key for item in status.values]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BagError(f"event {status.name!r}: duplicate key {twice!r}")
    return Event(
        stamp_ns=stamp.sec * NS_PER_S + stamp.nanosec,
        name=status.name,
        message=status.message,
        values=values,
        level=int.from_bytes(level, "little") if isinstance(level, bytes) else int(level),
    )


def encode(value: Any) -> str:
    """Write a value as text that `decode` reads back exactly.

    NaN and infinities survive: a diverged loss has to be reported as it is. Whoever computes with
    a number from an event checks it.
    """
    return value if isinstance(value, str) else json.dumps(value)


def decode(event: Event, key: str, kind: type) -> Any:
    """Read one value of an event.

    Raises:
        BagError: The key is missing or its text is not of this kind.
    """
    if key not in event.values:
        raise BagError(f"event {event.name!r}: missing key {key!r}")
    text = event.values[key]
    if kind is str:
        return text
    try:
        return _typed(json.loads(text), kind)
    except (ValueError, OverflowError, RecursionError):  # a ValueError when it is not JSON, too
        raise BagError(
            f"event {event.name!r}: {key}={text[:60]!r} is not {kind.__name__}"
        ) from None


def decode_tuple(event: Event, key: str, kind: type) -> tuple[Any, ...]:
    """Read a sequence of values of one kind.

    Raises:
        BagError: The key is missing, or its text is not a list of this kind.
    """
    try:
        return tuple(_typed(item, kind) for item in decode(event, key, list))
    except (ValueError, OverflowError):
        text = event.values[key]
        raise BagError(
            f"event {event.name!r}: {key}={text[:60]!r} is not a list of {kind.__name__}"
        ) from None


def _typed(value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{value!r} is not {kind.__name__}")
    return value


@dataclass(frozen=True, kw_only=True)
class EpisodeEvent:
    """The ``episode`` topic: an episode entered a state."""

    stamp_ns: int
    state: EpisodeState
    facts: EpisodeFacts
    reason: str = ""

    def to_event(self) -> Event:
        """Return the event, named by the episode id."""
        values = {f.name: encode(getattr(self.facts, f.name)) for f in fields(EpisodeFacts)}
        del values["id"]
        return Event(
            stamp_ns=self.stamp_ns,
            name=self.facts.id,
            message=self.state.value,
            values={**values, "reason": self.reason},
        )

    @classmethod
    def from_event(cls, event: Event) -> "EpisodeEvent":
        """Read the event."""
        kinds = {f.name: f.type for f in fields(EpisodeFacts) if f.name != "id"}
        facts = {name: decode(event, name, kind) for name, kind in kinds.items()}  # type: ignore[arg-type]
        return cls(
            stamp_ns=event.stamp_ns,
            state=_enum(EpisodeState, event.message, event),
            facts=EpisodeFacts(id=event.name, **facts),
            reason=decode(event, "reason", str),
        )


@dataclass(frozen=True, kw_only=True)
class ControlEvent:
    """The ``control_source`` topic: who is in control from this stamp on.

    Attributes:
        stamp_ns: First stamp of the new source [ns].
        source: Who is in control.
        device: The source's device (leader, gamepad, scripted, policy, ...).
        reason: Why it changed.
        decision_ticks: Policy ticks between two of this source's chunks; lock-step waits for
            every one of them. 0 for a source that plans its whole motion at once, or none.
    """

    stamp_ns: int
    source: ControlSource
    device: str = ""
    reason: str = ""
    decision_ticks: int = 0

    def to_event(self) -> Event:
        """Return the event, named by the source."""
        values = {
            "device": self.device,
            "reason": self.reason,
            "decision_ticks": encode(self.decision_ticks),
        }
        return Event(
            stamp_ns=self.stamp_ns, name="control_source", message=self.source.value, values=values
        )

    @classmethod
    def from_event(cls, event: Event) -> "ControlEvent":
        """Read the event."""
        return cls(
            stamp_ns=event.stamp_ns,
            source=_enum(ControlSource, event.message, event),
            device=decode(event, "device", str),
            reason=decode(event, "reason", str),
            decision_ticks=decode(event, "decision_ticks", int),
        )


@dataclass(frozen=True, kw_only=True)
class RewardEvent:
    """The ``reward`` topic: the reward of one policy tick."""

    stamp_ns: int
    reward: float
    success_probability: float
    terminated: bool

    def to_event(self) -> Event:
        """Return the event."""
        keys = ("reward", "success_probability", "terminated")
        values = {key: encode(getattr(self, key)) for key in keys}
        return Event(stamp_ns=self.stamp_ns, name="reward", values=values)

    @classmethod
    def from_event(cls, event: Event) -> "RewardEvent":
        """Read the event."""
        return cls(
            stamp_ns=event.stamp_ns,
            reward=decode(event, "reward", float),
            success_probability=decode(event, "success_probability", float),
            terminated=decode(event, "terminated", bool),
        )


@dataclass(frozen=True, kw_only=True)
class LabelEvent:
    """The ``label`` topic: somebody's word on an episode. The last one of a rater counts.

    Attributes:
        stamp_ns: When it was said [ns].
        episode: Episode id.
        rater: Who said it.
        outcome: An `Outcome` value, or empty.
        advantage: A number, or None; the key may be absent from a label given by hand.
        reasons: Reason codes or words.
    """

    stamp_ns: int
    episode: str
    rater: str
    outcome: str = ""
    advantage: float | None = None
    reasons: tuple[str, ...] = ()

    def to_event(self) -> Event:
        """Return the event, named by the episode id."""
        values = {
            "rater": self.rater,
            "outcome": self.outcome,
            "advantage": encode(self.advantage),
            "reasons": encode(list(self.reasons)),
        }
        return Event(stamp_ns=self.stamp_ns, name=self.episode, message="label", values=values)

    @classmethod
    def from_event(cls, event: Event) -> "LabelEvent":
        """Read the event."""
        advantage = event.values.get("advantage", "null")
        outcome = decode(event, "outcome", str)
        if outcome:
            _enum(Outcome, outcome, event, "outcome")
        return cls(
            stamp_ns=event.stamp_ns,
            episode=event.name,
            rater=decode(event, "rater", str),
            outcome=outcome,
            advantage=None if advantage == "null" else decode(event, "advantage", float),
            reasons=decode_tuple(event, "reasons", str),
        )


@dataclass(frozen=True, kw_only=True)
class PolicyInfo:
    """The ``policy/info`` topic: how one chunk came about, keyed by its observation stamp.

    Attributes:
        stamp_ns: Observation stamp of the chunk [ns].
        checkpoint: sha256 of the weights.
        inference_ms: Wall time of the inference [ms].
        speed: Playback factor.
        ages_ms: Stream to the age of the sample used [ms].
        native_action: The network's own numbers, flattened.
        indicator: Advantage indicator the policy was conditioned on; empty for none.
        guidance: Guidance weight.
        waiting_for: Why no chunk could be made; empty when one was.
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
        phase: ``idle``, ``loading``, ``training``, ``trained`` or ``failed``.
        step: Training steps done.
        steps: Training steps of the whole job.
        loss: Newest loss.
        checkpoint: sha256 of the checkpoint that training led to; empty before.
        episodes: Episodes trained on.
        reason: What went wrong, or what was left out.
    """

    stamp_ns: int
    phase: str
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    checkpoint: str = ""
    episodes: int = 0
    reason: str = ""

    def to_event(self) -> Event:
        """Return the event."""
        names = ("step", "steps", "loss", "checkpoint", "episodes", "reason")
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
        )


def _enum(kind: Any, value: str, event: Event, key: str = "message") -> Any:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(item.value for item in kind)
        raise BagError(
            f"event {event.name!r}: {key}={value[:60]!r} is not one of {allowed}"
        ) from None
