"""Time in a node: the graph's clock, and timers that no set date stops.

A timer of a node's own clock goes by the date where nothing is simulated: set back by an hour, it
would be silent for an hour.
"""

import os
from collections.abc import Callable
from functools import cache

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from so101.graph_clock import GraphClock


@cache
def graph_clock() -> GraphClock:
    """Return this process's clock of a real robot's stamps; its anchor stays what it is.

    Raises:
        ConfigError: The anchor in the environment makes no clock.
    """
    return GraphClock.of(os.environ)


def now_ns(node: Node) -> int:
    """Return what a node's own reports are stamped with [ns]."""
    return int(node.get_clock().now().nanoseconds) if _is_told(node) else graph_clock().now_ns()


def repeat(node: Node, period_s: float, callback: Callable[[], None]) -> None:
    """Call back every so often, by steady time, or by /clock where the node is told to."""
    node.create_timer(period_s, callback, clock=None if _is_told(node) else _steady_clock())


def repeat_steadily(node: Node, period_s: float, callback: Callable[[], None]) -> None:
    """Call back every so often by steady time, also where simulated time stands still."""
    node.create_timer(period_s, callback, clock=_steady_clock())


@cache
def _steady_clock() -> Clock:
    """Return one clock for all timers.

    The executor keeps a table per clock and drops it with the clock's last timer, also while a
    look at that table is still queued.
    """
    return Clock(clock_type=ClockType.STEADY_TIME)


def _is_told(node: Node) -> bool:
    return bool(node.get_parameter("use_sim_time").value)
