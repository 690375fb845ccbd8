"""Bags that look like a robot's, for benchmarks: two cameras, joints at the control rate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from so101.clock import CONTROL_GRID, NS_PER_S, POLICY_GRID
from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.custom_data import OUTCOME, facts_to_text
from so101.data.bags.messages import create, encode
from so101.episode import EpisodeFacts
from so101.images import encode_jpeg
from so101.robot import JOINTS
from so101.topics import (
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    Topic,
    image_topic,
    recorded_topics,
)

HEIGHT, WIDTH = 480, 640


def scenes(rng: np.random.Generator, steps: int) -> list[bytes]:
    """Return JPEGs of a textured scene that moves, with a sensor's noise; about 45 kB each."""
    coarse = rng.uniform(40, 215, (16, 20, 3)).astype(np.float32)
    fine = rng.normal(0, 6, (120, 160, 3)).astype(np.float32)
    size = (WIDTH + 80, HEIGHT + 60)
    texture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC) + cv2.resize(fine, size)
    images = []
    for step in range(steps):
        x, y = int(40 + 39 * np.sin(step / 25)), int(30 + 29 * np.cos(step / 31))
        noise = rng.normal(0, 0.9, (HEIGHT, WIDTH, 3))
        image = texture[y : y + HEIGHT, x : x + WIDTH] + noise
        images.append(encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), 90))
    return images


def header(stamp_ns: int) -> Any:
    """Return a message header."""
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    stamp = create("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return create("std_msgs/msg/Header", stamp=stamp, frame_id="")


def record(
    root: Path, number: int, seen: Mapping[str, Sequence[bytes]], object_steps: int = 0
) -> None:
    """Write one synthetic demonstration as a bag, a policy tick per image.

    Args:
        root: Of the store.
        number: Of the episode.
        seen: Camera id to its JPEGs.
        object_steps: Policy ticks with the pose of an object; 0 for none.
    """
    rng = np.random.default_rng([7, number])
    facts = EpisodeFacts(id=f"bench-{number:04d}", phase="demonstrations", source="teleop")
    path = root / f"20260101-{number:06d}-{facts.id}"
    writer = BagWriter(path, recorded_topics(tuple(seen)), name=facts.id)
    steps = max([object_steps, *map(len, seen.values())])

    def say(topic: Topic, kind: str, stamp_ns: int, **values: Any) -> None:
        message = create(kind, header=header(stamp_ns), **values)
        writer.write(topic.name, encode(message), stamp_ns, stamp_ns)

    goal, none = rng.uniform(-0.5, 0.5, len(JOINTS)), np.empty(0)
    first = CONTROL_GRID.floor(POLICY_GRID.stamp(300))
    joints = {"name": list(JOINTS), "velocity": none, "effort": none}
    for tick in range(2 * steps + 2):
        stamp_ns = CONTROL_GRID.stamp(first + tick)
        say(JOINT_STATES, "sensor_msgs/msg/JointState", stamp_ns, position=goal, **joints)
        if tick % 2 == 0 and tick < 2 * steps:
            for camera in seen:
                data = np.frombuffer(seen[camera][tick // 2], dtype=np.uint8)
                kind = "sensor_msgs/msg/CompressedImage"
                say(image_topic(camera), kind, stamp_ns, format="jpeg", data=data)
        if tick % 2 == 0 and tick < 2 * object_steps:
            say(OBJECTS, "geometry_msgs/msg/PoseArray", stamp_ns, poses=[_pose(rng)])
        goal = goal + rng.normal(0, 0.01, len(JOINTS))
        say(JOINT_COMMANDS, "sensor_msgs/msg/JointState", stamp_ns, position=goal, **joints)
    writer.close({**facts_to_text(facts), OUTCOME: "success"})


def _pose(rng: np.random.Generator) -> Any:
    x, y = rng.uniform(0.17, 0.27), rng.uniform(-0.09, 0.09)
    position = create("geometry_msgs/msg/Point", x=x, y=y, z=0.0125)
    upright = create("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    return create("geometry_msgs/msg/Pose", position=position, orientation=upright)
