"""Joint trajectories as JointTrajectoryController understands them on its topic."""

from dataclasses import dataclass

from so101.arrays import FloatArray


@dataclass(frozen=True, kw_only=True)
class JointTrajectory:
    """The content of a trajectory_msgs/JointTrajectory, not yet validated.

    Attributes:
        stamp_ns: Start of the trajectory [ns]; 0 means now.
        joints: Joint names, one per column.
        times_ns: Time of each point from the start [ns].
        positions: [rad]. Shape (points, joints).
        velocities: [rad/s], shape (points, joints), or None.
    """

    stamp_ns: int
    joints: tuple[str, ...]
    times_ns: tuple[int, ...]
    positions: FloatArray
    velocities: FloatArray | None = None
