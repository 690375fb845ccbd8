"""The gate of one joint: its command so far, and where it may go next.

It keeps the joint's range and the limits of ``so101.control.limits``, and says why a request must
wait. It knows neither the other joints nor the arm; those are ``so101.control.safety``'s business.
"""

from so101.control.limits import (
    TOLERANCE,
    TickLimits,
    braking_step,
    broken_limits,
    clamp,
    is_illegal,
    keep_in_range,
    longest_way,
    nearest_legal,
    overshoot,
)

OBJECTIONS = ("velocity", "acceleration", "jerk", "range ahead", "catching up")
"""Why a joint may not go straight to a request, in the order in which they are reported."""


class JointGate:
    """One joint's command and request, and what may come next.

    Attributes:
        command: Newest goal let out [rad].
        step: Change to it from the one before [rad].
        bend: Change of the step [rad].
    """

    def __init__(self, limits: TickLimits) -> None:
        """Start at 0, at rest.

        Args:
            limits: The joint's limits per tick.
        """
        self._limits = limits
        # From a position between these the joint can stop inside its range, however it moves.
        self._low = limits.lower + longest_way(limits)
        self._high = limits.upper - longest_way(limits)
        self.reset(0.0)

    def reset(self, position: float) -> None:
        """Start again at a position [rad], at rest."""
        self.command = self._wish = self._wish_before = position
        self.step = self.bend = 0.0
        self._is_behind = False

    def move(self, position: float) -> None:
        """Remember the goal that is let out [rad]."""
        step = position - self.command
        self.command, self.step, self.bend = position, step, step - self.step

    def drag(self, position: float) -> None:
        """Remember a goal [rad] that the measurement asked for, which keeps to no limit."""
        most = self._limits.velocity
        self.step, self.bend = clamp(position - self.command, -most, most), 0.0
        self.command = position

    def ask(self, wish: float, is_late: bool, step: float) -> float:
        """Remember the request and return where to be next [rad].

        Args:
            wish: The request, in range [rad].
            is_late: The command cannot meet it now.
            step: How far to go instead [rad].
        """
        self._wish, self._wish_before, self._is_behind = wish, self._wish, is_late
        return self.after(step) if is_late else wish

    def lose(self) -> None:
        """Forget the request: there is none worth following."""
        self._wish = self._wish_before = self.command
        self._is_behind = True

    def is_far_inside(self, wish: float) -> bool:
        """Tell whether a position is in range, with room to stop at any speed."""
        return self._low <= wish <= self._high

    def objections(self, wish: float) -> tuple[str, ...]:
        """Return why the joint may not go straight to a request [rad]; mostly nothing."""
        step = wish - self.command
        found: tuple[str, ...] = ()
        if is_illegal(step, self.step, self.bend, self._limits):
            found = broken_limits(step, self.step, self.bend, self._limits)
        elif not self._is_behind and self.is_far_inside(wish):
            return found
        if overshoot(self.command, step, self.step, self._limits) > TOLERANCE:
            found = (*found, "range ahead")
        if not found and self._is_behind and self._would_cross(wish, step):
            found = ("catching up",)
        return found

    def goal_step(self, wish: float) -> float:
        """Return how far the request moves per tick [rad]: the smaller of its last two steps.

        So a request that jumps is not taken for one that moves.
        """
        newest, before = wish - self._wish, self._wish - self._wish_before
        smaller = newest if abs(newest) < abs(before) else before
        is_jump = newest * before <= 0.0 or abs(smaller) > self._limits.velocity
        return 0.0 if is_jump else smaller

    def nearest_step(self, wish: float) -> float:
        """Return the legal step that comes nearest to a request [rad]."""
        return nearest_legal(wish - self.command, self.step, self.bend, self._limits)

    def is_far(self, wish: float, goal_step: float, near: float) -> bool:
        """Tell whether the joint cannot meet a request one tick later, after a step ``near``."""
        rest = wish - self.command + goal_step - near
        return (
            is_illegal(rest, near, near - self.step, self._limits)
            or is_illegal(goal_step, rest, rest - near, self._limits)
            or overshoot(self.command, near, self.step, self._limits) > TOLERANCE
        )

    def step_towards(self, position: float) -> float:
        """Return the legal step towards a position the joint is led to [rad]."""
        step = self.nearest_step(position)
        return keep_in_range(self.command, step, self.step, self.bend, self._limits)

    def braking_step(self) -> float:
        """Return the step that brings the joint to rest soonest [rad]."""
        return braking_step(self.step, self.bend, self._limits)

    def after(self, step: float) -> float:
        """Return the position after a step [rad], without the rounding errors.

        A joint outside its range may stay where it is.
        """
        low, high = min(self.command, self._limits.lower), max(self.command, self._limits.upper)
        return clamp(self.command + step, low, high)

    def _would_cross(self, wish: float, step: float) -> bool:
        """Tell whether the joint would only cross the request and swing about it.

        A request that was lost is met again when the command can go on with the request's own
        step from there.
        """
        return is_illegal(self.goal_step(wish), step, step - self.step, self._limits)
