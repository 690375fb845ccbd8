"""The processes of `benchmarks/loop_overhead.py` in plain rclpy: what ROS itself costs.

The same topics and bytes with rclpy's default executor; nothing is joined, decoded or ruled on.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import rclpy
from parts.loop_notes import Notes, Setting
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy

from so101.clock import POLICY_GRID
from so101.control.trajectory import JointTrajectory
from so101.robot import CAMERAS, JOINTS
from so101.ros.convert import stamp_of, to_joint_trajectory
from so101.ros.interfaces import interface_class
from so101.ros.qos import publisher_qos, subscriber_qos
from so101.topics import (
    ARM_TRAJECTORY,
    JOINT_COMMANDS,
    JOINT_STATES,
    POLICY_TRAJECTORY,
    image_topic,
)


def trajectory(stamp_ns: int) -> JointTrajectory:
    """Return a chunk of 16 points that holds."""
    times = tuple(POLICY_GRID.stamp(i + 1) for i in range(16))
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=JOINTS,
        times_ns=times,
        positions=np.full((16, len(JOINTS)), 0.25),
    )


def spin_bare(notes: Notes, make: Callable[[Any], None]) -> None:
    """Spin a plain node with rclpy's default executor until SIGTERM."""
    rclpy.init(args=[])
    node = rclpy.create_node(f"bare_{os.getpid()}")
    notes.hear(node, (ARM_TRAJECTORY.name,))
    make(node)
    with suppress(ExternalShutdownException, _rclpy.RCLError):  # whichever sees the end first
        rclpy.spin(node)


def subscribe(node: Any, topic: Any, callback: Callable[[Any], None]) -> None:
    """Subscribe as the nodes do."""
    node.create_subscription(
        interface_class(topic.type), topic.name, callback, subscriber_qos(topic)
    )


def _publisher(node: Any, topic: Any) -> Any:
    return node.create_publisher(interface_class(topic.type), topic.name, publisher_qos(topic))


def bare_policy(setting: Setting, node: Any) -> None:
    """Answer the last message of a decision tick with a trajectory, and do nothing else."""
    publisher = _publisher(node, POLICY_TRAJECTORY)
    missing: dict[int, int] = {}
    needed = 1 + (len(CAMERAS) if setting.waits_for_frames else 0)

    def take(message: Any) -> None:
        stamp_ns = stamp_of(message)
        tick = POLICY_GRID.floor(stamp_ns)
        if POLICY_GRID.stamp(tick) != stamp_ns or tick % setting.decision_ticks:
            return
        missing[tick] = missing.get(tick, needed) - 1
        if missing[tick] == 0:
            publisher.publish(to_joint_trajectory(trajectory(stamp_ns)))

    subscribe(node, JOINT_STATES, take)
    subscribe(node, JOINT_COMMANDS, lambda message: None)
    for camera in CAMERAS:
        waits = setting.waits_for_frames
        subscribe(node, image_topic(camera), take if waits else lambda message: None)


def bare_relay(node: Any) -> None:
    """Pass trajectories on, and do nothing else."""
    publisher = _publisher(node, ARM_TRAJECTORY)
    subscribe(node, POLICY_TRAJECTORY, publisher.publish)
