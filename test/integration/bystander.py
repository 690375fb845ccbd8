"""Somebody who runs `ros2 bag record -a` beside a graph: none of our recorder's code.

Looks ten times a second at which topics there are, asks of each what its publishers offer, and
dates messages by the system clock as they arrive, as rosbag2 does by default.
"""

import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbag2_layout import Rosbag2Writer, offered

POLL_S = 0.1
DEPTH = 1000
"""As `config/bag_qos.yaml` has it; rosbag2 itself keeps 10."""

SPLIT_AFTER = 3000
"""Messages of each file of the bag."""


class Bystander:
    """Records every topic of a domain, until it is stopped."""

    def __init__(self, domain: int, directory: Path) -> None:
        self._writer = Rosbag2Writer(directory, split_after=SPLIT_AFTER)
        self._context = Context()
        self._context.init(args=[], domain_id=domain)
        self._node = Node("rosbag2_recorder", context=self._context, use_global_arguments=False)
        self._taken: dict[str, Any] = {}
        self._is_over = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> Path:
        """Press Ctrl-C; return the bag."""
        self._is_over.set()
        self._thread.join(30.0)
        if self._failure is not None:
            raise self._failure
        return self._writer.close()

    def _run(self) -> None:
        try:
            self._record()
        except Exception as error:  # raised where the bag is asked for
            self._failure = error
        finally:
            self._node.destroy_node()
            self._context.try_shutdown()

    def _record(self) -> None:
        looked_s = 0.0
        while not self._is_over.wait(0.005):
            if time.monotonic() - looked_s >= POLL_S:
                self._discover()
                looked_s = time.monotonic()
            self._take()
        self._take()

    def _discover(self) -> None:
        for name, (kind, *_) in self._node.get_topic_names_and_types():
            if name not in self._taken and (found := self._offers(name)):
                self._writer.create_topic(name, kind, [_told(qos) for qos in found])
                package, _, message = kind.split("/")
                self._taken[name] = self._node.create_subscription(
                    getattr(import_module(f"{package}.msg"), message),
                    name,
                    lambda _: None,
                    adapted(found),
                    raw=True,
                )

    def _offers(self, name: str) -> list[QoSProfile]:
        return [one.qos_profile for one in self._node.get_publishers_info_by_topic(name)]

    def _take(self) -> None:
        for name, subscription in self._taken.items():
            with subscription.handle:
                while taken := subscription.handle.take_message(subscription.msg_type, True):
                    data, info = taken
                    times = (int(info[f"{one}_timestamp"]) for one in ("received", "source"))
                    self._writer.write(name, data, *times)


def adapted(offers: list[QoSProfile]) -> QoSProfile:
    """Ask for no more than every publisher offers."""
    is_reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in offers)
    is_latched = all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offers)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def _told(qos: QoSProfile) -> dict[str, Any]:
    sec, nsec = divmod(qos.deadline.nanoseconds, 10**9)
    return offered(
        qos.reliability.name.lower(), qos.durability.name.lower(), {"sec": sec, "nsec": nsec}
    )
