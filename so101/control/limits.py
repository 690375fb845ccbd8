"""What goals of one joint may follow one another: velocity, acceleration, jerk as differences.

All quantities are position differences per tick [rad]: ``step`` is the newest goal minus the one
before (velocity times the period), ``bend`` the change of the step (acceleration times the period
squared). A sequence of goals is legal when ``|step| <= velocity``, ``|bend| <= acceleration`` and
the change of the bend is at most ``jerk`` at every tick, and when it can come to rest inside the
joint's range. Pure arithmetic, without memory, on plain floats: for one joint that is several
times faster than numpy, and the arm loop runs it at every tick.
"""

import math
from dataclasses import dataclass

from so101.errors import ConfigError
from so101.robot import RobotSpec

TOLERANCE = 1e-12
"""Rounding allowed in comparisons [rad]."""

_HALVINGS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class TickLimits:
    """Limits of one joint per tick.

    Attributes:
        lower: Smallest position [rad].
        upper: Largest position [rad].
        velocity: Largest step [rad].
        acceleration: Largest bend [rad].
        jerk: Largest change of the bend [rad].
    """

    lower: float
    upper: float
    velocity: float
    acceleration: float
    jerk: float


def tick_limits(spec: RobotSpec, period_s: float) -> tuple[TickLimits, ...]:
    """Return the limits per tick of a robot's joints.

    Raises:
        ConfigError: A joint cannot shed its acceleration within one tick; then velocity, range
            and jerk could not all be kept.
    """
    every = []
    for i, joint in enumerate(spec.joints):
        limits = TickLimits(
            lower=float(spec.lower[i]),
            upper=float(spec.upper[i]),
            velocity=float(spec.max_velocity[i]) * period_s,
            acceleration=float(spec.max_acceleration[i]) * period_s**2,
            jerk=float(spec.max_jerk[i]) * period_s**3,
        )
        if limits.jerk < limits.acceleration:
            least = spec.max_acceleration[i] / period_s
            raise ConfigError(
                f"joint limits: {joint}: max_jerk={spec.max_jerk[i]:g} must be at least "
                f"max_acceleration / period = {least:g} rad/s3"
            )
        every.append(limits)
    return tuple(every)


def clamp(value: float, low: float, high: float) -> float:
    """Return the number in an interval that is nearest to a value."""
    return low if value < low else high if value > high else value


def is_illegal(step: float, last_step: float, bend: float, limits: TickLimits) -> bool:
    """Tell whether a step may not follow the last one, whose bend is given.

    Args:
        step: Proposed step [rad].
        last_step: The step before it [rad].
        bend: Bend of the last step [rad].
        limits: Limits per tick.
    """
    new_bend = step - last_step
    return (
        abs(step) > limits.velocity + TOLERANCE
        or abs(new_bend) > limits.acceleration + TOLERANCE
        or abs(new_bend - bend) > limits.jerk + TOLERANCE
    )


def broken_limits(
    step: float, last_step: float, bend: float, limits: TickLimits
) -> tuple[str, ...]:
    """Return the names of the limits that make a step illegal; see `is_illegal`."""
    new_bend = step - last_step
    amounts = (("velocity", step), ("acceleration", new_bend), ("jerk", new_bend - bend))
    return tuple(
        name for name, amount in amounts if abs(amount) > getattr(limits, name) + TOLERANCE
    )


def nearest_legal(step: float, last_step: float, bend: float, limits: TickLimits) -> float:
    """Return the legal step nearest to a wish; velocity before acceleration before jerk."""
    low, high = -limits.velocity, limits.velocity
    for centre, reach in ((last_step, limits.acceleration), (last_step + bend, limits.jerk)):
        low, high = clamp(centre - reach, low, high), clamp(centre + reach, low, high)
    return clamp(step, low, high)


def longest_way(limits: TickLimits) -> float:
    """Return a way within which the joint can stop, however it moves [rad]."""
    return stopping_way(limits.velocity, limits.acceleration, limits)


def braking_step(last_step: float, bend: float, limits: TickLimits) -> float:
    """Return the step that brings the joint to rest soonest."""
    if last_step < 0.0:
        return -braking_step(-last_step, -bend, limits)
    return _first_braking(last_step, bend, limits)


def stopping_way(step: float, bend: float, limits: TickLimits) -> float:
    """Return how far the joint still moves when it brakes from the next tick on [rad], signed.

    The first braking tick may be weaker, because the bend must first be turned around; then every
    tick takes one full acceleration off the step: an arithmetic series.
    """
    if step < 0.0:
        return -stopping_way(-step, -bend, limits)
    first = _first_braking(step, bend, limits)
    if first <= limits.acceleration:  # one tick, or none
        return first
    ticks = math.ceil(first / limits.acceleration)
    return ticks * (first - (0.5 * ticks - 0.5) * limits.acceleration)


def _first_braking(step: float, bend: float, limits: TickLimits) -> float:
    """Return the first braking step after a step forward or none, and its bend."""
    if step == 0.0:
        return 0.0
    turn = bend - limits.jerk
    first = step + (turn if turn > -limits.acceleration else -limits.acceleration)
    return first if first > 0.0 else 0.0


def overshoot(position: float, step: float, last_step: float, limits: TickLimits) -> float:
    """Return by how much the joint cannot help leaving its range after a step [rad], >= 0.

    A joint that is outside already counts only what it would move further out.
    """
    reached = position + step
    rest = reached + stopping_way(step, step - last_step, limits)
    if limits.lower <= reached <= limits.upper and limits.lower <= rest <= limits.upper:
        return 0.0
    upper, lower = max(limits.upper, position), min(limits.lower, position)
    return max(rest - upper, reached - upper, lower - rest, lower - reached, 0.0)


def keep_in_range(
    position: float, step: float, last_step: float, bend: float, limits: TickLimits
) -> float:
    """Shorten a legal step until the joint can come to rest inside its range."""
    if overshoot(position, step, last_step, limits) <= TOLERANCE:
        return step
    brake = braking_step(last_step, bend, limits)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        share = 0.5 * (low + high)
        tried = brake + share * (step - brake)
        if overshoot(position, tried, last_step, limits) <= TOLERANCE:
            low = share
        else:
            high = share
    return brake + low * (step - brake)
