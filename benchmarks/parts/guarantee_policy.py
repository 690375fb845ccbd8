"""Whoever commands in `benchmarks/guarantees.py`: chunks and signs of life, until it dies.

It talks to the graph as the policy node does: a chunk of 16 points every 8 policy ticks, stamped
with the joint states it answers, and a sign of life every 30 ms. On SIGUSR1 its next callback
never returns: a busy loop, as in a bug; it says when, by the monotonic clock [ns].
"""

import signal
import sys
import threading
import time
from typing import Any

from parts.guarantee_wave import CHUNK_TICKS, Wave
from rclpy.node import Node

from so101.clock import CONTROL_GRID
from so101.ros.convert import stamp_of, to_header
from so101.ros.endpoints import Endpoints
from so101.ros.run import run
from so101.topics import (
    ARM_TRAJECTORY,
    JOINT_STATES,
    POLICY_ALIVE,
    POLICY_TRAJECTORY,
    TELEOP_ALIVE,
    TELEOP_TRAJECTORY,
)

ALIVE_PERIOD_S = 0.03
TOPICS = {
    "policy": (POLICY_TRAJECTORY, POLICY_ALIVE),
    "teleop": (TELEOP_TRAJECTORY, TELEOP_ALIVE),
    "controller": (ARM_TRAJECTORY, None),
}


class Commander(Node):
    """Commands a wave."""

    def __init__(self, source: str, wave: Wave) -> None:
        """Create the interfaces."""
        super().__init__(f"commander_{time.monotonic_ns()}", start_parameter_services=False)
        self._trajectory, self._alive = TOPICS[source]
        self._wave, self._hangs = wave, False
        self._newest_ns = self._next = 0
        self._is_acting = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()
        self._endpoints = Endpoints(self)
        self._endpoints.offer(self._trajectory)
        if self._alive is not None:
            self._endpoints.offer(self._alive)
            self.create_timer(ALIVE_PERIOD_S, self._on_alive)
        self._endpoints.listen(JOINT_STATES, self._on_state)
        signal.signal(signal.SIGUSR1, self._on_signal)
        print("ready", flush=True)

    def _wait(self) -> None:
        sys.stdin.read()
        self._is_acting.set()

    def _on_signal(self, *_: Any) -> None:
        self._hangs = True

    def _on_state(self, message: Any) -> None:
        if self._hangs:
            print(time.monotonic_ns(), flush=True)
            while True:
                pass
        self._newest_ns = stamp_of(message)
        if not self._is_acting.is_set():
            return
        index = CONTROL_GRID.floor(self._newest_ns)
        if index >= self._next or index < self._next - CHUNK_TICKS:
            self._next = index - index % CHUNK_TICKS + CHUNK_TICKS
            self._endpoints.command(self._trajectory, self._wave.chunk(self._newest_ns))

    def _on_alive(self) -> None:
        if self._is_acting.is_set():
            self._endpoints.publish(self._alive, to_header(self._newest_ns))  # type: ignore[arg-type]


def command(source: str, wave: Wave) -> None:
    """Command from when the standard input ends until stopped; find everybody before.

    Args:
        source: A key of `TOPICS`.
        wave: What it wants.
    """
    sys.exit(run(lambda: Commander(source, wave), ["commander"]))
