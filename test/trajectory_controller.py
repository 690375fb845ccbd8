"""What a JointTrajectoryController does with a topic of trajectories, by its documentation.

Our words and as little as a test needs: stamp 0 starts now, a new trajectory replaces the old one
from the desired state, cubic interpolation between points with velocities, hold after the last.
"""

from itertools import pairwise

import numpy as np

from so101.clock import seconds


class TrajectoryController:
    """The controller's side of ros2_control in topic mode."""

    def __init__(self, pose):
        """Be activated at a pose, which before the first reading is whatever it happens to be."""
        self.desired = np.array(pose, dtype=float)
        self.speed = np.zeros(len(pose))
        self._points = []  # (due_ns, positions, velocities), the start first
        self.refused = []

    def take(self, trajectory, now_ns):
        """Take a trajectory, unless it breaks a rule of the controller."""
        problem = self._problem(trajectory)
        if problem:
            self.refused.append(problem)
            return
        self.sample(now_ns)
        self._points = [(now_ns, self.desired.copy(), self.speed.copy())]
        for due, row, speeds in zip(
            trajectory.times_ns, trajectory.positions, trajectory.velocities, strict=True
        ):
            self._points.append((now_ns + due, row, speeds))

    def sample(self, now_ns):
        """Return the setpoint of a moment [rad]."""
        points = self._points
        if not points:
            return self.desired
        if now_ns >= points[-1][0]:
            self.desired, self.speed = points[-1][1].copy(), np.zeros(len(self.desired))
            return self.desired
        index = next(i for i, point in enumerate(points) if point[0] > now_ns)
        (t0, p0, v0), (t1, p1, v1) = points[index - 1], points[index]
        span, u = seconds(t1 - t0), (now_ns - t0) / (t1 - t0)
        way, w0, w1 = p1 - p0, v0 * span, v1 * span
        c2, c3 = 3 * way - 2 * w0 - w1, w0 + w1 - 2 * way
        self.desired = p0 + u * (w0 + u * (c2 + u * c3))
        self.speed = (w0 + u * (2 * c2 + 3 * u * c3)) / span
        return self.desired

    @staticmethod
    def _problem(trajectory):
        times = trajectory.times_ns
        if trajectory.stamp_ns != 0:
            return "a stamp of another clock"
        if trajectory.velocities is None:
            return "no velocities: steps of speed at every point"
        if times[0] <= 0 or any(b <= a for a, b in pairwise(times)):
            return f"times {times}"
        if np.any(trajectory.velocities[-1] != 0.0):
            return "moves at its end"
        return ""
