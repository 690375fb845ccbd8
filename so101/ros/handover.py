"""Lets another thread have work done in the thread that spins a node."""

from collections.abc import Callable

from rclpy.node import Node


class Handover:
    """Runs one callback in a node's own thread, as soon as it can, whenever it is asked to.

    The executor knows no guard conditions, and an exception that leaves one of its tasks ends the
    process without a word. So what goes wrong is raised from a timer, like in any callback.
    """

    def __init__(self, node: Node, callback: Callable[[], None]) -> None:
        """Take the callback; nothing runs before the node is spun.

        Args:
            node: Whose thread runs it.
            callback: Called without arguments; calls that were asked for meanwhile may be one.
        """
        self._node = node
        self._callback = callback
        self._problem: Exception | None = None

    def ask(self) -> None:
        """Have the callback run; from any thread. Nothing happens where nobody spins."""
        if (executor := self._node.executor) is not None:
            executor.create_task(self._run)

    def _run(self) -> None:
        try:
            self._callback()
        except Exception as error:  # any bug; it is raised where it is heard
            self._problem = error
            self._node.create_timer(0.0, self._raise)

    def _raise(self) -> None:
        if self._problem is not None:
            raise self._problem
