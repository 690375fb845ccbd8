"""Trajectories as a real JointTrajectoryController takes them, whose clock is another one.

Ours are stamped with the arm's steady clock and may lie partly in the past. The controller knows
only its own clock, interpolates cubically only where points have velocities, and refuses what does
not end at rest. So it is sent what is still to come, from now on.
"""

from collections.abc import Sequence

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.clock import CONTROL_HZ, NS_PER_S, nanoseconds
from so101.control.follower import point_velocities
from so101.control.trajectory import JointTrajectory, validate
from so101.errors import TrajectoryError

FIRST_NS = nanoseconds(0.01)
"""The first point is at least so far ahead [ns], a period of the controller: it would jump."""

STAY_S = 0.5
"""Time in which a controller is to be where the arm is [s]."""


def for_controller(
    trajectory: JointTrajectory, now_ns: int, command: FloatArray, joints: Sequence[str]
) -> JointTrajectory:
    """Return the rest of a trajectory, to begin on arrival.

    Points without velocities get those that our own follower would give them. The last one is at
    rest, whatever was asked for.

    Args:
        trajectory: Of our clock.
        now_ns: The present stamp [ns].
        command: The command in force [rad]. Shape (joints,).
        joints: The robot's joints in order.

    Raises:
        TrajectoryError: It is invalid or over.
    """
    validate(trajectory, joints)
    elapsed_ns = now_ns - (trajectory.stamp_ns or now_ns)
    ahead_ns = np.array(trajectory.times_ns, dtype=np.int64) - elapsed_ns
    if ahead_ns[-1] <= 0:
        raise TrajectoryError(f"trajectory: all points are in the past, by {-ahead_ns[-1]} ns")
    first = min(int(np.searchsorted(ahead_ns, FIRST_NS)), len(ahead_ns) - 1)
    times_ns = np.maximum(ahead_ns[first:], FIRST_NS)
    positions = np.asarray(trajectory.positions, dtype=np.float64)
    if trajectory.velocities is None:
        velocities = _velocities(ahead_ns, positions, command, first)
    else:
        velocities = np.array(trajectory.velocities[first:], dtype=np.float64)
    velocities[-1] = 0.0
    return JointTrajectory(
        stamp_ns=0,
        joints=tuple(joints),
        times_ns=tuple(times_ns.tolist()),
        positions=positions[first:],
        velocities=velocities,
        source=trajectory.source,
    )


def stay_at(command: FloatArray, joints: Sequence[str]) -> JointTrajectory:
    """Return what brings a controller to where the arm is, at rest.

    Args:
        command: Where the arm is told to be [rad]. Shape (joints,).
        joints: The robot's joints in order.
    """
    positions = np.asarray(command, dtype=np.float64)[None]
    return JointTrajectory(
        stamp_ns=0,
        joints=tuple(joints),
        times_ns=(nanoseconds(STAY_S),),
        positions=positions,
        velocities=np.zeros_like(positions),
        source="hold",
    )


def _velocities(
    ahead_ns: IntArray, positions: FloatArray, command: FloatArray, first: int
) -> FloatArray:
    """Return a velocity for every point from ``first`` on; the point before it is its neighbour.

    Where none was before, that is the command in force.
    """
    before = max(first - 1, 0)
    rows, times_ns = positions[before:], ahead_ns[before:]
    if first == 0:
        rows, times_ns = np.vstack((command, rows)), np.insert(times_ns, 0, 0)
    ticks = (times_ns * CONTROL_HZ / NS_PER_S).tolist()
    return point_velocities(ticks, rows, np.zeros(rows.shape[1]))[1:].copy()
