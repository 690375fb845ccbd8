"""The last gate before the servos: every joint goal passes through here, once per tick.

It does not know who sent the goal; that is the arbiter's business. What it promises about the
goals it lets out, for any requests and any measurements:

- They are finite, and never more than ``max_velocity * lead_s`` ahead of a measurement that makes
  sense.
- They stay in range; an arm found outside is led back and never sent further out.
- Steps keep the velocity limit, bends the acceleration limit, changes of the bend the jerk limit
  (``so101.control.limits``; exact finite differences, also where ruckig takes over or hands back).
  The lead has the last word: on ticks that report it, and the one after a `SafetyGate.reset`,
  acceleration and jerk may be larger, and velocity too if the measurement itself jumped.
- A request that keeps these limits and comes near nothing passes unchanged, to the last bit.
- No pair of parts gets closer than its stop distance, unless it already was; then it may only
  move apart.

A request just out of reach is met a tick later. Towards any other ruckig leads, one step per tick.
Its waypoints are never used: the community wheel would send them to a web service.
"""

from dataclasses import dataclass

import numpy as np

from so101.arrays import BoolArray, FloatArray, frozen
from so101.clock import CONTROL_HZ
from so101.control.clearance import CollisionCheck
from so101.control.guard import CollisionGuard
from so101.control.leader import Leader
from so101.control.limits import (
    TOLERANCE,
    braking_step,
    is_illegal,
    keep_in_range,
    longest_way,
    nearest_legal,
    overshoot,
    tick_limits,
)
from so101.errors import HardwareError
from so101.robot import RobotSpec

ABSURD_RAD = np.pi
"""A goal or measurement further than this outside the range is nonsense and not acted on."""


@dataclass(frozen=True, kw_only=True)
class SafeGoal:
    """A goal that may be sent, and why it differs from the request.

    Attributes:
        positions: [rad], read-only. Shape (joints,).
        reasons: Empty when the request passed unchanged.
    """

    positions: FloatArray
    reasons: tuple[str, ...] = ()


class SafetyGate:
    """Lets out one safe goal per tick."""

    def __init__(
        self,
        spec: RobotSpec,
        collision: CollisionCheck | None,
        *,
        period_s: float = 1.0 / CONTROL_HZ,
        lead_s: float = 0.1,
    ) -> None:
        """Make a gate that starts at the first measurement.

        Args:
            spec: Limits of the arm.
            collision: Distances of its parts, or None to check none.
            period_s: Time between two goals [s].
            lead_s: A goal is at most this time ahead of the measurement, at full speed [s].

        Raises:
            ConfigError: The jerk limit is too low for the period (see ``limits.tick_limits``).
        """
        self._spec = spec
        self._limits = tick_limits(spec, period_s)
        self._reach = spec.max_velocity * lead_s
        self._guard: CollisionGuard | None = None
        if collision is not None:
            self._guard = CollisionGuard(collision, self._limits, period_s)
        self._leader = Leader(spec, period_s)
        limits = self._limits
        self._differences = np.zeros((3, len(spec.joints)))
        self._most = TOLERANCE + np.stack((limits.velocity, limits.acceleration, limits.jerk))
        self._inner_upper = limits.upper - longest_way(limits)
        self._inner_lower = limits.lower + longest_way(limits)
        self._on_time: BoolArray = np.zeros(len(spec.joints), dtype=np.bool_)
        self._period_s = period_s
        self._has_command = False
        self._is_behind: BoolArray = self._on_time
        self._command = self._step = self._bend = _zeros(spec)
        self._wish = self._wish_before = self._command

    @property
    def command(self) -> FloatArray | None:
        """The goal in force [rad]; None before the first one."""
        return self._command if self._has_command else None

    @property
    def velocities(self) -> FloatArray:
        """Velocity of the goal at its stamp [rad/s]. Shape (joints,)."""
        return np.asarray((self._step + 0.5 * self._bend) / self._period_s)

    @property
    def is_still(self) -> bool:
        """Whether the goal does not move."""
        return not self._step.any()

    def reset(self, measured: FloatArray) -> None:
        """Start again from where the arm is, at rest.

        Args:
            measured: Joint positions [rad]. Shape (joints,).

        Raises:
            HardwareError: They are not finite, or far out of range.
        """
        if not self._is_plausible(measured):
            raise HardwareError(f"measured joint positions make no sense: {measured}")
        self._command = self._wish = self._wish_before = frozen(measured)
        self._step = self._bend = _zeros(self._spec)
        self._is_behind = self._on_time
        self._has_command = True

    def apply(self, goal: FloatArray | None, measured: FloatArray) -> SafeGoal:
        """Return the goal to send now. The first one ever is the measured pose.

        Args:
            goal: Requested joint positions [rad] of shape (joints,); None asks to come to rest
                as fast as the limits allow.
            measured: Joint positions [rad]. Shape (joints,).

        Raises:
            HardwareError: The very first measurement makes no sense.
        """
        if not self._has_command:
            self.reset(measured)
            return SafeGoal(positions=self._command, reasons=("first goal",))
        reasons: list[str] = []
        wish = self._accept(goal, reasons)
        if wish is None:
            self._wish = self._wish_before = self._command
            self._is_behind = np.ones_like(self._is_behind)
            brake = braking_step(self._step, self._bend, self._limits)
            return self._let_out(self._stay_in_range(self._command + brake), measured, reasons)
        step = wish - self._command
        is_late: BoolArray = self._on_time
        if not self._passes(wish, step):
            goal_step = self._goal_step(wish)
            is_late = self._objections(step, goal_step, reasons)
            step = np.where(is_late, self._approach(wish, step, goal_step), step)
        shorter = self._keep_apart(step, reasons)
        if shorter is not step:
            is_late = is_late | (shorter != step)
        self._wish, self._wish_before, self._is_behind = wish, self._wish, is_late
        if is_late is not self._on_time:
            wish = np.where(is_late, self._stay_in_range(self._command + shorter), wish)
        return self._let_out(wish, measured, reasons)

    def _accept(self, goal: FloatArray | None, reasons: list[str]) -> FloatArray | None:
        """Return the request within the range, or None when there is none worth following."""
        if goal is None:
            return None
        if np.shape(goal) != self._spec.lower.shape:
            reasons.append(f"goal has shape {np.shape(goal)}, need {self._spec.lower.shape}")
            return None
        in_range = np.minimum(np.maximum(goal, self._spec.lower), self._spec.upper)
        is_outside = in_range != goal  # also where the goal is not a number
        if not is_outside.any():
            return goal
        if not np.isfinite(goal).all():
            reasons.append("non-finite goal")
            return None
        is_absurd = np.abs(in_range - goal) > ABSURD_RAD
        if is_absurd.any():
            reasons.append(f"absurd goal: {self._names(is_absurd)}")
            return None
        reasons.append(f"range: {self._names(is_outside)}")
        return np.asarray(in_range)

    def _is_plausible(self, measured: FloatArray) -> bool:
        low, high = self._spec.lower - ABSURD_RAD, self._spec.upper + ABSURD_RAD
        return bool(((measured >= low) & (measured <= high)).all())  # NaN is not

    def _passes(self, wish: FloatArray, step: FloatArray) -> bool:
        """Tell quickly whether a request passes, as most do; when not, `_objections` says why."""
        if self._is_behind is not self._on_time:
            return False
        self._differences[0] = step
        np.subtract(step, self._step, out=self._differences[1])
        np.subtract(self._differences[1], self._bend, out=self._differences[2])
        is_inside = (wish <= self._inner_upper) & (wish >= self._inner_lower)
        return bool(is_inside.all() and (np.abs(self._differences) <= self._most).all())

    def _stay_in_range(self, positions: FloatArray) -> FloatArray:
        """Take rounding errors off; a joint outside its range may stay where it is."""
        low = np.minimum(self._command, self._spec.lower)
        high = np.maximum(self._command, self._spec.upper)
        return np.asarray(np.minimum(np.maximum(positions, low), high))

    def _objections(
        self, step: FloatArray, goal_step: FloatArray, reasons: list[str]
    ) -> BoolArray:
        """Return which joints may not go straight to the request, and add why."""
        bend = step - self._step
        is_late = is_illegal(step, self._step, self._bend, self._limits)
        beyond = overshoot(self._command, step, self._step, self._limits) > TOLERANCE
        if is_late.any():
            for name, amount, most in (
                ("velocity", step, self._limits.velocity),
                ("acceleration", bend, self._limits.acceleration),
                ("jerk", bend - self._bend, self._limits.jerk),
            ):
                self._note(reasons, name, np.abs(amount) > most + TOLERANCE)
        if beyond.any():
            self._note(reasons, "range ahead", beyond)
            is_late |= beyond
        if self._is_behind.any():
            is_missed = self._is_behind & ~is_late & self._would_cross(step, goal_step)
            self._note(reasons, "catching up", is_missed)
            is_late |= is_missed
        return is_late if is_late.any() else self._on_time

    def _would_cross(self, step: FloatArray, goal_step: FloatArray) -> BoolArray:
        """Tell which joints would only cross the request and swing about it.

        A request that was lost is met again when the command can go on with the request's own
        step from there.
        """
        return is_illegal(goal_step, step, step - self._step, self._limits)

    def _goal_step(self, wish: FloatArray) -> FloatArray:
        """Return how far the request moves per tick: the smaller of its last two steps.

        So a request that jumps is not taken for one that moves.
        """
        newest, before = wish - self._wish, self._wish - self._wish_before
        smaller = np.minimum(np.abs(newest), np.abs(before))
        smaller = np.where(smaller > self._limits.velocity, 0.0, smaller)
        return np.where(newest * before > 0.0, np.sign(newest) * smaller, 0.0)

    def _approach(self, wish: FloatArray, step: FloatArray, goal_step: FloatArray) -> FloatArray:
        """Return the step towards a request that cannot be met at once.

        One that is only just out of reach is met a tick later; towards any other ruckig leads.
        """
        last, bend, limits = self._step, self._bend, self._limits
        near = nearest_legal(step, last, bend, limits)
        rest = step + goal_step - near
        is_out_of_reach = (
            is_illegal(rest, near, near - last, limits)
            | is_illegal(goal_step, rest, rest - near, limits)
            | (overshoot(self._command, near, last, limits) > TOLERANCE)
        )
        if not is_out_of_reach.any():
            return near
        led = self._leader.lead(self._command, last, wish, goal_step)
        if led is None:
            return braking_step(last, bend, limits)
        far = nearest_legal(led - self._command, last, bend, limits)
        far = keep_in_range(self._command, far, last, bend, limits)
        return np.where(is_out_of_reach, far, near)

    def _keep_apart(self, step: FloatArray, reasons: list[str]) -> FloatArray:
        """Return the step, or a shorter one when parts would come too close."""
        if self._guard is None or not step.any():
            return step
        shorter, pair = self._guard.shorten(self._command, step, self._step, self._bend)
        if pair is not None:
            reasons.append(f"collision: {pair[0]} - {pair[1]}")
        return shorter

    def _let_out(self, goal: FloatArray, measured: FloatArray, reasons: list[str]) -> SafeGoal:
        """Keep a goal near the measurement, remember and return it."""
        positions = np.minimum(np.maximum(goal, measured - self._reach), measured + self._reach)
        is_ahead = positions != goal
        if is_ahead.any() and not self._is_plausible(measured):
            reasons.append("measurement makes no sense")
            positions, is_ahead = goal, self._on_time
        step = positions - self._command
        bend = step - self._step
        if is_ahead.any():
            reasons.append(f"lead: {self._names(is_ahead)}")
            most = self._limits.velocity
            step = np.where(is_ahead, np.minimum(np.maximum(step, -most), most), step)
            bend = np.where(is_ahead, 0.0, bend)
        self._command, self._step, self._bend = frozen(positions), step, bend
        return SafeGoal(positions=self._command, reasons=tuple(reasons))

    def _note(self, reasons: list[str], what: str, which: BoolArray) -> None:
        if which.any():
            reasons.append(f"{what}: {self._names(which)}")

    def _names(self, which: BoolArray) -> str:
        return ", ".join(n for n, hit in zip(self._spec.joints, which, strict=True) if hit)


def _zeros(spec: RobotSpec) -> FloatArray:
    return frozen(np.zeros(len(spec.joints)))
