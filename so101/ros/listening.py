"""Subscriptions that hear whoever speaks, or say whom they do not hear, and why.

A reliable subscription gets nothing from a publisher that offers best effort, as drivers of
cameras do at times. Topics that are sensed are then heard as best effort; on any other topic such
a publisher is an error that is said.
"""

from collections.abc import Callable

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind

from so101.ros.interfaces import interface_class
from so101.ros.qos import EVENTS, subscriber_qos
from so101.topics import Topic

EASED = "somebody publishes it with best effort: heard like that, so that messages may be lost"

_ASKED = {
    QoSPolicyKind.RELIABILITY: "best effort, which may lose messages; let it be reliable",
    QoSPolicyKind.DURABILITY: "volatile, which late nodes miss; let it be transient local",
}


class Listener:
    """Hears a topic."""

    def __init__(
        self,
        node: Node,
        topic: Topic,
        callback: Callable[[bytes], None],
        *,
        depth: int = EVENTS,
        on_problem: Callable[[str], None],
    ) -> None:
        """Subscribe.

        Args:
            node: Whose subscription it is.
            topic: What is heard.
            callback: Takes the bytes of each message.
            depth: Messages kept until they are taken.
            on_problem: Takes what is to be said of a publisher that is not heard, beside the log.
        """
        self._node, self._topic, self._callback = node, topic, callback
        self._depth, self._on_problem = depth, on_problem
        self._is_eased = False
        self._subscribe(self._unless_eased)

    def _subscribe(self, callback: Callable[[bytes], None]) -> None:
        self._node.create_subscription(
            interface_class(self._topic.type),
            self._topic.name,
            callback,
            subscriber_qos(self._topic, self._depth, is_best_effort=self._is_eased),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_misfit),
            raw=True,
        )

    def _unless_eased(self, message: bytes) -> None:
        if not self._is_eased:  # who is reliable is heard by the other subscription, too
            self._callback(message)

    def _on_misfit(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        """Hear with less, or say that somebody is not heard."""
        kind, name = QoSPolicyKind(int(event.last_policy_kind)), self._topic.name
        if self._topic.is_sensed and kind is QoSPolicyKind.RELIABILITY:
            if not self._is_eased:
                self._is_eased = True
                self._node.get_logger().warning(f"{name}: {EASED}")
                self._subscribe(self._callback)  # the first one stays: this is its own event
            return
        asked = _ASKED.get(kind, f"with another {kind.name.lower()} than is asked for")
        problem = f"{name}: somebody is not heard: it is published {asked}"
        self._node.get_logger().error(problem)
        self._on_problem(problem)
