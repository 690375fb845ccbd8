"""A bag's messages as typed, stamped values of the contract's topics.

Decodes what episodes are made of, and nothing else.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from so101 import events
from so101.arrays import Float32Array, FloatArray, IntArray
from so101.control.trajectory import JointTrajectory
from so101.data.bags.bag import Bag, BagMessage
from so101.data.bags.cdr_tables import JointTable, image_content, joint_table, pose_table
from so101.data.bags.messages import (
    aux_table,
    decode,
    joint_columns,
    joint_sample,
    pose_rows,
    stamp_ns,
    trajectory,
)
from so101.data.episodes.robot_topics import AUX, find_images, find_wanted, joined_name
from so101.errors import BagError
from so101.images import encode_png
from so101.raw_images import raw_image
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
    Topic,
)

_EVENTS: dict[str, Any] = {
    EPISODE.name: events.EpisodeEvent,
    CONTROL_SOURCE.name: events.ControlEvent,
    REWARD.name: events.RewardEvent,
    LABEL.name: events.LabelEvent,
}
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
        arrivals: When those trajectories that came from a bag arrived [ns], by topic.
        aux: Auxiliary arrays of the policy by name, and by observation stamp [ns].
        rejected: Trajectories by topic that break the topic's rules, as the arbiter rejects them.
        cameras: Ids of the cameras in the bag.
        prefix: What stands in front of the relative names in the bag.
    """

    samples: list[Sample] = field(default_factory=list)
    events: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _EVENTS})
    trajectories: dict[str, list[JointTrajectory]] = field(
        default_factory=lambda: {name: [] for name in _TRAJECTORIES}
    )
    arrivals: dict[str, list[int]] = field(
        default_factory=lambda: {name: [] for name in _TRAJECTORIES}
    )
    aux: dict[str, dict[int, Float32Array]] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TRAJECTORIES, 0))
    cameras: tuple[str, ...] = ()
    prefix: str = "/"

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


def read_timeline(
    bag: Bag, joints: tuple[str, ...], prefix: str, *, by_arrival: bool = False
) -> Timeline:
    """Decode the messages that episodes are made of.

    Args:
        bag: The bag.
        joints: Joint names in the order of every joint array.
        prefix: See `so101.data.episodes.robot_topics.find_namespace`.
        by_arrival: Give samples the time of their arrival as their stamp.

    Raises:
        BagError: A needed topic is missing or has the wrong type, or a message is broken.
    """
    images = find_images(bag, prefix)
    wanted = find_wanted(bag, prefix, images)
    timeline = Timeline(cameras=tuple(sorted(images)), prefix=prefix)
    ordered = bag.messages(wanted)
    places: dict[str, list[int]] = {topic: [] for topic in wanted}
    for place, message in enumerate(ordered):
        places[message.topic].append(place)
    samples: dict[int, Sample] = {}
    for topic, known in wanted.items():
        messages = [ordered[place] for place in places[topic]]
        try:
            if known.name in _EVENTS or known.name in _TRAJECTORIES or known.name.startswith(AUX):
                _take(timeline, known, messages, joints)
                continue
            pairs = _stamped_values(known, messages, joints)
            if by_arrival:
                pairs = [(m.log_time_ns, p[1]) for p, m in zip(pairs, messages, strict=True)]
            _check_stamps([stamp for stamp, _ in pairs])
        except BagError as error:
            raise BagError(f"{bag.path}: {topic}: {error}") from error
        name = joined_name(known)
        for place, pair, message in zip(places[topic], pairs, messages, strict=True):
            samples[place] = Sample(name, pair[1], pair[0], message.log_time_ns)
    timeline.samples.extend(samples[place] for place in sorted(samples))
    _stamp_trajectories(timeline)
    return timeline


def _check_stamps(stamps: list[int]) -> None:
    if len(stamps) > 1 and not any(stamps):
        raise BagError("every header stamp is 0; with stamps: arrival it is read by arrival")


def _take(
    timeline: Timeline, topic: Topic, messages: list[BagMessage], joints: tuple[str, ...]
) -> None:
    """Decode all messages of a topic that observations are not joined from."""
    contents = [(decode(m.data, topic.type, "message"), m.log_time_ns) for m in messages]
    if topic.name in _EVENTS:
        kind = _EVENTS[topic.name]
        found = [kind.from_event(events.from_message(content)) for content, _ in contents]
        timeline.events[topic.name].extend(found)
    elif topic.name.startswith(AUX):
        tables = {stamp_ns(content): aux_table(content) for content, _ in contents}
        timeline.aux[topic.name.removeprefix(AUX)] = tables
    else:
        for content, arrival_ns in contents:
            try:
                asked = trajectory(content, joints)
            except BagError:
                timeline.rejected[topic.name] += 1
            else:
                timeline.trajectories[topic.name].append(asked)
                timeline.arrivals[topic.name].append(arrival_ns)


def _stamp_trajectories(timeline: Timeline) -> None:
    """Give trajectories that mean "now" the newest joint state's stamp at their arrival."""
    states = [sample for sample in timeline.samples if sample.topic == JOINT_STATES.name]
    arrivals = [sample.arrival_ns for sample in states]
    newest = [0, *accumulate((sample.stamp_ns for sample in states), max)]
    for topic, asked in timeline.trajectories.items():
        for place, (one, arrival_ns) in enumerate(
            zip(asked, timeline.arrivals[topic], strict=True)
        ):
            if not one.stamp_ns:
                now_ns = newest[bisect_right(arrivals, arrival_ns)]
                asked[place] = replace(one, stamp_ns=now_ns)


def _stamped_values(
    topic: Topic, messages: list[BagMessage], joints: tuple[str, ...]
) -> list[tuple[int, Any]]:
    """Return header stamp [ns] and value of every message of a sampled stream."""
    if topic in (JOINT_STATES, JOINT_COMMANDS):
        joint_rows = joint_table([message.data for message in messages])
        if joint_rows is not None:
            return _joint_values(topic.name, joint_rows, joints)
    elif topic == OBJECTS:
        pose_stack = pose_table([message.data for message in messages])
        if pose_stack is not None and np.isfinite(pose_stack.poses).all():
            return list(zip(pose_stack.stamps_ns.tolist(), pose_stack.poses, strict=True))
    pairs: list[tuple[int, Any]] = []
    for message in messages:
        if topic.type == COMPRESSED_IMAGE:
            image = image_content(message.data)
            if image is not None:
                pairs.append(image)
                continue
        content = decode(message.data, topic.type, "message")
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


def _value(topic: Topic, content: Any, joints: tuple[str, ...]) -> Any:
    if topic == JOINT_STATES:
        return joint_sample(content, joints)
    if topic == JOINT_COMMANDS:
        return joint_sample(content, joints).positions
    if topic == OBJECTS:
        return pose_rows(content)
    return encode_png(raw_image(content)) if topic.type == IMAGE else content.data.tobytes()
