"""What joint goals may follow one another: velocity, acceleration and jerk as finite differences.

All quantities are position differences per tick [rad]: ``step`` is the newest goal minus the one
before (velocity times the period), ``bend`` the change of the step (acceleration times the period
squared). A sequence of goals is legal when ``|step| <= velocity``, ``|bend| <= acceleration`` and
the change of the bend is at most ``jerk``, for every joint at every tick, and when it can come to
rest inside the joint's range. Pure arithmetic, without memory.
"""

from dataclasses import dataclass

import numpy as np

from so101.arrays import BoolArray, FloatArray
from so101.errors import ConfigError
from so101.robot import RobotSpec

TOLERANCE = 1e-12
"""Rounding allowed in comparisons [rad]."""

_HALVINGS = 8


@dataclass(frozen=True, kw_only=True)
class TickLimits:
    """Limits per tick; arrays of shape (joints,).

    Attributes:
        lower: Smallest position [rad].
        upper: Largest position [rad].
        velocity: Largest step [rad].
        acceleration: Largest bend [rad].
        jerk: Largest change of the bend [rad].
    """

    lower: FloatArray
    upper: FloatArray
    velocity: FloatArray
    acceleration: FloatArray
    jerk: FloatArray


def tick_limits(spec: RobotSpec, period_s: float) -> TickLimits:
    """Return a robot's limits per tick.

    Raises:
        ConfigError: A joint cannot shed its acceleration within one tick; then velocity, range
            and jerk could not all be kept.
    """
    limits = TickLimits(
        lower=spec.lower,
        upper=spec.upper,
        velocity=spec.max_velocity * period_s,
        acceleration=spec.max_acceleration * period_s**2,
        jerk=spec.max_jerk * period_s**3,
    )
    for i, joint in enumerate(spec.joints):
        if limits.jerk[i] < limits.acceleration[i]:
            least = spec.max_acceleration[i] / period_s
            raise ConfigError(
                f"joint limits: {joint}: max_jerk={spec.max_jerk[i]:g} must be at least "
                f"max_acceleration / period = {least:g} rad/s3"
            )
    return limits


def is_illegal(
    step: FloatArray, last_step: FloatArray, bend: FloatArray, limits: TickLimits
) -> BoolArray:
    """Tell, joint by joint, whether a step may not follow the last one, whose bend is given.

    Args:
        step: Proposed step [rad]. Shape (joints,).
        last_step: The step before it [rad].
        bend: Bend of the last step [rad].
        limits: Limits per tick.
    """
    new_bend = step - last_step
    return np.asarray(
        (np.abs(step) > limits.velocity + TOLERANCE)
        | (np.abs(new_bend) > limits.acceleration + TOLERANCE)
        | (np.abs(new_bend - bend) > limits.jerk + TOLERANCE)
    )


def nearest_legal(
    step: FloatArray, last_step: FloatArray, bend: FloatArray, limits: TickLimits
) -> FloatArray:
    """Return the legal step nearest to a wish; velocity before acceleration before jerk."""
    low, high = -limits.velocity, limits.velocity
    for centre, reach in ((last_step, limits.acceleration), (last_step + bend, limits.jerk)):
        low, high = (
            np.minimum(np.maximum(centre - reach, low), high),
            np.minimum(np.maximum(centre + reach, low), high),
        )
    return np.asarray(np.minimum(np.maximum(step, low), high))


def longest_way(limits: TickLimits) -> FloatArray:
    """Return a way within which every joint can stop, however it moves [rad]."""
    return stopping_way(limits.velocity, limits.acceleration, limits)


def braking_step(last_step: FloatArray, bend: FloatArray, limits: TickLimits) -> FloatArray:
    """Return the step that brings every joint to rest soonest."""
    direction = np.sign(last_step)
    return np.asarray(direction * _first_braking(last_step, bend * direction, limits))


def stopping_way(step: FloatArray, bend: FloatArray, limits: TickLimits) -> FloatArray:
    """Return how far every joint still moves when it brakes from the next tick on [rad], signed.

    The first braking tick may be weaker, because the bend must first be turned around; then every
    tick takes one full acceleration off the step: an arithmetic series.
    """
    direction = np.sign(step)
    first = _first_braking(step, bend * direction, limits)
    ticks = np.ceil(first / limits.acceleration)
    return np.asarray(direction * ticks * (first - (0.5 * ticks - 0.5) * limits.acceleration))


def _first_braking(step: FloatArray, push: FloatArray, limits: TickLimits) -> FloatArray:
    """Return the size of the first braking step, for a bend of ``push`` along the motion."""
    drop = np.maximum(push - limits.jerk, -limits.acceleration)
    return np.asarray(np.maximum(np.abs(step) + drop, 0.0))


def overshoot(
    position: FloatArray, step: FloatArray, last_step: FloatArray, limits: TickLimits
) -> FloatArray:
    """Return by how much a joint cannot help leaving its range after a step [rad], >= 0.

    A joint that is outside already counts only what it would move further out.
    """
    reached = position + step
    rest = reached + stopping_way(step, step - last_step, limits)
    upper = np.maximum(limits.upper, position)
    lower = np.minimum(limits.lower, position)
    beyond = np.maximum(np.maximum(rest, reached) - upper, lower - np.minimum(rest, reached))
    return np.asarray(np.maximum(beyond, 0.0))


def keep_in_range(
    position: FloatArray,
    step: FloatArray,
    last_step: FloatArray,
    bend: FloatArray,
    limits: TickLimits,
) -> FloatArray:
    """Shorten a legal step, joint by joint, until the arm can come to rest inside its range."""
    if not (overshoot(position, step, last_step, limits) > TOLERANCE).any():
        return step
    brake = braking_step(last_step, bend, limits)
    low, high = np.zeros_like(step), np.ones_like(step)
    for _ in range(_HALVINGS):
        share = 0.5 * (low + high)
        is_fine = (
            overshoot(position, brake + share * (step - brake), last_step, limits) <= TOLERANCE
        )
        low, high = np.where(is_fine, share, low), np.where(is_fine, high, share)
    wrong = overshoot(position, step, last_step, limits) > TOLERANCE
    return np.where(wrong, brake + low * (step - brake), step)
