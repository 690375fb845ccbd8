"""Raw subscriptions that are emptied on demand, with what the middleware knows of each message.

The wheels' EventsExecutor fails on callbacks that want message info, and the recorder needs the
publishers' sequence numbers to prove that nothing was lost. So its subscriptions belong to a
hidden node that no executor spins, and `Taps.drain` takes from them directly.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from so101.clock import NS_PER_S
from so101.ros.interfaces import interface_class
from so101.ros.listening import EASED
from so101.ros.qos import DEEP, deep, subscriber_qos
from so101.topics import Topic

LOOK_EVERY = 5
"""Calls of `Taps.drain` from one look at who publishes to the next, a tenth of a second mostly."""

MEANWHILE_NS = NS_PER_S
"""What seems to arrive later after a call began was stamped by a clock that was set back since."""


class Tapped(NamedTuple):
    """One serialized message.

    Attributes:
        topic: Its table entry.
        data: CDR bytes, exactly as sent.
        received_ns: When the middleware received it [ns, system clock].
        sequence: The publisher's sequence number of it.
        publisher: Identity of the publisher.
    """

    topic: Topic
    data: bytes
    received_ns: int
    sequence: int
    publisher: bytes


class Taps:
    """Raw subscriptions to some topics, emptied by `drain`.

    Attributes:
        node: The hidden node that has them.
    """

    def __init__(self, node: Node, topics: Sequence[Topic]) -> None:
        """Subscribe.

        Args:
            node: Whose namespace and context to use; it is not given the subscriptions.
            topics: What to take.
        """
        self.node = Node(
            f"_{node.get_name()}_taps",
            namespace=node.get_namespace(),
            context=node.context,
            start_parameter_services=False,
            enable_rosout=False,
            use_global_arguments=False,
        )
        self._subscriptions = [(topic, self._subscribe(topic)) for topic in topics]
        self._strict = {topic.name for topic in topics if topic.is_sensed}
        self._calls = 0
        self._later: list[Tapped] = []

    def drain(self, now_ns: int) -> list[Tapped]:
        """Return everything that has arrived since the last call, in order of arrival.

        Topics are emptied one after the other. What arrives meanwhile waits for the next call:
        on a topic emptied already, a message sent before it may be waiting too.

        Args:
            now_ns: The system clock as the call begins [ns].
        """
        if self._calls % LOOK_EVERY == 0:
            self._ease()
        self._calls += 1
        taken, self._later = self._later, []
        for topic, subscription in self._subscriptions:
            fresh = [_tapped(topic, *message) for message in _take_all(subscription)]
            before = arrived_before(fresh, now_ns)
            taken += fresh[:before]
            self._later += fresh[before:]
        return in_order(taken)

    def _subscribe(self, topic: Topic, *, is_best_effort: bool = False) -> Any:
        profile = subscriber_qos(topic, deep(topic), is_best_effort=is_best_effort)
        kind = interface_class(topic.type)
        return self.node.create_subscription(kind, topic.name, _unused, profile, raw=True)

    def _ease(self) -> None:
        """Hear what is sensed as best effort where somebody offers no more; see `Listener`.

        No executor spins this node, so nobody tells it of a publisher that it does not hear.
        """
        for place, (topic, old) in enumerate(self._subscriptions):
            if topic.name in self._strict and self._is_missed(old):
                self._strict.discard(topic.name)
                self.node.get_logger().warning(f"{topic.name}: {EASED}")
                self._later += [_tapped(topic, *message) for message in _take_all(old)]
                self._subscriptions[place] = (topic, self._subscribe(topic, is_best_effort=True))
                self.node.destroy_subscription(old)

    def _is_missed(self, subscription: Any) -> bool:
        """Tell whether a publisher is not heard because it offers best effort."""
        name = subscription.topic_name
        if self.node.count_publishers(name) <= subscription.get_publisher_count():
            return False
        offers = self.node.get_publishers_info_by_topic(name)
        return any(o.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT for o in offers)

    def close(self) -> None:
        """Unsubscribe."""
        self.node.destroy_node()


def arrived_before(messages: Sequence[Tapped], now_ns: int) -> int:
    """Return how many messages of one topic arrived before a call that began at ``now_ns``.

    One that had to be sent again was received after its followers and is delivered before them:
    they wait with it.
    """
    late_ns = range(now_ns + 1, now_ns + MEANWHILE_NS)
    received = enumerate(message.received_ns for message in messages)
    return next((place for place, at in received if at in late_ns), len(messages))


def in_order(messages: Sequence[Tapped]) -> list[Tapped]:
    """Bring messages, in order within each topic, into the order in which they were received.

    A topic keeps its order also where the system clock was set back between two of its messages.
    """
    newest: dict[str, int] = {}
    timed: list[tuple[int, Tapped]] = []
    for message in messages:
        name = message.topic.name
        newest[name] = max(newest.get(name, message.received_ns), message.received_ns)
        timed.append((newest[name], message))
    timed.sort(key=lambda one: one[0])
    return [message for _, message in timed]


def _take_all(subscription: Any) -> list[tuple[bytes, Any]]:
    messages: list[tuple[bytes, Any]] = []
    with subscription.handle:
        while len(messages) < DEEP:
            taken = subscription.handle.take_message(subscription.msg_type, True)
            if taken is None:
                break
            messages.append(taken)
    return messages


def _tapped(topic: Topic, data: bytes, info: Any) -> Tapped:
    publisher = info.get("publisher_gid") or {}
    return Tapped(
        topic=topic,
        data=data,
        received_ns=int(info["received_timestamp"]),
        sequence=int(info["publication_sequence_number"]),
        publisher=bytes(publisher.get("data", b"")),
    )


def _unused(_: bytes) -> None:
    """Stand in for the callback that nobody calls."""
