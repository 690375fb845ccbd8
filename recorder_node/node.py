"""Recorder node: one bag per episode, from the raw bytes of every contract topic.

Takes messages without decoding them and hands them to the episode recorder; says on
``recorder/status`` what became of each episode.
"""

import sys
import time
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from recorder_node.episode_recorder import EpisodeRecorder, RecorderSetup
from recorder_node.params import RecorderParams
from so101.data.custom_data import SOFTWARE
from so101.data.episode_store import EpisodeStore
from so101.errors import BagError, ConfigError
from so101.events import EpisodeEvent, from_message
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.taps import Taps
from so101.status_events import RecorderStatus
from so101.topics import (
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    RECORDER_STATUS,
    REWARD,
    image_topic,
    recorded_topics,
)
from so101.version import VERSION

DRAIN_PERIOD_S = 0.005


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
        for found in self._store.recover():
            self.get_logger().warning(f"recovered {found}")
        images = [image_topic(camera).name for camera in params.cameras]
        objects = [OBJECTS.name] if params.has_objects else []
        topics = recorded_topics(params.cameras, params.aux)
        setup = RecorderSetup(
            topics=topics,
            paced=(JOINT_STATES.name, JOINT_COMMANDS.name, REWARD.name, *images, *objects),
            facts={SOFTWARE: VERSION},
            is_lock_step=params.lockstep,
            namespace=self.get_namespace(),
        )
        self._recorder = EpisodeRecorder(
            self._store,
            setup,
            wall_time=lambda: time.strftime("%Y%m%d-%H%M%S"),
            steady_ns=time.monotonic_ns,
        )
        self._endpoints = Endpoints(self)
        self._endpoints.offer(RECORDER_STATUS)
        self._taps = Taps(self, topics)
        Health(self, self._endpoints, self._taps.node)
        self.create_timer(DRAIN_PERIOD_S, self._drain)

    def _drain(self) -> None:
        """Take everything that arrived, in order."""
        for message in self._taps.drain(time.time_ns()):
            topic = message.topic
            self._recorder.sequences.count(topic.name, message.publisher, message.sequence)
            if topic is EPISODE:
                self._on_episode(message.data)
            self._recorder.on_message(topic, message.data, message.received_ns)
        status = self._recorder.poll()
        if status is not None:
            self._tell(status)

    def _on_episode(self, data: bytes) -> None:
        try:
            message = deserialize_message(data, DiagnosticArray)
            event = EpisodeEvent.from_event(from_message(message))
        except BagError as error:
            self.get_logger().error(f"{EPISODE.name}: {error}")
            return
        lost = self._recorder.on_episode(event)
        if lost is not None:
            self._tell(lost)

    def _tell(self, status: RecorderStatus) -> None:
        self._endpoints.tell(RECORDER_STATUS, status)
        if status.state == "lost":
            self.get_logger().error(f"{status.episode}: lost: {status.reason}")
        elif status.missing or status.reason:
            self.get_logger().error(
                f"{status.episode}: {status.missing} messages missing {status.reason}"
            )

    def destroy_node(self) -> None:
        """Leave an open episode for recovery, release the store, and go."""
        self._drain()
        self._recorder.abort()
        self._store.close()
        self._taps.close()
        super().destroy_node()


def main() -> int:
    """Run the recorder node."""
    return run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
