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
    clock = None if _is_told(node) else Clock(clock_type=ClockType.STEADY_TIME)
    node.create_timer(period_s, callback, clock=clock)


def _is_told(node: Node) -> bool:
    return bool(node.get_parameter("use_sim_time").value)
