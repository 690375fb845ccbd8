"""Plans motions of the arm itself: home, reset, recovery.

Along the straight joint line where that is free, else around what is in the way (RRT-Connect),
from corner to corner with a stop at each, so that the arm never leaves the line that was checked.
"""

import math
from functools import partial
from itertools import pairwise

import numpy as np
from ruckig import InputParameter, Result, Ruckig, RuckigError, Trajectory

from so101.arrays import FloatArray, frozen
from so101.clock import CONTROL_HZ
from so101.control.clearance import CollisionCheck
from so101.control.trajectory import JointTrajectory, tick_times
from so101.errors import CollidingLineError, MotionError
from so101.kinematics.rrt import find_way
from so101.robot import RobotSpec

_SAME_M = 1e-6
_LEAST_WAY_RAD = 1e-9
_ALMOST = 1.0 - 1e-6
"""Where a way is just as long as some profile reaches, ruckig finds none; a bit slower it does."""
_LOOKS_RAD = (0.02, 0.01, 0.005)
"""How often a detour is looked at on its way; closer where that has missed something [rad]."""


def plan_motion(
    start: FloatArray,
    goal: FloatArray,
    spec: RobotSpec,
    collision: CollisionCheck | None,
    *,
    rng: np.random.Generator,
    speed: float = 0.3,
    stamp_ns: int,
) -> JointTrajectory:
    """Plan the straight joint line, or a way around what it would collide with.

    Args:
        start: Joint positions now [rad]. Shape (joints,).
        goal: Where to go [rad]. Shape (joints,).
        spec: Limits of the arm.
        collision: Checks every point; None checks none.
        rng: Draws the detour; the same one gives the same way.
        speed: Share of the limits that is used, above 0, up to 1.
        stamp_ns: Start [ns].

    Returns:
        A trajectory as `plan_line` returns it; a detour rests at its corners.

    Raises:
        MotionError: The request is impossible (see `plan_line`), the goal is too close to
            something, or no way was found.
    """
    try:
        return plan_line(start, goal, spec, collision, speed=speed, stamp_ns=stamp_ns)
    except CollidingLineError as error:
        straight = error
    if collision is None:
        raise straight
    _check_goal(goal, collision)
    bounds = (np.minimum(spec.lower, start), np.maximum(spec.upper, start))
    for look_rad in _LOOKS_RAD:
        is_free = partial(_is_free, collision=collision, look_rad=look_rad)
        way = find_way(start, goal, is_free, bounds, rng)
        if way is None:
            break
        try:
            return _along(way, spec, collision, speed=speed, stamp_ns=stamp_ns)
        except CollidingLineError:
            continue  # it cuts a corner between two looks
    raise MotionError(f"{straight}; and no way around was found: lead the arm away by hand")


def _check_goal(goal: FloatArray, collision: CollisionCheck) -> None:
    for clearance in collision.near(goal):
        if clearance.excess < 0.0:
            raise MotionError(
                f"motion: at the goal {clearance.pair[0]} and {clearance.pair[1]} would be within "
                f"{clearance.distance * 1e3:.1f} mm; at least {clearance.stop * 1e3:.0f} mm are "
                "needed"
            )


def _is_free(
    one: FloatArray, other: FloatArray, *, collision: CollisionCheck, look_rad: float
) -> bool:
    steps = max(1, math.ceil(float(np.abs(other - one).max()) / look_rad))
    shares = np.arange(1, steps + 1)[:, None] / steps
    try:
        _check_line(one, one + shares * (other - one), collision)
    except CollidingLineError:
        return False
    return True


def _along(
    way: list[FloatArray],
    spec: RobotSpec,
    collision: CollisionCheck,
    *,
    speed: float,
    stamp_ns: int,
) -> JointTrajectory:
    """Return the lines from corner to corner as one trajectory."""
    pieces: list[JointTrajectory] = []
    begins_ns = stamp_ns
    for one, other in pairwise(way):
        pieces.append(plan_line(one, other, spec, collision, speed=speed, stamp_ns=begins_ns))
        begins_ns = pieces[-1].ends_ns
    rates = [piece.velocities for piece in pieces if piece.velocities is not None]
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=spec.joints,
        times_ns=tuple(p.stamp_ns - stamp_ns + time for p in pieces for time in p.times_ns),
        positions=frozen(np.concatenate([piece.positions for piece in pieces])),
        velocities=frozen(np.concatenate(rates)),
    )


def plan_line(
    start: FloatArray,
    goal: FloatArray,
    spec: RobotSpec,
    collision: CollisionCheck | None,
    *,
    speed: float = 0.3,
    stamp_ns: int,
) -> JointTrajectory:
    """Plan the straight joint line, from rest to rest, as fast as the limits allow.

    One profile (ruckig, never its waypoints) drives the share of the way, so the joints move in
    step and the line is exact.

    Args:
        start: Joint positions now [rad]. Shape (joints,).
        goal: Where to go [rad]. Shape (joints,).
        spec: Limits of the arm.
        collision: Checks every point; None checks none.
        speed: Share of the velocity, acceleration and jerk limits that is used, above 0, up to 1.
        stamp_ns: Start [ns]; points are due at the control ticks after it.

    Returns:
        A trajectory with velocities; its last point is the goal, at rest.

    Raises:
        MotionError: The goal is not finite or out of range, the speed is not in (0, 1], or there
            is no profile.
        CollidingLineError: A point brings two parts closer than allowed and closer than they are
            at the start.
    """
    start, goal = np.asarray(start, dtype=np.float64), np.asarray(goal, dtype=np.float64)
    _check_request(start, goal, spec, speed)
    way = goal - start
    profile = _profile(way, spec, speed) or _profile(way, spec, speed * _ALMOST)
    if profile is None:
        raise MotionError(f"motion: no profile for the way {way}")
    shares, rates = profile
    positions = start + shares[:, None] * way
    positions[-1] = goal
    if collision is not None:
        _check_line(start, positions, collision)
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=spec.joints,
        times_ns=tick_times(stamp_ns, len(shares)),
        positions=frozen(positions),
        velocities=frozen(rates[:, None] * way),
    )


def _check_request(start: FloatArray, goal: FloatArray, spec: RobotSpec, speed: float) -> None:
    if not 0.0 < speed <= 1.0:
        raise MotionError(f"motion: speed {speed} is not in (0, 1]")
    for name, pose in (("start", start), ("goal", goal)):
        if pose.shape != spec.lower.shape or not np.isfinite(pose).all():
            raise MotionError(f"motion: {name} is not {len(spec.joints)} finite positions: {pose}")
    for i, joint in enumerate(spec.joints):
        if not spec.lower[i] <= goal[i] <= spec.upper[i]:
            raise MotionError(
                f"motion: goal {joint}={goal[i]:.4f} rad is outside "
                f"{spec.lower[i]:.4f}..{spec.upper[i]:.4f}"
            )


def _profile(
    way: FloatArray, spec: RobotSpec, speed: float
) -> tuple[FloatArray, FloatArray] | None:
    """Return share of the way and its rate [1/s] at every control tick until rest, if it can."""
    length = np.maximum(np.abs(way), _LEAST_WAY_RAD)
    profile = InputParameter(1)
    profile.current_position, profile.target_position = [0.0], [1.0]
    profile.max_velocity = [float((speed * spec.max_velocity / length).min())]
    profile.max_acceleration = [float((speed * spec.max_acceleration / length).min())]
    profile.max_jerk = [float((speed * spec.max_jerk / length).min())]
    trajectory = Trajectory(1)
    try:
        result = Ruckig(1).calculate(profile, trajectory)
    except RuckigError:
        return None
    if result not in (Result.Working, Result.Finished):
        return None
    ticks = max(1, math.ceil(trajectory.duration * CONTROL_HZ))
    samples = [trajectory.at_time((k + 1) / CONTROL_HZ) for k in range(ticks)]
    shares = np.array([sample[0][0] for sample in samples])
    rates = np.array([sample[1][0] for sample in samples])
    shares[-1], rates[-1] = 1.0, 0.0
    return shares, rates


def check_way(start: FloatArray, points: FloatArray, collision: CollisionCheck) -> None:
    """Refuse a way on which two parts come too close; parts too close already may only part.

    Args:
        start: Joint positions now [rad]. Shape (joints,).
        points: What the way leads through, in straight lines [rad]. Shape (points, joints).
        collision: Checks the way as closely as a detour's first look.

    Raises:
        CollidingLineError: Something on the way comes too close.
    """
    corners = [np.asarray(start, dtype=np.float64), *points]
    looks = []
    for one, other in pairwise(corners):
        steps = max(1, math.ceil(float(np.abs(other - one).max()) / _LOOKS_RAD[0]))
        looks.append(one + np.arange(1, steps + 1)[:, None] / steps * (other - one))
    _check_line(corners[0], np.concatenate(looks), collision)


def _check_line(start: FloatArray, positions: FloatArray, collision: CollisionCheck) -> None:
    """Refuse a line on which two parts come too close; parts too close already may only part."""
    tight = {c.pair: c.distance for c in collision.near(start) if c.excess < 0.0}
    for k, point in enumerate(positions):
        still_tight: dict[tuple[str, str], float] = {}
        for c in collision.near(point):
            if c.excess >= 0.0:
                continue
            if c.pair not in tight or c.distance < tight[c.pair] - _SAME_M:
                raise CollidingLineError(
                    f"motion: {c.pair[0]} and {c.pair[1]} would come within "
                    f"{c.distance * 1e3:.1f} mm after {k / len(positions):.0%} of the way; "
                    f"at least {c.stop * 1e3:.0f} mm are needed"
                )
            still_tight[c.pair] = c.distance
        tight = still_tight
