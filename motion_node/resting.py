"""The way to rest from any motion. Pure."""

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.clock import nanoseconds
from so101.control.trajectory import JointTrajectory
from so101.robot import RobotSpec

BRAKING = 0.3
"""Share of the acceleration limit with which the arm slows down."""

LEAST_S = 0.05
"""Shortest time to rest [s]."""

LINGER_S = 0.5
"""It stays there for so long, so that one that comes late is not over when it comes [s]."""


def rest_trajectory(
    command: FloatArray, velocities: FloatArray, spec: RobotSpec, stamp_ns: int
) -> JointTrajectory:
    """Return a motion that slows every joint down evenly and stays where it comes to rest.

    Args:
        command: The command in force [rad]. Shape (joints,).
        velocities: How fast it moves [rad/s]. Shape (joints,).
        spec: Limits of the arm.
        stamp_ns: Start [ns].

    Returns:
        Two points: where the arm comes to rest, and the same later.
    """
    time_s = max(LEAST_S, float((np.abs(velocities) / (BRAKING * spec.max_acceleration)).max()))
    goal = np.clip(command + velocities * time_s / 2.0, spec.lower, spec.upper)
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=spec.joints,
        times_ns=(nanoseconds(time_s), nanoseconds(time_s + LINGER_S)),
        positions=frozen(np.tile(goal, (2, 1))),
        velocities=frozen(np.zeros((2, len(goal)))),
    )
