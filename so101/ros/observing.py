"""Subscriptions that feed an observation: the live half of the one join."""

import time
from collections.abc import Callable
from typing import Any

from sensor_msgs.msg import CompressedImage

from so101.data.bags.cdr_tables import image_content
from so101.graph_clock import check_past
from so101.ros.cdr import read_message
from so101.ros.convert import (
    from_image,
    from_joint_command,
    from_joint_state,
    from_poses,
    from_text,
)
from so101.ros.endpoints import Endpoints
from so101.ros.qos import EVENTS
from so101.ros.timing import graph_clock
from so101.streams import JointSample, ObservationConfig
from so101.topics import JOINT_COMMANDS, JOINT_STATES, OBJECTS, TASK, image_topic

_JPEG = b"\xff\xd8"

Feed = Callable[[str, Any, int, int], None]
Take = Callable[[str, Any, int], None]


def observe(endpoints: Endpoints, config: ObservationConfig, feed: Feed) -> None:
    """Subscribe to every stream of an observation.

    Args:
        endpoints: Of the node.
        config: What an observation is made of.
        feed: Takes topic name, decoded value, header stamp [ns] and arrival time [ns], such as
            `so101.streams.ObservationBuilder.feed`. What has a stamp of the future does not
            get there: it would be used, later, as if it were new.
    """
    take = _timely(feed)

    def joint_states(message: Any) -> None:
        stamp_ns, state = from_joint_state(message)
        sample = JointSample(
            positions=state.positions, velocities=state.velocities, effort=state.effort
        )
        take(JOINT_STATES.name, sample, stamp_ns)

    def joint_commands(message: Any) -> None:
        stamp_ns, positions = from_joint_command(message)
        take(JOINT_COMMANDS.name, positions, stamp_ns)

    def objects(message: Any) -> None:
        stamp_ns, poses = from_poses(message)
        take(OBJECTS.name, poses, stamp_ns)

    def task(message: Any) -> None:
        take(TASK.name, from_text(message), 0)

    endpoints.listen(JOINT_STATES, joint_states)
    endpoints.listen(JOINT_COMMANDS, joint_commands)
    endpoints.listen(TASK, task)
    if config.uses_objects:
        endpoints.listen(OBJECTS, objects)
    for camera in config.cameras:
        endpoints.read(image_topic(camera), _images(camera, take), depth=EVENTS)


def _timely(feed: Feed) -> Take:
    clock = graph_clock()

    def take(topic: str, value: Any, stamp_ns: int) -> None:
        arrival_ns = time.monotonic_ns()
        check_past(stamp_ns, clock.at(arrival_ns))
        feed(topic, value, stamp_ns, arrival_ns)

    return take


def _images(camera: str, take: Take) -> Callable[[bytes], None]:
    name = image_topic(camera).name

    def image(data: bytes) -> None:
        stamp_ns, jpeg = _read_image(data)
        take(name, jpeg, stamp_ns)

    return image


def _read_image(data: bytes) -> tuple[int, bytes]:
    """Return stamp [ns] and JPEG of a serialized frame, copied once instead of three times."""
    found = image_content(data)
    if found is not None and found[1].startswith(_JPEG):
        return found
    return from_image(read_message(data, CompressedImage))
