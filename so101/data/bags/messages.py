"""Message types without ROS: definitions, CDR to messages, messages to values.

Takes any object with a message's attributes, so rclpy messages and decoded bag bytes give the same
values. Does not check what a topic should carry; that is the reader's business.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_typestore
from rosbags.typesys.store import Typestore

from so101.arrays import Float32Array, FloatArray
from so101.clock import NS_PER_S
from so101.control.trajectory import JointTrajectory
from so101.errors import BagError
from so101.streams import JointSample

MAX_SEQUENCE = 1 << 26
_MAX_POINTS = 4096
_BROKEN = (
    SerdeError,
    struct.error,
    ValueError,
    IndexError,
    TypeError,
    AssertionError,
    OverflowError,
)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a bag must say about a message type: its full text and its RIHS01 hash."""

    text: str
    hash: str


@cache
def typestore() -> Typestore:
    """Return the standard message types, with sequences bounded for untrusted input."""
    store = get_typestore(Stores.ROS2_KILTED)
    store.max_sequence_length = MAX_SEQUENCE
    return store


@cache
def definition(type_name: str) -> Definition:
    """Return the definition of a standard message type.

    Raises:
        BagError: The type is not a standard one.
    """
    store = typestore()
    try:
        text, _ = store.generate_msgdef(type_name, ros_version=2)
        return Definition(text=text, hash=store.hash_rihs01(type_name))
    except (TypesysError, KeyError) as error:
        raise BagError(f"message type {type_name!r} is not known: {error}") from error


def decode(data: bytes | memoryview, type_name: str, where: str) -> Any:
    """Decode CDR bytes.

    Args:
        data: The serialized message.
        type_name: Its type.
        where: Bag and topic, for error messages.

    Raises:
        BagError: The bytes are not such a message.
    """
    try:
        return typestore().deserialize_cdr(data, type_name)
    except _BROKEN as error:
        raise BagError(f"{where}: not a {type_name}: {error}") from error


def encode(message: Any) -> bytes:
    """Serialize a message of this module's types, the inverse of `decode`."""
    return bytes(typestore().serialize_cdr(message, message.__msgtype__))


def create(type_name: str, **values: Any) -> Any:
    """Create a message; every field must be given."""
    return typestore().types[type_name](**values)


def stamp_ns(message: Any) -> int:
    """Return the header stamp of a message [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec * NS_PER_S + stamp.nanosec)


def joint_sample(message: Any, joints: tuple[str, ...]) -> JointSample:
    """Read a JointState in the order of ``joints``.

    Velocities or efforts that the message leaves empty, as ROS allows, are NaN.

    Raises:
        BagError: A joint is missing, a size does not match or a position is not finite.
    """
    columns = joint_columns(
        message.name, joints, message.position, message.velocity, message.effort
    )
    return JointSample(positions=columns[0], velocities=columns[1], effort=columns[2])


def joint_columns(
    names: Sequence[str],
    joints: tuple[str, ...],
    positions: FloatArray,
    velocities: FloatArray,
    effort: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bring a JointState's arrays, or stacks of them, into the order of ``joints``.

    Args:
        names: The message's joints.
        joints: The wanted joints.
        positions: [rad]. Shape (..., names).
        velocities: [rad/s], shape (..., names), or (..., 0) for unknown.
        effort: [N·m], shape (..., names), or (..., 0) for unknown.

    Raises:
        BagError: A joint is missing, a size does not match or a position is not finite.
    """
    order = _order(names, joints)
    unknown = np.full(np.shape(positions), np.nan)
    return (
        _finite(_row(positions, order, "position"), "position"),
        _row(velocities if np.shape(velocities)[-1] else unknown, order, "velocity"),
        _row(effort if np.shape(effort)[-1] else unknown, order, "effort"),
    )


def pose_rows(message: Any) -> FloatArray:
    """Read a PoseArray: rows x y z qx qy qz qw. Shape (poses, 7)."""
    rows = [
        (p.x, p.y, p.z, q.x, q.y, q.z, q.w)
        for p, q in ((pose.position, pose.orientation) for pose in message.poses)
    ]
    return _finite(np.array(rows, dtype=np.float64).reshape(len(rows), 7), "pose")


def aux_table(message: Any) -> Float32Array:
    """Read a table that a policy gave out with a chunk: a 32FC1 image. Shape (rows, columns).

    Raises:
        BagError: The image has another encoding or another size than it says.
    """
    shape, data = (message.height, message.width), bytes(message.data)
    if message.encoding != "32FC1" or len(data) != 4 * shape[0] * shape[1]:
        raise BagError(
            f"{message.encoding} with {len(data)} bytes is no 32FC1 table of {shape[0]} rows and "
            f"{shape[1]} columns"
        )
    order = ">" if message.is_bigendian else "<"
    return np.frombuffer(data, dtype=f"{order}f4").reshape(shape).astype(np.float32)


def trajectory(message: Any, joints: tuple[str, ...]) -> JointTrajectory:
    """Read the positions of a JointTrajectory in the order of ``joints``.

    Raises:
        BagError: A joint is missing, a size does not match, a value is not finite or times do not
            increase.
    """
    points = message.points
    if not 1 <= len(points) <= _MAX_POINTS:
        raise BagError(f"trajectory: {len(points)} points are outside 1..{_MAX_POINTS}")
    order = _order(message.joint_names, joints)
    positions = np.stack([_row(point.positions, order, "positions") for point in points])
    times = tuple(
        int(point.time_from_start.sec * NS_PER_S + point.time_from_start.nanosec)
        for point in points
    )
    if any(late <= early for early, late in pairwise(times)):
        raise BagError("trajectory: times do not increase")
    return JointTrajectory(
        stamp_ns=stamp_ns(message),
        joints=joints,
        times_ns=times,
        positions=_finite(positions, "positions"),
    )


def _order(names: Sequence[str], joints: tuple[str, ...]) -> list[int]:
    return _find_columns(tuple(names), joints)


@lru_cache(maxsize=64)
def _find_columns(names: tuple[str, ...], joints: tuple[str, ...]) -> list[int]:
    """Return where each wanted joint stands in a message, then the message's joint count."""
    if any(names.count(joint) != 1 for joint in joints):
        raise BagError(f"joints {', '.join(names) or 'none'}: expected {', '.join(joints)}")
    return [*(names.index(joint) for joint in joints), len(names)]


def _row(values: Any, order: list[int], what: str) -> FloatArray:
    row: FloatArray = np.asarray(values, dtype=np.float64)
    if row.shape[-1] != order[-1]:
        raise BagError(f"{what}: {row.shape[-1]} values for {order[-1]} joints")
    return row[..., order[:-1]]


def _finite(values: FloatArray, what: str) -> FloatArray:
    if not np.isfinite(values).all():
        raise BagError(f"{what}: a value is not finite")
    return values
