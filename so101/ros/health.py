"""Whether a node has found everybody it talks to, twice a second on ``diagnostics``.

Discovery takes a tenth of a second or three seconds, and what is published before two endpoints
have matched is lost. A node cannot know whom it has not heard of, so each one says what it offers,
what it listens to and how many partners it has; who calls the roll adds them up.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from so101.errors import BagError
from so101.events import ERROR, OK, WARN, Event, decode_tuple, encode, from_message
from so101.ros.convert import to_event
from so101.ros.endpoints import Endpoints
from so101.ros.timing import now_ns, repeat
from so101.topics import DIAGNOSTICS

PERIOD_S = 0.5
PUBLISHES = "publishes "
LISTENS = "listens to "
"""Prefixes of the keys of a report: each topic's number of endpoints and of their partners."""

DROPPED = "dropped "
"""Prefix of a topic whose messages could not be read, and their number since the start."""

_OWN = ("/parameter_events", "/rosout", f"/{DIAGNOSTICS.name}")


def connections(nodes: Iterable[Node]) -> dict[str, tuple[int, int]]:
    """Return per topic and direction how many endpoints some nodes have, and the fewest partners.

    Args:
        nodes: The nodes of one process.
    """
    found: dict[str, tuple[int, int]] = {}
    for key, partners in _partners(nodes):
        count, fewest = found.get(key, (0, partners))
        found[key] = (count + 1, min(fewest, partners))
    return {key: value for key, value in found.items() if not key.endswith(_OWN)}


def _partners(nodes: Iterable[Node]) -> Iterator[tuple[str, int]]:
    for node in nodes:
        for publisher in node.publishers:
            yield PUBLISHES + publisher.topic_name, publisher.get_subscription_count()
        for subscription in node.subscriptions:
            yield LISTENS + subscription.topic_name, subscription.get_publisher_count()


class Health:
    """Reports a node's connections on ``diagnostics``."""

    def __init__(self, node: Node, endpoints: Endpoints, *others: Node) -> None:
        """Start reporting.

        Args:
            node: Who reports.
            endpoints: Of the node.
            others: Hidden nodes of the same process.
        """
        self._node = node
        self._nodes = (node, *others)
        self._endpoints = endpoints
        endpoints.offer(DIAGNOSTICS)
        repeat(node, PERIOD_S, self._report)

    def _report(self) -> None:
        values = {key: encode(list(pair)) for key, pair in connections(self._nodes).items()}
        values |= {DROPPED + name: encode(n) for name, n in self._endpoints.dropped.items()}
        problem, drop = self._endpoints.take_problem(), self._endpoints.take_drop()
        event = Event(
            stamp_ns=now_ns(self._node),
            name=self._node.get_name(),
            message=problem or drop or "alive",
            values=values,
            level=ERROR if problem else WARN if drop else OK,
        )
        self._endpoints.publish(DIAGNOSTICS, to_event(event))


class Roll:
    """Calls the roll of a graph: who is there, and connected to everybody else."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Wait for these nodes."""
        self._reports: dict[str, Mapping[str, tuple[int, ...]]] = {}
        self._names = names

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        """Take a node's report; others' diagnostics are none of ours."""
        try:
            event = from_message(message)
            if event.name in self._names:
                self._reports[event.name] = {
                    key: decode_tuple(event, key, int)
                    for key in event.values
                    if not key.startswith(DROPPED)
                }
        except BagError:
            return

    def begin_anew(self) -> None:
        """Forget every report: somebody came back as another process."""
        self._reports.clear()

    @property
    def is_complete(self) -> bool:
        """Tell whether everybody has come and has found everybody."""
        return not self.missing()

    def missing(self) -> str:
        """Say who is awaited, and why; empty when nobody is."""
        absent = [name for name in self._names if name not in self._reports]
        if absent:
            return f"not heard of yet: {', '.join(absent)}"
        totals: Counter[str] = Counter()
        for report in self._reports.values():
            totals.update({key: count for key, (count, _) in report.items()})
        return "; ".join(
            f"{name} does not reach everybody yet on {topic}"
            for name, report in self._reports.items()
            for key, (_, partners) in report.items()
            if partners < totals[_other_end(key)]
            for topic in [key.split()[-1]]
        )


def _other_end(key: str) -> str:
    if key.startswith(PUBLISHES):
        return LISTENS + key.removeprefix(PUBLISHES)
    return PUBLISHES + key.removeprefix(LISTENS)
