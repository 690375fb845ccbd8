"""Recorder node: one bag per episode, or one of all, from the raw bytes of every contract topic.

Takes messages without decoding them and hands them to the episode recorder; says on
``recorder/status`` what became of each episode.
"""

import sys
import time
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from recorder_node.continuous_recorder import ContinuousRecorder
from recorder_node.episode_recorder import EpisodeRecorder
from recorder_node.losses import SequenceCounter
from recorder_node.params import RecorderParams
from recorder_node.recorder_setup import RecorderSetup
from so101.clock import nanoseconds, seconds
from so101.data.bags.bag_writer import Split
from so101.data.bags.custom_data import CALIBRATION, SOFTWARE
from so101.data.durable import free_bytes
from so101.data.stores.episode_store import EpisodeStore
from so101.errors import BagError, ConfigError, StoreError
from so101.events import EpisodeEvent, encode, from_message
from so101.ros.cdr import read_message
from so101.ros.convert import to_event
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.taps import Taps
from so101.ros.timing import graph_clock, now_ns, repeat
from so101.status_events import RecorderStatus
from so101.topics import (
    ARM_STATE,
    DIAGNOSTICS,
    EPISODE,
    IMAGE_KINDS,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    RECORDER_STATUS,
    REWARD,
    recorded_topics,
)
from so101.version import VERSION

DRAIN_PERIOD_S = 0.02
REPORT_PERIOD_S = 1.0


class RecorderNode(Node):
    """Records every episode."""

    def __init__(self, **kwargs: Any) -> None:
        """Lock the store, recover what a crash left behind, and subscribe."""
        super().__init__("recorder_node", **kwargs)
        params = declare(self, RecorderParams)
        if not params.store:
            raise ConfigError("recorder_node: parameter store: name the episode store")
        self._store = EpisodeStore(
            Path(params.store), min_free_bytes=round(params.min_free_gb * 1e9)
        )
        self._store.lock()
        self._recover()
        self._facts = {SOFTWARE: VERSION}
        setup = self._setup(params)
        self._recorder = self._make_recorder(params, setup)
        self._sequences = SequenceCounter()
        self._endpoints = Endpoints(self)
        self._endpoints.offer(RECORDER_STATUS)
        self._taps = Taps(self, setup.topics)
        Health(self, self._endpoints, self._taps.node)
        repeat(self, DRAIN_PERIOD_S, self._drain)
        repeat(self, REPORT_PERIOD_S, self._report)

    def _recover(self) -> None:
        """Recover what a crash left behind; what a full disk prevents is tried again next time."""
        try:
            for found in self._store.recover():
                self.get_logger().warning(f"recovered {found}")
        except StoreError as error:
            self.get_logger().error(f"not everything could be recovered: {error}")

    def _setup(self, params: RecorderParams) -> RecorderSetup:
        makers = IMAGE_KINDS[params.images]
        images = [make(camera).name for camera in params.cameras for make in makers]
        objects = [OBJECTS.name] if params.has_objects else []
        return RecorderSetup(
            topics=recorded_topics(params.cameras, params.aux, params.images),
            paced=(JOINT_STATES.name, JOINT_COMMANDS.name, REWARD.name, *images, *objects),
            facts=self._facts,
            is_lock_step=params.lockstep,
            namespace=self.get_namespace(),
        )

    def _make_recorder(
        self, params: RecorderParams, setup: RecorderSetup
    ) -> EpisodeRecorder | ContinuousRecorder:
        clocks: dict[str, Any] = {"wall_time": _wall_time, "steady_ns": time.monotonic_ns}
        if not params.continuous:
            return EpisodeRecorder(self._store, setup, **clocks)
        split = Split(max_bytes=round(params.split_mb * 1e6), max_ns=nanoseconds(params.split_s))
        return ContinuousRecorder(self._store, setup, split, **clocks)

    def _drain(self) -> None:
        """Take everything that arrived, in order."""
        for message in self._taps.drain(time.time_ns()):
            topic = message.topic
            gap = self._sequences.gap(topic.name, message.publisher, message.sequence)
            if topic is EPISODE:
                self._on_episode(message.data)
            elif topic is ARM_STATE:
                self._on_arm_state(message.data)
            self._recorder.on_message(topic, message.data, message.received_ns, gap)
        while (status := self._recorder.poll()) is not None:
            self._tell(status)

    def _report(self) -> None:
        """Say on `diagnostics` how the streams go."""
        values = {"free [GB]": encode(round(free_bytes(self._store.root) / 1e9, 3))}
        event = self._recorder.report(now_ns(self), values)
        self._endpoints.publish(DIAGNOSTICS, to_event(event))

    def _on_episode(self, data: bytes) -> None:
        try:
            message = read_message(data, DiagnosticArray)
            event = EpisodeEvent.from_event(from_message(message))
        except BagError as error:
            self.get_logger().error(f"{EPISODE.name}: {error}")
            return
        lost = self._recorder.on_episode(event)
        if lost is not None:
            self._tell(lost)

    def _on_arm_state(self, data: bytes) -> None:
        """Take note of the calibration by which a real arm is read; it goes into every bag."""
        try:
            values = from_message(read_message(data, DiagnosticArray)).values
        except BagError as error:
            self.get_logger().error(f"{ARM_STATE.name}: {error}")
            return
        if CALIBRATION in values:
            self._facts[CALIBRATION] = values[CALIBRATION]

    def _tell(self, status: RecorderStatus) -> None:
        self._endpoints.tell(RECORDER_STATUS, status)
        if status.state == "lost":
            self.get_logger().error(f"{status.episode}: lost: {status.reason}")
        elif status.missing or status.reason:
            self.get_logger().error(
                f"{status.episode}: {status.missing} messages missing {status.reason}"
            )

    def destroy_node(self) -> None:
        """Close what is open as incomplete, release the store, and go."""
        self._drain()
        self._recorder.abort()
        while (status := self._recorder.poll()) is not None:
            self._tell(status)
        self._store.close()
        self._taps.close()
        super().destroy_node()


def _wall_time() -> str:
    """Return the date by the graph's clock: set back, it puts no episode before earlier ones."""
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(seconds(graph_clock().now_ns())))


def main() -> int:
    """Run the recorder node."""
    return run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
