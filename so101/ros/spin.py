"""Waits for messages and runs callbacks, in one thread, with little delay.

A `Spinner` drives rclpy's EventsExecutor in the two ways that were found to work and to be fast:
single callbacks while a predicate is awaited, and everything that is queued in one call. (Its own
``spin`` never runs a callback in the wheels, and ``spin_once(0)`` costs more than the callbacks.)
Callbacks of one topic run in the order of its messages; across topics nothing is promised.
"""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from rclpy.client import Client
from rclpy.executors import ExternalShutdownException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rclpy.task import Future

from so101.errors import SessionError
from so101.graph_clock import measured_anchor

SLICE_S = 0.1
"""Longest wait before `Spinner.stop` and signals are noticed [s]."""

SET_NS = 10_000_000
"""By more than this the date does not move between two looks unless it is set [ns]."""

DISCOVERY_S = 10.0
"""Time in which every pair must have found each other: 0.1 s mostly, 2 to 3 s at times [s]."""


class Spinner:
    """Runs the callbacks of some nodes: subscriptions, services, clients, timers, QoS events.

    `stop` and `wake` may be called from any thread or signal handler; the rest belongs to one
    thread. An exception in a callback leaves the spin that ran it.
    """

    def __init__(self, node: Node, *others: Node) -> None:
        """Take the nodes on; nothing runs yet."""
        self._context, self._nodes = node.context, (node, *others)
        self._executor: Any = EventsExecutor(context=self._context)
        for each in (node, *others):
            self._executor.add_node(each)
        self._never: Future[None] = Future()
        self._is_stopped = self._is_closed = False
        self._rousing = threading.Lock()
        threading.Thread(target=self._watch_date, name="date", daemon=True).start()

    @property
    def is_stopped(self) -> bool:
        """Tell whether `stop` was called or ROS was shut down."""
        return self._is_stopped or not self._context.ok()

    def stop(self) -> None:
        """End the current and every later spin within `SLICE_S`."""
        self._is_stopped = True

    def wake(self) -> None:
        """End the current wait at once, so that a predicate is looked at again."""
        self._executor.create_task(_nothing)  # the executor's own wake() does not wake it

    def spin(self) -> None:
        """Run callbacks until `stop`."""
        while not self.is_stopped:
            self._run(self._never, SLICE_S)

    def spin_for(self, duration_s: float) -> None:
        """Run callbacks for some time [s], or until `stop`."""
        self.spin_until(lambda: False, duration_s)

    def spin_once(self, timeout_s: float) -> None:
        """Wait for the next callback, run it, then run everything else that is queued.

        Args:
            timeout_s: Longest wait [s]; cut to `SLICE_S`. With 0 this is `drain`.
        """
        if timeout_s > 0 and not self.is_stopped:
            self._step(min(timeout_s, SLICE_S))
        self.drain()

    def spin_until(self, predicate: Callable[[], bool], timeout_s: float) -> bool:
        """Run callbacks one by one until the predicate holds, the time is over, or `stop`.

        Returns:
            Whether the predicate holds.
        """
        end_s = time.monotonic() + timeout_s
        while not predicate():
            left_s = end_s - time.monotonic()
            if left_s <= 0 or self.is_stopped:
                return False
            self._step(min(left_s, SLICE_S))
        return True

    def drain(self) -> None:
        """Run everything that is queued now, without waiting."""
        if not self.is_stopped:
            self._run(self._executor.create_task(_nothing), SLICE_S)

    def close(self) -> None:
        """Let go of the nodes; they are not destroyed."""
        self._is_stopped = True
        with self._rousing:
            self._is_closed = True
            self._executor.shutdown()

    def _watch_date(self) -> None:
        """Rouse the executor when the date is set.

        Wheels are built for old systems, where C++ waits for a date: one that is set back makes a
        wait that much longer, and a node without messages hears neither timers nor signals.
        """
        anchor_ns = measured_anchor()
        while not self._is_closed:
            time.sleep(SLICE_S)
            before_ns, anchor_ns = anchor_ns, measured_anchor()
            if abs(anchor_ns - before_ns) > SET_NS:
                self._rouse()

    def _rouse(self) -> None:
        """End the executor's wait, and let it look at its timers anew."""
        with self._rousing:
            if not self._is_closed and not self.is_stopped:
                self._executor.create_task(self._begin_timers_anew)

    def _begin_timers_anew(self) -> None:
        """Let timers wait from now on.

        Only in the executor's own thread: it runs without Python's lock, and a timer that another
        thread resets meanwhile tears its tables apart.
        """
        for timer in [timer for node in self._nodes for timer in node.timers]:
            with suppress(_rclpy.InvalidHandle):  # destroyed meanwhile
                if not timer.is_canceled():
                    timer.reset()

    def _step(self, timeout_s: float) -> None:
        try:
            self._executor.spin_once(timeout_s)
        except ExternalShutdownException:
            self._is_stopped = True

    def _run(self, until: "Future[None]", timeout_s: float) -> None:
        try:
            self._executor.spin_until_future_complete(until, timeout_s)
        except ExternalShutdownException:
            self._is_stopped = True


def wait_for_matched(
    spinner: Spinner,
    publishers: Iterable[Publisher[Any]] = (),
    subscriptions: Iterable[Subscription[Any]] = (),
    clients: Iterable[Client[Any, Any]] = (),
    timeout_s: float = DISCOVERY_S,
) -> None:
    """Spin until each interface has at least one partner. Data sent earlier may be lost.

    Raises:
        SessionError: Somebody has no partner in time; the message names the topics.
    """
    waiting: list[tuple[str, Callable[[], bool]]] = [
        *((p.topic_name, _has_subscribers(p)) for p in publishers),
        *((s.topic_name, _has_publishers(s)) for s in subscriptions),
        *((c.service_name, c.service_is_ready) for c in clients),
    ]

    def is_done() -> bool:
        waiting[:] = [(name, is_matched) for name, is_matched in waiting if not is_matched()]
        return not waiting

    end_s = time.monotonic() + timeout_s
    while not is_done():
        if spinner.is_stopped or time.monotonic() > end_s:
            names = ", ".join(name for name, _ in waiting)
            raise SessionError(
                f"{names}: nobody on the other side after {timeout_s:g} s; is the graph running?"
            )
        spinner.spin_once(0.01)  # matching itself is not an event of the executor


def _has_subscribers(publisher: Publisher[Any]) -> Callable[[], bool]:
    return lambda: publisher.get_subscription_count() > 0


def _has_publishers(subscription: Subscription[Any]) -> Callable[[], bool]:
    return lambda: subscription.get_publisher_count() > 0


def _nothing() -> None:
    pass
