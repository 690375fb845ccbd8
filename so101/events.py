"""Stamped events: what the DiagnosticArray topics carry, and what learners join on.

An `Event` is one DiagnosticArray with one status. `from_message` reads any object with the
message's attributes (an rclpy message or one decoded from a bag); ``so101.ros.convert`` builds
messages. The typed forms here say what became of an episode; those of ``so101.status_events`` say
how a process is doing. Each typed form and its event are an inverse pair.
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
        hardware_id: The device that it is about, by the name it is opened by; empty for none.
    """

    stamp_ns: int
    name: str
    message: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    level: int = OK
    hardware_id: str = ""


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
        hardware_id=status.hardware_id,
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
        if "instruction" not in event.values:  # a bag of an earlier version
            del kinds["instruction"]
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
        is_taken_over: A person has taken over, whether or not they act already: nobody else may.
            Bags of earlier versions do not say it.
    """

    stamp_ns: int
    source: ControlSource
    device: str = ""
    reason: str = ""
    decision_ticks: int = 0
    is_taken_over: bool = False

    def to_event(self) -> Event:
        """Return the event, named by the source."""
        values = {
            "device": self.device,
            "reason": self.reason,
            "decision_ticks": encode(self.decision_ticks),
            "taken_over": encode(self.is_taken_over),
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
            is_taken_over="taken_over" in event.values and decode(event, "taken_over", bool),
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
        advantage: A number, or None.
        reasons: Reason codes or words.
        note: Free text for people.
        undoes: The rater whose last word this takes back; empty when it is a word of its own. What
            takes a word back says nothing else, except why in its note.

    The keys advantage, note and undoes may be absent from a label given by hand.
    """

    stamp_ns: int
    episode: str
    rater: str
    outcome: str = ""
    advantage: float | None = None
    reasons: tuple[str, ...] = ()
    note: str = ""
    undoes: str = ""

    def to_event(self) -> Event:
        """Return the event, named by the episode id."""
        values = {
            "rater": self.rater,
            "outcome": self.outcome,
            "advantage": encode(self.advantage),
            "reasons": encode(list(self.reasons)),
            "note": self.note,
            "undoes": self.undoes,
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
            note=event.values.get("note", ""),
            undoes=event.values.get("undoes", ""),
        )


def _enum(kind: Any, value: str, event: Event, key: str = "message") -> Any:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(item.value for item in kind)
        raise BagError(
            f"event {event.name!r}: {key}={value[:60]!r} is not one of {allowed}"
        ) from None
