"""Publishers, subscribers and services of a node, made from the topic table.

A service callback here is a plain function that returns what to say; a `So101Error` becomes a
refusal that says why. One in a message's callback drops the message: no message on a topic ends a
node (decision 41). Anything else is a bug, and ends it.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from rclpy.node import Node

from so101.control.trajectory import JointTrajectory
from so101.errors import ClockError, So101Error
from so101.events import Event, from_message
from so101.ros.cdr import read_message, reader
from so101.ros.convert import to_event
from so101.ros.interfaces import interface_class
from so101.ros.listening import Listener
from so101.ros.qos import EVENTS, publisher_qos
from so101.ros.trajectory_bytes import trajectory_from_bytes, trajectory_to_bytes
from so101.services import SERVICES
from so101.topics import Topic


class TypedEvent(Protocol):
    """Anything with an event form, see ``so101.events``."""

    def to_event(self) -> Event:
        """Return the event."""
        ...


class Endpoints:
    """The interfaces of one node. Topics are published under their table entry."""

    def __init__(self, node: Node) -> None:
        """Make nothing yet."""
        self._node = node
        self._speaker = f"{node.get_fully_qualified_name()} {os.getpid()}"
        self._publishers: dict[str, Any] = {}
        self._problem = self._drop = ""
        self._dropped: Counter[str] = Counter()

    def offer(self, *topics: Topic) -> None:
        """Create publishers, so that others can find them before the first message."""
        for topic in topics:
            if topic.name not in self._publishers:
                self._publishers[topic.name] = self._node.create_publisher(
                    interface_class(topic.type), topic.name, publisher_qos(topic)
                )

    def publish(self, topic: Topic, message: Any) -> None:
        """Publish a message, or serialized bytes, on an offered topic."""
        self._publishers[topic.name].publish(message)

    def tell(self, topic: Topic, event: TypedEvent) -> None:
        """Publish an event on an offered topic."""
        self.publish(topic, to_event(event.to_event()))

    def command(self, topic: Topic, trajectory: JointTrajectory) -> None:
        """Publish a trajectory on an offered topic, the short way to the wire.

        One that names no source names who speaks: this node, in this process.
        """
        if not trajectory.source:
            trajectory = replace(trajectory, source=self._speaker)
        self.publish(topic, trajectory_to_bytes(trajectory))

    def follow(self, topic: Topic, callback: Callable[[JointTrajectory], None]) -> None:
        """Subscribe to a topic of trajectories. One that is no table is dropped with a warning."""
        self.read(topic, lambda data: callback(trajectory_from_bytes(data)))

    def read(
        self, topic: Topic, callback: Callable[[bytes], None], *, depth: int = EVENTS
    ) -> None:
        """Subscribe to a topic's serialized messages. What is not ours to read is dropped."""
        Listener(
            self._node, topic, self._guarded(topic, callback), depth=depth, on_problem=self._note
        )

    def listen(self, topic: Topic, callback: Callable[[Any], None]) -> None:
        """Subscribe to a topic. What is no such message, or not ours to read, is dropped.

        The messages are objects with a message's attributes, read by `so101.ros.cdr`: no bytes
        come to the middleware's own reader, which some of them would crash.
        """
        kind = interface_class(topic.type)
        reader(kind)  # before the first message comes
        self.read(topic, lambda data: callback(read_message(data, kind)))

    def hear(self, topic: Topic, kind: Any, callback: Callable[[Any], None]) -> None:
        """Subscribe to a topic of events and read them as ``kind``."""
        self.listen(topic, lambda message: callback(kind.from_event(from_message(message))))

    def _guarded(self, topic: Topic, callback: Callable[..., None]) -> Callable[[Any], None]:
        def guarded(message: Any) -> None:
            try:
                callback(message)
            except ClockError as error:
                self._note(f"{topic.name}: refused: {error}")
                self._node.get_logger().error(self._problem, throttle_duration_sec=1.0)
            except So101Error as error:  # not ours to read, or nothing that can be done here
                self._dropped[topic.name] += 1
                self._drop = f"{topic.name}: dropped: {error}"
                self._node.get_logger().warning(self._drop, throttle_duration_sec=1.0)

        return guarded

    def _note(self, problem: str) -> None:
        self._problem = problem

    @property
    def dropped(self) -> Mapping[str, int]:
        """Messages dropped so far, by topic."""
        return self._dropped

    def take_drop(self) -> str:
        """Return which topic's message was dropped last since the last call, and why."""
        drop, self._drop = self._drop, ""
        return drop

    def take_problem(self) -> str:
        """Return what was refused for its stamps or not heard since the last call, if anything."""
        problem, self._problem = self._problem, ""
        return problem

    def trigger(self, name: str, callback: Callable[[], str]) -> None:
        """Serve a Trigger."""

        def serve(_: Any, response: Any) -> Any:
            return _answer(response, callback)

        self._node.create_service(interface_class(SERVICES[name].type), name, serve)

    def switch(self, name: str, callback: Callable[[bool], str]) -> None:
        """Serve a SetBool."""

        def serve(request: Any, response: Any) -> Any:
            return _answer(response, lambda: callback(bool(request.data)))

        self._node.create_service(interface_class(SERVICES[name].type), name, serve)


def _answer(response: Any, callback: Callable[[], str]) -> Any:
    try:
        response.message = callback()
        response.success = True
    except So101Error as error:
        response.message = str(error)
        response.success = False
    return response
