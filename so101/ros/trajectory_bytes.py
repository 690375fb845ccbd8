"""Trajectories as they are on the wire, without a message in between.

A message of sixteen points is sixteen Python objects with arrays, on both sides of every hop: a
third of a millisecond each way, on the only way from a policy to the arm. A chunk is one table,
so here its bytes (CDR, little endian) are written and read at once. Points with velocities are
written so, too, and read through the message, like whatever is shaped otherwise; the values are
the same. What rclpy's serializer returns has padding behind its end, which readers of bags refuse.
"""

import functools
import struct
from typing import Any

import numpy as np
from rclpy.serialization import serialize_message
from trajectory_msgs.msg import JointTrajectory as TrajectoryMessage

from so101.clock import NS_PER_S
from so101.control.trajectory import JointTrajectory
from so101.errors import BagError, TrajectoryError
from so101.ros.cdr import read_message
from so101.ros.convert import from_joint_trajectory, to_joint_trajectory

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
_START = len(_LITTLE_ENDIAN)
"""CDR aligns relative to here."""

_MAX_TEXTS = 64


def trajectory_to_bytes(trajectory: JointTrajectory) -> bytes:
    """Return a trajectory as a serialized trajectory_msgs/JointTrajectory.

    Raises:
        TrajectoryError: It has not one position per point and joint.
    """
    points, joints = len(trajectory.times_ns), len(trajectory.joints)
    if np.shape(trajectory.positions) != (points, joints):
        raise TrajectoryError(
            f"trajectory: positions have shape {np.shape(trajectory.positions)}, "
            f"need {(points, joints)}"
        )
    speeds = trajectory.velocities
    is_table = speeds is None or np.shape(speeds) == (points, joints)
    if not points or not joints or not is_table:
        return bytes(serialize_message(to_joint_trajectory(trajectory)))
    head = bytearray(_LITTLE_ENDIAN)
    head += struct.pack("<iI", *divmod(trajectory.stamp_ns, NS_PER_S))
    _add_text(head, trajectory.source)
    _add_count(head, joints)
    for name in trajectory.joints:
        _add_text(head, name)
    _add_count(head, points)
    _add_count(head, joints)
    head += bytes(-(len(head) - _START) % 8)
    row = _row(joints) if speeds is None else _moving_row(joints)
    rows = np.zeros(points, dtype=row)
    if speeds is not None:
        rows["velocities"], rows["velocity_count"] = speeds, joints
    rows["positions"] = trajectory.positions
    rows["sec"], rows["nanosec"] = np.divmod(
        np.array(trajectory.times_ns, dtype=np.int64), NS_PER_S
    )
    rows["count"] = joints
    return bytes(head) + rows.tobytes()[: -4 if speeds is None else -8]


def trajectory_from_bytes(data: bytes) -> JointTrajectory:
    """Read a serialized trajectory_msgs/JointTrajectory.

    What it means is checked later; here only that it is a table.

    Raises:
        TrajectoryError: It is no trajectory, or not a table; see `from_joint_trajectory`.
    """
    try:
        found = _read_table(data)
    except (struct.error, UnicodeDecodeError, ValueError):  # shorter than it says, or no text
        found = None
    if found is not None:
        return found
    try:
        message: Any = read_message(data, TrajectoryMessage)
    except BagError as error:
        raise TrajectoryError(f"trajectory: {len(data)} bytes cannot be read: {error}") from error
    return from_joint_trajectory(message)


@functools.cache
def _row(joints: int) -> np.dtype[Any]:
    """Return one point and the count in front of the next one's positions, as they are laid out.

    The positions of the first point are aligned to 8 bytes; then those of the others are, too.
    """
    return np.dtype(
        [
            ("positions", "<f8", (joints,)),
            ("others", "<u4", (3,)),  # velocities, accelerations, effort: how many
            ("sec", "<i4"),
            ("nanosec", "<u4"),
            ("count", "<u4"),
        ]
    )


@functools.cache
def _moving_row(joints: int) -> np.dtype[Any]:
    """Return the same with velocities. Counts in front of doubles are padded to 8 bytes."""
    return np.dtype(
        [
            ("positions", "<f8", (joints,)),
            ("velocity_count", "<u4"),
            ("velocity_padding", "<u4"),
            ("velocities", "<f8", (joints,)),
            ("others", "<u4", (2,)),  # accelerations, effort: how many
            ("sec", "<i4"),
            ("nanosec", "<u4"),
            ("count", "<u4"),
            ("padding", "<u4"),
        ]
    )


def _read_table(data: bytes) -> JointTrajectory | None:
    if data[:2] != _LITTLE_ENDIAN[:2]:
        return None
    sec, nanosec = struct.unpack_from("<iI", data, _START)
    source, at = _text(data, _START + 8)
    names, at = _count(data, at)
    if not 1 <= names <= _MAX_TEXTS:
        return None
    joints = []
    for _ in range(names):
        name, at = _text(data, at)
        joints.append(name)
    points, at = _count(data, at)
    count, at = _count(data, at)
    at += -(at - _START) % 8
    row = _row(names)
    end = at + points * row.itemsize - 4  # what is behind it means nothing
    if not points or count != names or len(data) < end:
        return None
    rows = np.frombuffer(data[at:end] + struct.pack("<I", names), dtype=row)
    if rows["others"].any() or (rows["count"] != names).any():
        return None
    times_ns = rows["sec"].astype(np.int64) * NS_PER_S + rows["nanosec"].astype(np.int64)
    return JointTrajectory(
        stamp_ns=sec * NS_PER_S + nanosec,
        joints=tuple(joints),
        times_ns=tuple(times_ns.tolist()),
        positions=np.array(rows["positions"], dtype=np.float64),
        source=source,
    )


def _add_count(head: bytearray, count: int) -> None:
    head += bytes(-(len(head) - _START) % 4)
    head += struct.pack("<I", count)


def _add_text(head: bytearray, text: str) -> None:
    raw = text.encode() + b"\x00"
    _add_count(head, len(raw))
    head += raw


def _count(data: bytes, at: int) -> tuple[int, int]:
    at += -(at - _START) % 4
    return struct.unpack_from("<I", data, at)[0], at + 4


def _text(data: bytes, at: int) -> tuple[str, int]:
    length, at = _count(data, at)
    raw = data[at : at + length]
    if len(raw) != length or raw.find(b"\x00") != length - 1:
        raise ValueError("no text")
    return raw[:-1].decode(), at + length
