"""Values to messages without ROS, for bags made from values: the inverse of the readers' side."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from so101.arrays import FloatArray
from so101.clock import NS_PER_S
from so101.data.bags.messages import create
from so101.events import Event
from so101.robot import JOINTS
from so101.topics import (
    COMPRESSED_IMAGE,
    DIAGNOSTICS_TYPE,
    HEADER,
    JOINT_STATE,
    JOINT_TRAJECTORY,
    POSE_ARRAY,
    STRING,
)


def header(stamp_ns: int) -> Any:
    """Return a header with a stamp [ns]."""
    return create(HEADER, stamp=_time("Time", stamp_ns), frame_id="")


def joint_state(
    stamp_ns: int,
    positions: FloatArray,
    velocities: FloatArray | None = None,
    effort: FloatArray | None = None,
) -> Any:
    """Return a JointState; what is None, or not finite, is left empty, as ROS allows."""
    return create(
        JOINT_STATE,
        header=header(stamp_ns),
        name=list(JOINTS),
        position=np.array(positions, dtype=np.float64),
        velocity=_known(velocities),
        effort=_known(effort),
    )


def compressed_image(stamp_ns: int, jpeg: bytes) -> Any:
    """Return a CompressedImage of JPEG data."""
    data = np.frombuffer(jpeg, dtype=np.uint8)
    return create(COMPRESSED_IMAGE, header=header(stamp_ns), format="jpeg", data=data)


def pose_array(stamp_ns: int, rows: FloatArray) -> Any:
    """Return a PoseArray of rows x y z qx qy qz qw. Shape (poses, 7)."""
    poses = [
        create(
            "geometry_msgs/msg/Pose",
            position=create("geometry_msgs/msg/Point", x=r[0], y=r[1], z=r[2]),
            orientation=create("geometry_msgs/msg/Quaternion", x=r[3], y=r[4], z=r[5], w=r[6]),
        )
        for r in np.asarray(rows, dtype=np.float64).tolist()
    ]
    return create(POSE_ARRAY, header=header(stamp_ns), poses=poses)


def joint_trajectory(stamp_ns: int, due_ns: Sequence[int], positions: FloatArray) -> Any:
    """Return a JointTrajectory whose points are due at stamps [ns]."""
    empty = np.empty(0)
    points = [
        create(
            "trajectory_msgs/msg/JointTrajectoryPoint",
            positions=np.array(row, dtype=np.float64),
            velocities=empty,
            accelerations=empty,
            effort=empty,
            time_from_start=_time("Duration", due - stamp_ns),
        )
        for row, due in zip(positions, due_ns, strict=True)
    ]
    return create(
        JOINT_TRAJECTORY, header=header(stamp_ns), joint_names=list(JOINTS), points=points
    )


def text(value: str) -> Any:
    """Return a String."""
    return create(STRING, data=value)


def event_message(event: Event) -> Any:
    """Return the DiagnosticArray of an event."""
    values = [
        create("diagnostic_msgs/msg/KeyValue", key=key, value=value)
        for key, value in event.values.items()
    ]
    status = create(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=event.level,
        name=event.name,
        message=event.message,
        hardware_id=event.hardware_id,
        values=values,
    )
    return create(DIAGNOSTICS_TYPE, header=header(event.stamp_ns), status=[status])


def _time(kind: str, duration_ns: int) -> Any:
    sec, nanosec = divmod(duration_ns, NS_PER_S)
    return create(f"builtin_interfaces/msg/{kind}", sec=sec, nanosec=nanosec)


def _known(values: FloatArray | None) -> FloatArray:
    if values is None or not np.isfinite(values).all():
        return np.empty(0)
    return np.array(values, dtype=np.float64)
