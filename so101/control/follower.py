"""Turns joint trajectories into the goal of every tick, replacing one by the next smoothly."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.clock import CONTROL_GRID, CONTROL_HZ, NS_PER_S
from so101.control.trajectory import JointTrajectory, validate
from so101.errors import TrajectoryError

MAX_LATE_NS = NS_PER_S
"""A trajectory that started longer ago than this is stale and rejected."""

MAX_EARLY_NS = NS_PER_S
"""A trajectory that starts later than this comes from another clock and is rejected."""


_LEAST_TICKS = 1e-4
"""Points are taken to be at least this many control ticks apart; stamps of today resolve 2e-5."""


@dataclass(frozen=True, kw_only=True)
class Waypoint:
    """Where the joints are, and how fast, at one moment.

    Attributes:
        stamp_ns: The moment [ns].
        positions: [rad]. Shape (joints,).
        velocities: [rad/s]. Shape (joints,).
    """

    stamp_ns: int
    positions: FloatArray
    velocities: FloatArray


class TrajectoryFollower:
    """Turns the newest trajectory into the goal of every tick.

    Between two points it interpolates with a cubic; at a point's due time it returns that very
    point. A new trajectory replaces the old one at once and smoothly: the cubic to its first
    future point starts at the position and velocity in force. Points without velocities get the
    slope between their neighbours, limited so that the cubic does not run past a point; the last
    one gets 0, so that an arm that is told nothing more comes to rest there. After the last point
    the goal stays at it until `clear`.

    A stream of one-point trajectories, as single-step policies send, goes from rest to rest: a
    next point is not known, and a velocity carried on past the last one would be made up. At the
    policy rate that is the straight line between the points, because the one tick between two of
    them is halfway on the cubic; so goals that need at most half the acceleration limit pass the
    gate unchanged. At a lower rate the arm rests at every point; who wants it to pass through
    sends a point more, or velocities.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        """Start with nothing to follow."""
        self._joints = tuple(joints)
        self._due: list[int] = []
        self._ticks: list[float] = []
        self._positions: FloatArray = np.empty((0, len(self._joints)))
        self._velocities: FloatArray = self._positions
        self._next = 1

    @property
    def ends_ns(self) -> int | None:
        """Due time of the last point [ns]; None while there is nothing to follow."""
        return self._due[-1] if self._due else None

    def clear(self) -> None:
        """Forget the trajectory."""
        self._due = []

    def replace(
        self, trajectory: JointTrajectory, now_ns: int, start: Waypoint | None = None
    ) -> None:
        """Follow a trajectory from now on.

        Args:
            trajectory: The new one. Its points up to now are skipped.
            now_ns: The present stamp [ns].
            start: The command in force. Without it, the old trajectory's, or the new one's
                first future point.

        Raises:
            TrajectoryError: It is invalid, stale, far in the future or over; the old one stays.
        """
        validate(trajectory, self._joints)
        begin_ns = trajectory.stamp_ns or now_ns
        _check_start(begin_ns - now_ns)
        first = bisect_right(trajectory.times_ns, now_ns - begin_ns)
        if first == len(trajectory.times_ns):
            raise TrajectoryError(
                f"trajectory: all points are in the past, the last one by "
                f"{now_ns - begin_ns - trajectory.times_ns[-1]} ns"
            )
        start = start or self._waypoint(now_ns)
        if start is None:
            positions = np.asarray(trajectory.positions[first], dtype=np.float64)
            start = Waypoint(
                stamp_ns=now_ns, positions=positions, velocities=np.zeros_like(positions)
            )
        given = None if trajectory.velocities is None else trajectory.velocities[first:]
        due = (_on_tick(begin_ns + t) for t in trajectory.times_ns[first:])
        self._due = [start.stamp_ns, *due]
        self._ticks = [_ticks(stamp_ns, self._due[0]) for stamp_ns in self._due]
        self._positions = _rows(start.positions, trajectory.positions[first:])
        self._velocities = (
            point_velocities(self._ticks, self._positions, start.velocities)
            if given is None
            else _rows(start.velocities, given)
        )
        self._next = 1

    def sample(self, stamp_ns: int) -> FloatArray | None:
        """Return the goal in force from a stamp on.

        Args:
            stamp_ns: The tick [ns].

        Returns:
            Positions [rad], read-only, of shape (joints,), or None when there is nothing to
            follow.
        """
        if not self._due:
            return None
        index = self._segment(stamp_ns)
        if stamp_ns >= self._due[index]:
            return np.asarray(self._positions[index])
        if stamp_ns <= self._due[index - 1]:
            return np.asarray(self._positions[index - 1])
        return frozen(self._hermite(index, stamp_ns)[0])

    def _segment(self, stamp_ns: int) -> int:
        """Return the index of the first point at or after a stamp, or of the last point."""
        if self._next > 1 and stamp_ns < self._due[self._next - 1]:
            self._next = 1
        while self._next < len(self._due) - 1 and self._due[self._next] < stamp_ns:
            self._next += 1
        return self._next

    def _waypoint(self, stamp_ns: int) -> Waypoint | None:
        if not self._due:
            return None
        index = self._segment(stamp_ns)
        if stamp_ns >= self._due[index]:
            is_over = index == len(self._due) - 1
            velocities = self._velocities[index] * (0.0 if is_over else 1.0)
            return Waypoint(
                stamp_ns=stamp_ns, positions=self._positions[index], velocities=velocities
            )
        stamp_ns = max(stamp_ns, self._due[index - 1])
        positions, velocities = self._hermite(index, stamp_ns)
        return Waypoint(
            stamp_ns=stamp_ns, positions=np.array(positions), velocities=np.array(velocities)
        )

    def _hermite(self, index: int, stamp_ns: int) -> tuple[list[float], list[float]]:
        """Return positions and velocities on the cubics that end at point ``index``.

        On plain floats: it runs at every other tick, and numpy is slow on so few numbers.
        """
        begin, end = self._ticks[index - 1], self._ticks[index]
        span = (end - begin) / CONTROL_HZ
        u = (_ticks(stamp_ns, self._due[0]) - begin) / (end - begin)
        positions, velocities = [], []
        for p0, p1, slope0, slope1 in zip(
            *self._positions[index - 1 : index + 1].tolist(),
            *self._velocities[index - 1 : index + 1].tolist(),
            strict=True,
        ):
            way, v0, v1 = p1 - p0, slope0 * span, slope1 * span
            c2, c3 = 3 * way - 2 * v0 - v1, v0 + v1 - 2 * way
            positions.append(p0 + u * (v0 + u * (c2 + u * c3)))
            velocities.append((v0 + u * (2 * c2 + 3 * u * c3)) / span)
        return positions, velocities


def _on_tick(stamp_ns: int) -> int:
    """Return the tick that a stamp is but a rounding away from, else the stamp."""
    tick_ns = CONTROL_GRID.stamp(CONTROL_GRID.floor(stamp_ns + 1))
    return tick_ns if abs(tick_ns - stamp_ns) <= 1 else stamp_ns


def _ticks(stamp_ns: int, origin_ns: int) -> float:
    """Return the control periods since an origin, a whole number from tick to tick.

    The stamps of ticks are rounded to nanoseconds, differently from tick to tick; in periods since
    its own start the same trajectory is the same at whatever time it starts, to the last bit.
    """
    index, origin = CONTROL_GRID.floor(stamp_ns), CONTROL_GRID.floor(origin_ns)
    if CONTROL_GRID.stamp(index) == stamp_ns and CONTROL_GRID.stamp(origin) == origin_ns:
        return float(index - origin)
    return (stamp_ns - origin_ns) * CONTROL_HZ / NS_PER_S


def _check_start(ahead_ns: int) -> None:
    if ahead_ns < -MAX_LATE_NS:
        raise TrajectoryError(
            f"trajectory: started {-ahead_ns} ns ago; at most {MAX_LATE_NS} ns are accepted"
        )
    if ahead_ns > MAX_EARLY_NS:
        raise TrajectoryError(
            f"trajectory: starts in {ahead_ns} ns; at most {MAX_EARLY_NS} ns are accepted"
        )


def _rows(first: FloatArray, rest: FloatArray) -> FloatArray:
    rows = np.empty((1 + len(rest), len(first)))
    rows[0], rows[1:] = first, rest
    rows.setflags(write=False)
    return rows


def point_velocities(ticks: list[float], positions: FloatArray, first: FloatArray) -> FloatArray:
    """Return a velocity for every point: between its neighbours' slopes, 0 at the end.

    Limited so that the cubic runs monotonously from point to point (Fritsch and Carlson 1980):
    between points inside a range it stays inside.

    Args:
        ticks: When each point is due [control periods], rising.
        positions: [rad]. Shape (points, joints).
        first: Velocity of the first point [rad/s]. Shape (joints,).
    """
    slopes = np.zeros_like(positions)
    slopes[0] = first
    if len(ticks) > 2:
        spans = np.maximum(np.diff(ticks)[:, None], _LEAST_TICKS) / CONTROL_HZ
        ways = np.diff(positions, axis=0)
        central = (ways[1:] + ways[:-1]) / (spans[1:] + spans[:-1])
        before, after = ways[:-1] / spans[:-1], ways[1:] / spans[1:]
        most = 3.0 * np.minimum(np.abs(before), np.abs(after))
        most = np.where(before * after > 0.0, most, 0.0)
        slopes[1:-1] = np.minimum(np.maximum(central, -most), most)
    return slopes
