"""A small client of a running graph, for the command line: calls services, follows events."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar

from rclpy.context import Context
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from so101.errors import ConfigError, SessionError, So101Error
from so101.events import Event, from_message
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.interfaces import interface_class
from so101.ros.spin import DISCOVERY_S, Spinner, wait_for_matched
from so101.services import SERVICES, TRIGGER
from so101.topics import Topic

SETTLE_S = 0.2
"""A new client is found later than it finds; an answer sent in between is lost [s]."""

E_co = TypeVar("E_co", covariant=True)
E = TypeVar("E")


class EventKind(Protocol[E_co]):
    """A typed event, see `so101.events`."""

    def from_event(self, event: Event) -> E_co:
        """Read the event."""
        ...


class GraphClient:
    """One temporary node with a ROS context of its own. Use it as a context manager."""

    def __init__(self, name: str = "so101_client", namespace: str = "") -> None:
        """Join the graph.

        Args:
            name: Node name.
            namespace: The robot's namespace.
        """
        self._context = Context()
        self._context.init(args=[])
        self._node = Node(
            name,
            namespace=namespace,
            context=self._context,
            use_global_arguments=False,
            start_parameter_services=False,
        )
        self._endpoints = Endpoints(self._node)
        self._spinner = Spinner(self._node)
        self._clients: dict[str, Any] = {}
        self._settled: set[str] = set()

    def __enter__(self) -> "GraphClient":
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        self.close()

    @property
    def spinner(self) -> Spinner:
        """What runs the callbacks; `Spinner.stop` ends every wait."""
        return self._spinner

    def call(self, name: str, value: bool | None = None, timeout_s: float = DISCOVERY_S) -> str:
        """Call a service and return what it says.

        Args:
            name: A service of `so101.services.SERVICES`.
            value: The request of a SetBool; None for a Trigger.
            timeout_s: Longest wait for the service, and again for its answer [s].

        Raises:
            ConfigError: There is no such service, or it takes a value and none is given.
            SessionError: Nobody offers or answers it in time, or it refuses; the message is its
                own word. What was not answered may have been done.
        """
        request = _request(name, value)
        client = self._client(name)
        wait_for_matched(self._spinner, clients=[client], timeout_s=timeout_s)
        if name not in self._settled:
            self._spinner.spin_for(SETTLE_S)
            self._settled.add(name)
        future = client.call_async(request)
        if not self._spinner.spin_until(future.done, timeout_s):
            client.remove_pending_request(future)
            raise SessionError(
                f"{name}: no answer within {timeout_s:g} s; it may have been done all the same"
            )
        response = future.result()
        if not response.success:
            raise SessionError(f"{name}: {response.message}")
        return str(response.message)

    def follow(self, topic: Topic, kind: EventKind[E], callback: Callable[[E], None]) -> None:
        """Call back for every event of a topic while spinning; foreign messages are dropped."""

        def read(message: Any) -> None:
            try:
                event = kind.from_event(from_message(message))
            except So101Error as error:
                self._node.get_logger().warning(f"{topic.name}: dropped: {error}")
                return
            callback(event)

        self.listen(topic, read)

    def listen(self, topic: Topic, callback: Callable[[Any], None]) -> None:
        """Call back for every message of a topic while spinning."""
        self._endpoints.listen(topic, callback)

    def answer_roll(self) -> None:
        """Report like the graph's own nodes, so that a session can wait until this one hears it.

        To be called after the last `follow`: what comes later is not awaited.
        """
        Health(self._node, self._endpoints)

    def wait_for(
        self,
        topic: Topic,
        kind: EventKind[E],
        predicate: Callable[[E], bool] = lambda event: True,
        timeout_s: float = DISCOVERY_S,
    ) -> E:
        """Wait for an event and return it; a latched topic answers with its present state.

        Raises:
            SessionError: No such event came in time.
        """
        found: list[E] = []
        self.follow(topic, kind, lambda event: found.append(event) if predicate(event) else None)
        if not self._spinner.spin_until(lambda: bool(found), timeout_s):
            raise SessionError(f"{topic.name}: no such event within {timeout_s:g} s")
        return found[0]

    def close(self) -> None:
        """Leave the graph."""
        self._spinner.close()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _client(self, name: str) -> Any:
        if name not in self._clients:
            kind = interface_class(SERVICES[name].type)
            self._clients[name] = self._node.create_client(kind, name)
        return self._clients[name]


def _request(name: str, value: bool | None) -> Any:
    if name not in SERVICES:
        raise ConfigError(f"unknown service {name!r}; known services: {', '.join(SERVICES)}")
    if SERVICES[name].type == TRIGGER:
        return Trigger.Request()
    if value is None:
        raise ConfigError(f"{name}: needs true or false")
    return SetBool.Request(data=value)
