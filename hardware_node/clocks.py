"""Whose clock is not the arm's: the date's, and that of other processes, by what they report."""

from collections import defaultdict, deque

from so101.clock import seconds
from so101.events import ERROR, OK, WARN, Event, encode
from so101.graph_clock import ANCHOR, MOST_OFF_NS, GraphClock

REPORTS = 5
"""By so many reports of a process its clock is judged: the one that was held up least counts."""

FORGOTTEN_NS = 10_000_000_000
"""Whoever has not reported for so long is gone [ns]."""

DATE_IS_SET = (
    "it was set, or the machine slept. The graph goes on, but other ROS tools find its stamps old "
    "or early: restart it when it suits"
)


class Clocks:
    """Compares clocks with the arm's.

    Attributes:
        news: What a person should know since the last report; empty when nothing has changed.
    """

    def __init__(self, node: str) -> None:
        """Know nobody.

        Args:
            node: Name of the arm's node.
        """
        self.news = ""
        self._node = node
        self._told: tuple[str | bool, ...] = (False,)
        self._late_ns: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=REPORTS))
        self._heard_ns: dict[str, int] = {}

    def hear(self, name: str, stamp_ns: int, now_ns: int) -> None:
        """Take a report of some process.

        Args:
            name: Of the report; what follows a colon is not the node's.
            stamp_ns: Its stamp, by the clock of whoever sent it [ns].
            now_ns: The arm's clock at its arrival [ns].
        """
        name = name.split(":")[0]
        self._late_ns[name].append(now_ns - stamp_ns)
        self._heard_ns[name] = now_ns

    def report(self, clock: GraphClock) -> Event:
        """Return the comparison as a status for `diagnostics`.

        Args:
            clock: The arm's.
        """
        now_ns, behind_ns = clock.now_ns(), clock.behind_ns()
        off, words = self._off(now_ns), []
        level = ERROR if off else OK
        if off:
            words = [f"{name}: {_apart(late_ns, 'the arm')}" for name, late_ns in off.items()]
            words.append(f"start it again with the graph, or with {ANCHOR}={clock.anchor_ns}")
        is_set = abs(behind_ns) > MOST_OFF_NS
        if is_set:
            level = level or WARN
            words.append(f"the graph's clock: {_apart(behind_ns, 'the date')}: {DATE_IS_SET}")
        told, self._told = self._told, (*off, is_set)
        message = "; ".join(words) or "one for all, and the date's"
        self.news = message if told != self._told else ""
        return Event(
            stamp_ns=now_ns,
            name=f"{self._node}: clocks",
            message=message,
            level=level,
            values={
                "anchor [ns]": encode(clock.anchor_ns),
                "behind the date [s]": encode(round(seconds(behind_ns), 3)),
            },
        )

    def _off(self, now_ns: int) -> dict[str, int]:
        """Return by name how far behind the arm's clock the others' are that are off [ns]."""
        for name, heard_ns in list(self._heard_ns.items()):
            if now_ns - heard_ns > FORGOTTEN_NS:
                del self._heard_ns[name], self._late_ns[name]
        least = {
            name: min(late_ns, key=abs)
            for name, late_ns in sorted(self._late_ns.items())
            if len(late_ns) == REPORTS
        }
        return {name: late_ns for name, late_ns in least.items() if abs(late_ns) > MOST_OFF_NS}


def _apart(behind_ns: int, what: str) -> str:
    word = "behind" if behind_ns > 0 else "ahead of"
    return f"{seconds(abs(behind_ns)):.3f} s {word} {what}"
