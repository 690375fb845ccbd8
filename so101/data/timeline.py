"""A bag's messages as typed, stamped values of the contract's topics.

Owns which topics a reader needs, their types and their namespace. Decodes nothing else.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from so101 import events
from so101.arrays import Float32Array, FloatArray, IntArray
from so101.control.trajectory import JointTrajectory
from so101.data.bag import Bag, BagMessage
from so101.data.cdr_tables import JointTable, image_content, joint_table, pose_table
from so101.data.messages import (
    aux_table,
    decode,
    joint_columns,
    joint_sample,
    pose_rows,
    stamp_ns,
    trajectory,
)
from so101.errors import BagError
from so101.streams import JointSample
from so101.topics import (
    COMPRESSED_IMAGE,
    CONTROL_SOURCE,
    EPISODE,
    IMAGE,
    JOINT_COMMANDS,
    JOINT_STATES,
    LABEL,
    OBJECTS,
    POLICY_TRAJECTORY,
    REWARD,
    TELEOP_TRAJECTORY,
    aux_topic,
    image_topic,
)

_IMAGE_ENDING = "_camera/image_raw/compressed"
_TOPICS = (
    JOINT_STATES,
    JOINT_COMMANDS,
    OBJECTS,
    EPISODE,
    CONTROL_SOURCE,
    REWARD,
    LABEL,
    POLICY_TRAJECTORY,
    TELEOP_TRAJECTORY,
)
_EVENTS: dict[str, Any] = {
    EPISODE.name: events.EpisodeEvent,
    CONTROL_SOURCE.name: events.ControlEvent,
    REWARD.name: events.RewardEvent,
    LABEL.name: events.LabelEvent,
}
_AUX = aux_topic("").name
_TRAJECTORIES = (POLICY_TRAJECTORY.name, TELEOP_TRAJECTORY.name)


class Sample(NamedTuple):
    """One message that an observation is joined from, as `ObservationBuilder.feed` takes it."""

    topic: str
    value: Any
    stamp_ns: int
    arrival_ns: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The decoded messages of a bag, by relative topic name, each list in arrival order.

    Attributes:
        samples: What observations are joined from.
        events: Typed events by topic.
        trajectories: Valid trajectories by topic; a stamp of 0 is replaced by its meaning, now.
        aux: Auxiliary arrays of the policy by name, and by observation stamp [ns].
        rejected: Trajectories by topic that break the topic's rules, as the arbiter rejects them.
        cameras: Ids of the cameras in the bag.
    """

    samples: list[Sample] = field(default_factory=list)
    events: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _EVENTS})
    trajectories: dict[str, list[JointTrajectory]] = field(
        default_factory=lambda: {name: [] for name in _TRAJECTORIES}
    )
    aux: dict[str, dict[int, Float32Array]] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TRAJECTORIES, 0))
    cameras: tuple[str, ...] = ()

    @property
    def has_objects(self) -> bool:
        """Tell whether object poses were recorded."""
        return any(sample.topic == OBJECTS.name for sample in self.samples)

    def stamps(self, topic: str) -> IntArray:
        """Return the sorted header stamps of a sampled stream [ns]."""
        return np.sort(
            np.array([s.stamp_ns for s in self.samples if s.topic == topic], dtype=np.int64)
        )

    def commands(self, joints: int) -> tuple[IntArray, FloatArray]:
        """Return stamps [ns] and goals [rad] of joint_commands, sorted by stamp."""
        found = {s.stamp_ns: s.value for s in self.samples if s.topic == JOINT_COMMANDS.name}
        stamps = np.array(sorted(found), dtype=np.int64)
        values = np.array([found[stamp] for stamp in stamps.tolist()], dtype=np.float64)
        return stamps, values.reshape(len(stamps), joints)


def find_namespace(bag: Bag, namespace: str | None) -> str:
    """Return what stands in front of the relative names in a bag, such as ``/`` or ``/left/``.

    Args:
        bag: The bag.
        namespace: The robot's namespace when it is known.

    Raises:
        BagError: No robot is in the bag, or several and none was named.
    """
    if namespace is not None:
        return f"/{namespace.strip('/')}/".replace("//", "/")
    ending = JOINT_STATES.name
    found = [
        topic.removesuffix(ending)
        for topic in bag.types
        if topic == ending or topic.endswith(f"/{ending}")
    ]
    if not found:
        raise BagError(f"{bag.path}: no topic {ending}; it holds {', '.join(bag.types) or 'none'}")
    if len(found) > 1:
        raise BagError(f"{bag.path}: several robots, name one: {', '.join(found)}")
    return found[0]


def read_timeline(bag: Bag, joints: tuple[str, ...], prefix: str) -> Timeline:
    """Decode the messages that episodes are made of.

    Args:
        bag: The bag.
        joints: Joint names in the order of every joint array.
        prefix: See `find_namespace`.

    Raises:
        BagError: A needed topic is missing or has the wrong type, or a message is broken.
    """
    cameras = _find_named(bag, prefix, _IMAGE_ENDING, COMPRESSED_IMAGE)
    arrays = _find_named(bag, prefix + _AUX, "", IMAGE)
    known = (*_TOPICS, *(image_topic(c) for c in cameras), *(aux_topic(name) for name in arrays))
    wanted = {prefix + topic.name: topic for topic in known}
    for topic, expected in wanted.items():
        found = bag.types.get(topic)
        if found is None and expected in (JOINT_STATES, JOINT_COMMANDS):
            raise BagError(f"{bag.path}: no topic {topic}")
        if found is not None and found != expected.type:
            raise BagError(f"{bag.path}: {topic}: type {found}, expected {expected.type}")
    timeline = Timeline(cameras=cameras)
    by_topic: dict[str, list[BagMessage]] = {topic: [] for topic in wanted}
    ordered = bag.messages(wanted)
    for message in ordered:
        by_topic[message.topic].append(message)
    for topic, messages in by_topic.items():
        try:
            _take(timeline, topic.removeprefix(prefix), bag.types.get(topic, ""), messages, joints)
        except BagError as error:
            raise BagError(f"{bag.path}: {topic}: {error}") from error
    timeline.samples[:] = _in_order(timeline.samples, ordered, prefix)
    return timeline


def _find_named(bag: Bag, beginning: str, ending: str, wanted: str) -> tuple[str, ...]:
    """Return the names between beginning and ending of the topics of a type, sorted."""
    names = [
        topic.removeprefix(beginning).removesuffix(ending)
        for topic, kind in bag.types.items()
        if topic.startswith(beginning) and topic.endswith(ending) and kind == wanted
    ]
    return tuple(sorted(name for name in names if name and "/" not in name))


def _take(
    timeline: Timeline,
    topic: str,
    type_name: str,
    messages: list[BagMessage],
    joints: tuple[str, ...],
) -> None:
    """Decode all messages of one topic."""
    if topic in _EVENTS:
        for message in messages:
            content = events.from_message(decode(message.data, type_name, "message"))
            timeline.events[topic].append(_EVENTS[topic].from_event(content))
    elif topic in _TRAJECTORIES:
        for message in messages:
            content = decode(message.data, type_name, "message")
            try:
                asked = trajectory(content, joints)
            except BagError:
                timeline.rejected[topic] += 1
            else:
                timeline.trajectories[topic].append(_stamped(timeline, asked, message))
    elif topic.startswith(_AUX):
        contents = [decode(message.data, type_name, "message") for message in messages]
        timeline.aux[topic.removeprefix(_AUX)] = {stamp_ns(c): aux_table(c) for c in contents}
    else:
        pairs = _stamped_values(topic, type_name, messages, joints)
        timeline.samples.extend(
            Sample(topic, value, stamp, message.log_time_ns)
            for (stamp, value), message in zip(pairs, messages, strict=True)
        )


def _stamped(timeline: Timeline, asked: JointTrajectory, message: BagMessage) -> JointTrajectory:
    """Give a trajectory that means "now" the newest joint state's stamp at its arrival."""
    if asked.stamp_ns:
        return asked
    stamps = [
        sample.stamp_ns
        for sample in timeline.samples
        if sample.topic == JOINT_STATES.name and sample.arrival_ns <= message.log_time_ns
    ]
    return replace(asked, stamp_ns=max(stamps, default=0))


def _in_order(samples: list[Sample], ordered: list[BagMessage], prefix: str) -> list[Sample]:
    """Bring samples, in order within each topic, into the order of the bag's messages."""
    by_topic: dict[str, list[Sample]] = {}
    for sample in samples:
        by_topic.setdefault(prefix + sample.topic, []).append(sample)
    following = {topic: iter(rows) for topic, rows in by_topic.items()}
    return [next(following[m.topic]) for m in ordered if m.topic in following]


def _stamped_values(
    topic: str, type_name: str, messages: list[BagMessage], joints: tuple[str, ...]
) -> list[tuple[int, Any]]:
    """Return header stamp [ns] and value of every message of a sampled stream."""
    if topic in (JOINT_STATES.name, JOINT_COMMANDS.name):
        joint_rows = joint_table([message.data for message in messages])
        if joint_rows is not None:
            return _joint_values(topic, joint_rows, joints)
    elif topic == OBJECTS.name:
        pose_stack = pose_table([message.data for message in messages])
        if pose_stack is not None and np.isfinite(pose_stack.poses).all():
            return list(zip(pose_stack.stamps_ns.tolist(), pose_stack.poses, strict=True))
    pairs: list[tuple[int, Any]] = []
    for message in messages:
        if topic.endswith(_IMAGE_ENDING):
            image = image_content(message.data)
            if image is not None:
                pairs.append(image)
                continue
        content = decode(message.data, type_name, "message")
        pairs.append((stamp_ns(content), _value(topic, content, joints)))
    return pairs


def _joint_values(topic: str, table: JointTable, joints: tuple[str, ...]) -> list[tuple[int, Any]]:
    columns = joint_columns(table.names, joints, *table[2:])
    stamps = table.stamps_ns.tolist()
    if topic == JOINT_COMMANDS.name:
        return list(zip(stamps, columns[0], strict=True))
    rows = zip(*columns, strict=True)
    samples = [JointSample(positions=p, velocities=v, effort=e) for p, v, e in rows]
    return list(zip(stamps, samples, strict=True))


def _value(topic: str, content: Any, joints: tuple[str, ...]) -> Any:
    if topic == JOINT_STATES.name:
        return joint_sample(content, joints)
    if topic == JOINT_COMMANDS.name:
        return joint_sample(content, joints).positions
    if topic == OBJECTS.name:
        return pose_rows(content)
    return content.data.tobytes()
