"""Joint trajectories as JointTrajectoryController understands them on its topic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so101.action import ActionChunk, is_finite_chunk
from so101.arrays import FloatArray
from so101.clock import CONTROL_GRID, CONTROL_HZ, NS_PER_S
from so101.errors import TrajectoryError

LARGEST_RAD = 10.0
"""No joint turns so far: what is larger is a mistake, and nothing to go towards [rad]."""

LARGEST_RAD_S = 1000.0
"""The same of velocities, far beyond what any motor does [rad/s]."""


@dataclass(frozen=True, kw_only=True)
class JointTrajectory:
    """The content of a trajectory_msgs/JointTrajectory, not yet validated.

    Attributes:
        stamp_ns: Start of the trajectory [ns]; 0 means now.
        joints: Joint names, one per column.
        times_ns: Time of each point from the start [ns].
        positions: [rad]. Shape (points, joints).
        velocities: [rad/s], shape (points, joints), or None.
        source: Whose it is; the arbiter writes it into the header's frame_id, which controllers
            ignore.
    """

    stamp_ns: int
    joints: tuple[str, ...]
    times_ns: tuple[int, ...]
    positions: FloatArray
    velocities: FloatArray | None = None
    source: str = ""

    @property
    def ends_ns(self) -> int:
        """When the last point is due, if the stamp is not 0 [ns]."""
        return self.stamp_ns + self.times_ns[-1]


def tick_times(stamp_ns: int, ticks: int) -> tuple[int, ...]:
    """Return the times of the control ticks after a stamp, from that stamp on [ns]."""
    if CONTROL_GRID.is_tick(stamp_ns):
        first = CONTROL_GRID.floor(stamp_ns)
        return tuple(CONTROL_GRID.stamp(first + k + 1) - stamp_ns for k in range(ticks))
    return tuple(round((k + 1) * NS_PER_S / CONTROL_HZ) for k in range(ticks))


def validate(trajectory: JointTrajectory, joints: Sequence[str]) -> None:
    """Check a trajectory by the rules of JointTrajectoryController's topic, and then some.

    Stricter than the controller: names must be in the robot's order, and every number finite and
    of a size that means something.

    Args:
        trajectory: As it came from the topic.
        joints: The robot's joints in order.

    Raises:
        TrajectoryError: It breaks a rule; the message says which.
    """
    _check_names(trajectory.joints, tuple(joints))
    points = len(trajectory.times_ns)
    if points == 0:
        raise TrajectoryError("trajectory: no points")
    _check_array("positions", trajectory.positions, (points, len(joints)), LARGEST_RAD)
    if trajectory.velocities is not None:
        _check_array("velocities", trajectory.velocities, (points, len(joints)), LARGEST_RAD_S)
    if trajectory.stamp_ns < 0:
        raise TrajectoryError(f"trajectory: negative start stamp {trajectory.stamp_ns} ns")
    if trajectory.times_ns[0] < 0:
        raise TrajectoryError(f"trajectory: first point is due at {trajectory.times_ns[0]} ns < 0")
    for i, (before, after) in enumerate(
        zip(trajectory.times_ns, trajectory.times_ns[1:], strict=False)
    ):
        if after <= before:
            raise TrajectoryError(
                f"trajectory: times do not increase: point {i} at {before} ns, "
                f"point {i + 1} at {after} ns"
            )


def _check_names(names: tuple[str, ...], joints: tuple[str, ...]) -> None:
    if tuple(names) == joints:
        return
    got, need = ", ".join(names) or "none", ", ".join(joints)
    kind = "shuffled" if sorted(names) == sorted(joints) else "wrong"
    raise TrajectoryError(f"trajectory: {kind} joint names: got {got}; need {need}")


def _check_array(name: str, values: FloatArray, shape: tuple[int, int], largest: float) -> None:
    if np.shape(values) != shape:
        raise TrajectoryError(f"trajectory: {name} have shape {np.shape(values)}, need {shape}")
    if not np.isfinite(values).all():
        raise TrajectoryError(f"trajectory: {name} are not all finite")
    found = np.abs(values).max()
    if found > largest:
        raise TrajectoryError(f"trajectory: {name} reach {found:g}, at most {largest:g} are meant")


def chunk_to_trajectory(chunk: ActionChunk, joints: Sequence[str]) -> JointTrajectory:
    """Return the trajectory of a chunk: stamped with its observation, points when they are due.

    Args:
        chunk: The plan. Its stamp should be after 0, which means "now" on the topic.
        joints: Joint names, one per column of the chunk.

    Raises:
        TrajectoryError: The chunk is empty, not finite or has another number of joints.
    """
    if not is_finite_chunk(chunk, len(joints)):
        raise TrajectoryError(
            f"chunk at {chunk.stamp_ns} ns: need finite positions of shape (>= 1, {len(joints)}), "
            f"got shape {chunk.positions.shape}"
        )
    return JointTrajectory(
        stamp_ns=chunk.stamp_ns,
        joints=tuple(joints),
        times_ns=tuple(due - chunk.stamp_ns for due in chunk.due_ns()),
        positions=chunk.positions,
    )


def chunk_from_trajectory(
    trajectory: JointTrajectory, *, rate_hz: int, speed: float = 1.0, delay_ns: int = 0
) -> ActionChunk:
    """Return the chunk of a trajectory, the inverse of `chunk_to_trajectory`.

    Args:
        trajectory: A recorded chunk.
        rate_hz: Points per second the policy planned at speed 1.
        speed: Playback factor.
        delay_ns: Time from its stamp to its start [ns].

    Raises:
        TrajectoryError: The points are not due when a chunk's points would be.
    """
    chunk = ActionChunk(
        stamp_ns=trajectory.stamp_ns,
        positions=trajectory.positions,
        rate_hz=rate_hz,
        speed=speed,
        delay_ns=delay_ns,
    )
    due = tuple(stamp - chunk.stamp_ns for stamp in chunk.due_ns())
    if due != tuple(trajectory.times_ns):
        raise TrajectoryError(
            f"trajectory at {trajectory.stamp_ns} ns is no chunk of {rate_hz} Hz at speed {speed}"
        )
    return chunk
