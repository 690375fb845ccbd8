"""Values to messages and back. Every pair here is an inverse pair and tested as one.

Sequences are handed over as ``array.array``: assigning bytes, lists or numpy arrays to a
message's sequence copies element by element and costs up to a thousand times more.
"""

from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from std_msgs.msg import Float64, Header, String
from trajectory_msgs.msg import JointTrajectory as TrajectoryMessage
from trajectory_msgs.msg import JointTrajectoryPoint

from so101 import events
from so101.arm import ArmState
from so101.arrays import FloatArray
from so101.clock import NS_PER_S
from so101.control.trajectory import JointTrajectory
from so101.errors import BagError, HardwareError, TrajectoryError
from so101.robot import BASE_FRAME, JOINTS

_NAMES = list(JOINTS)


def to_stamp(stamp_ns: int) -> Time:
    """Return a stamp as a message."""
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    return Time(sec=sec, nanosec=nanosec)


def from_stamp(stamp: Any) -> int:
    """Read a stamp [ns]."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def to_header(stamp_ns: int, frame_id: str = "") -> Header:
    """Return a header; alone, it is the message of the alive topics."""
    return Header(stamp=to_stamp(stamp_ns), frame_id=frame_id)


def stamp_of(message: Any) -> int:
    """Read the stamp [ns] of a message with a header, or of a header."""
    return from_stamp(message.stamp if hasattr(message, "stamp") else message.header.stamp)


def to_clock(stamp_ns: int) -> Clock:
    """Return simulated time as a message."""
    return Clock(clock=to_stamp(stamp_ns))


def from_clock(message: Clock) -> int:
    """Read simulated time [ns]."""
    return from_stamp(message.clock)


def to_text(text: str) -> String:
    """Return a text as a message."""
    return String(data=text)


def from_text(message: String) -> str:
    """Read a text."""
    return str(message.data)


def to_number(value: float) -> Float64:
    """Return a number as a message."""
    return Float64(data=float(value))


def from_number(message: Float64) -> float:
    """Read a number."""
    return float(message.data)


def to_joint_state(stamp_ns: int, state: ArmState) -> JointState:
    """Return a reading of the arm as a message."""
    message = to_joint_command(stamp_ns, state.positions)
    message.velocity = _doubles(state.velocities)
    message.effort = _doubles(state.effort)
    return message


def from_joint_state(message: JointState) -> tuple[int, ArmState]:
    """Read a reading of the arm.

    Returns:
        Stamp [ns] and reading in our joint order; further joints are left out. Velocities and
        effort that the driver does not report are NaN.

    Raises:
        HardwareError: A joint is missing, or there are fewer positions than names.
    """
    stamp_ns, positions = from_joint_command(message)
    state = ArmState(
        positions=positions,
        velocities=_column(message, "velocity"),
        effort=_column(message, "effort"),
    )
    return stamp_ns, state


def to_joint_command(stamp_ns: int, positions: FloatArray) -> JointState:
    """Return a joint goal [rad] as a message. Shape of ``positions``: (joints,)."""
    message = JointState()
    stamp = message.header.stamp
    stamp.sec, stamp.nanosec = divmod(stamp_ns, NS_PER_S)
    message.name = _NAMES
    message.position = _doubles(positions)
    return message


def from_joint_command(message: JointState) -> tuple[int, FloatArray]:
    """Read stamp [ns] and joint positions [rad] in our joint order. Shape (joints,).

    Raises:
        HardwareError: A joint is missing, or there are fewer positions than names.
    """
    positions = _column(message, "position")
    if np.isnan(positions).all() and not message.position:
        raise HardwareError("joint state: no positions")
    return from_stamp(message.header.stamp), positions


def to_joint_trajectory(trajectory: JointTrajectory) -> TrajectoryMessage:
    """Return a trajectory as a message."""
    positions = trajectory.positions.tolist()
    velocities = None if trajectory.velocities is None else trajectory.velocities.tolist()
    points = []
    for row, time_ns in enumerate(trajectory.times_ns):
        point = JointTrajectoryPoint(time_from_start=_to_duration(time_ns))
        point.positions = array("d", positions[row])
        if velocities is not None:
            point.velocities = array("d", velocities[row])
        points.append(point)
    return TrajectoryMessage(
        header=to_header(trajectory.stamp_ns, trajectory.source),
        joint_names=list(trajectory.joints),
        points=points,
    )


def from_joint_trajectory(message: TrajectoryMessage) -> JointTrajectory:
    """Read a trajectory. What it means is checked later; here only that it is a table.

    Raises:
        TrajectoryError: A point has not one position per joint, or only some points have
            velocities.
    """
    joints = tuple(message.joint_names)
    positions = _table(message, "positions", joints)
    has_velocities = any(len(point.velocities) for point in message.points)
    return JointTrajectory(
        stamp_ns=from_stamp(message.header.stamp),
        joints=joints,
        times_ns=tuple(from_stamp(point.time_from_start) for point in message.points),
        positions=positions,
        velocities=_table(message, "velocities", joints) if has_velocities else None,
        source=message.header.frame_id,
    )


def to_event(event: events.Event) -> DiagnosticArray:
    """Return an event as a message."""
    values = [KeyValue(key=key, value=value) for key, value in event.values.items()]
    status = DiagnosticStatus(
        level=bytes((event.level,)),
        name=event.name,
        message=event.message,
        hardware_id=event.hardware_id,
        values=values,
    )
    return DiagnosticArray(header=to_header(event.stamp_ns), status=[status])


def from_event(message: DiagnosticArray) -> events.Event:
    """Read an event.

    Raises:
        BagError: The message does not hold exactly one status.
    """
    return events.from_message(message)


def to_image(stamp_ns: int, camera: str, jpeg: bytes) -> CompressedImage:
    """Return the JPEG frame of a camera as a message."""
    return CompressedImage(
        header=to_header(stamp_ns, optical_frame(camera)), format="jpeg", data=array("B", jpeg)
    )


def from_image(message: CompressedImage) -> tuple[int, bytes]:
    """Read stamp [ns] and JPEG bytes of a frame.

    Raises:
        BagError: The frame is not a JPEG.
    """
    if "jpeg" not in message.format and "jpg" not in message.format:
        raise BagError(f"image: format {message.format!r} is not jpeg")
    return from_stamp(message.header.stamp), bytes(message.data)


def optical_frame(camera: str) -> str:
    """Return the frame of a camera's images: z forward, x right, y down."""
    return f"{camera}_camera_optical_frame"


def to_camera_info(
    stamp_ns: int, camera: str, size: tuple[int, int], focal_px: float
) -> CameraInfo:
    """Return the calibration of an ideal camera without distortion.

    Args:
        stamp_ns: Stamp of the frame it belongs to [ns].
        camera: Camera id.
        size: Height and width [px].
        focal_px: Focal length [px].
    """
    height, width = size
    cx, cy = (width - 1) / 2.0, (height - 1) / 2.0
    return CameraInfo(
        header=to_header(stamp_ns, optical_frame(camera)),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=array("d", [0.0] * 5),
        k=np.array([focal_px, 0, cx, 0, focal_px, cy, 0, 0, 1], dtype=np.float64),
        r=np.eye(3).ravel(),
        p=np.array([focal_px, 0, cx, 0, 0, focal_px, cy, 0, 0, 0, 1, 0], dtype=np.float64),
    )


def to_poses(stamp_ns: int, poses: FloatArray) -> PoseArray:
    """Return object poses, rows x y z qx qy qz qw, as a message. Shape (objects, 7)."""
    rows = [
        Pose(
            position=Point(x=x, y=y, z=z),
            orientation=Quaternion(x=qx, y=qy, z=qz, w=qw),
        )
        for x, y, z, qx, qy, qz, qw in np.asarray(poses, dtype=np.float64).tolist()
    ]
    return PoseArray(header=to_header(stamp_ns, BASE_FRAME), poses=rows)


def from_poses(message: PoseArray) -> tuple[int, FloatArray]:
    """Read stamp [ns] and object poses, rows x y z qx qy qz qw. Shape (objects, 7)."""
    rows = [
        [*_xyz(pose.position), *_xyz(pose.orientation), pose.orientation.w]
        for pose in message.poses
    ]
    return from_stamp(message.header.stamp), np.array(rows, dtype=np.float64).reshape(-1, 7)


def _xyz(value: Any) -> tuple[float, float, float]:
    return value.x, value.y, value.z


def _doubles(values: FloatArray) -> "array[float]":
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def _column(message: JointState, name: str) -> FloatArray:
    values = np.array(getattr(message, name), dtype=np.float64)
    if message.name == _NAMES and len(values) == len(JOINTS):
        return values
    if len(values) == 0:
        return np.full(len(JOINTS), np.nan)
    index = {joint: i for i, joint in enumerate(message.name)}
    missing = [joint for joint in JOINTS if joint not in index]
    if missing or len(values) != len(message.name):
        raise HardwareError(
            f"joint state: {len(values)} values of {name} for {len(message.name)} joints; "
            f"missing joints: {', '.join(missing) or 'none'}"
        )
    return values[[index[joint] for joint in JOINTS]]


def _table(message: TrajectoryMessage, name: str, joints: tuple[str, ...]) -> FloatArray:
    rows = [getattr(point, name) for point in message.points]
    for number, row in enumerate(rows):
        if len(row) != len(joints):
            raise TrajectoryError(f"point {number}: {len(row)} {name} for {len(joints)} joints")
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(joints))


def _to_duration(duration_ns: int) -> Duration:
    sec, nanosec = divmod(duration_ns, NS_PER_S)
    return Duration(sec=sec, nanosec=nanosec)
