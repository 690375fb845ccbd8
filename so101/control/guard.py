"""Keeps the arm's parts apart: no step is taken whose stopping path would bring them too close."""

import numpy as np

from so101.arrays import FloatArray
from so101.control.clearance import Clearance, CollisionCheck
from so101.control.limits import TickLimits, braking_step, stopping_way

APPROACH_M_S = 0.5
"""Fastest approach of two parts at their slow distance; it falls linearly to the stop distance."""

LEAST_SHARE = 0.05
"""Share of `APPROACH_M_S` that is allowed right before the stop distance."""

_LONG_WAY_RAD = 0.08
_SHARES = (0.5, 0.25)
_SAME_M = 1e-9


class CollisionGuard:
    """Shortens steps that would lead into a collision.

    By induction the braking step is always safe: the path it starts was checked one tick before.
    """

    def __init__(self, check: CollisionCheck, limits: TickLimits, period_s: float) -> None:
        """Guard with a collision model.

        Args:
            check: Distances between the arm's parts.
            limits: Limits per tick, for the stopping path.
            period_s: Time of one step [s].
        """
        self._check = check
        self._limits = limits
        self._period_s = period_s

    def shorten(
        self, command: FloatArray, step: FloatArray, last_step: FloatArray, bend: FloatArray
    ) -> tuple[FloatArray, tuple[str, str] | None]:
        """Return the step, or a shorter one and the pair of parts in the way.

        Args:
            command: Newest command [rad]. Shape (joints,).
            step: Legal step from it [rad].
            last_step: The step before [rad].
            bend: Bend of that step [rad].
        """
        pair = self._obstacle(command, step, last_step)
        if pair is None:
            return step, None
        brake = braking_step(last_step, bend, self._limits)
        for share in _SHARES:
            shorter = brake + share * (step - brake)
            if self._obstacle(command, shorter, last_step) is None:
                return shorter, pair
        return brake, pair

    def _obstacle(
        self, command: FloatArray, step: FloatArray, last_step: FloatArray
    ) -> tuple[str, str] | None:
        """Return the pair that a step would bring too close, or None."""
        reached = command + step
        way = stopping_way(step, step - last_step, self._limits)
        ahead = list(self._check.near(reached + way))
        if np.abs(way).max() > _LONG_WAY_RAD:
            ahead += self._check.near(reached + 0.5 * way)
        if not ahead:
            return None
        now = _distances(self._check.near(command))
        closer = [c for c in ahead if c.distance < now.get(c.pair, c.slow) - _SAME_M]
        for clearance in closer:
            if clearance.excess < 0.0:
                return clearance.pair
        return self._too_fast(closer, now, reached) if closer else None

    def _too_fast(
        self, closer: list[Clearance], now: dict[tuple[str, str], float], reached: FloatArray
    ) -> tuple[str, str] | None:
        """Return a pair that would approach faster than its distance allows, or None."""
        soon = _distances(self._check.near(reached))
        for c in closer:
            room = c.excess / (c.slow - c.stop)
            allowed = APPROACH_M_S * max(room, LEAST_SHARE) * self._period_s
            if now.get(c.pair, c.slow) - soon.get(c.pair, c.slow) > allowed:
                return c.pair
        return None


def _distances(clearances: tuple[Clearance, ...]) -> dict[tuple[str, str], float]:
    return {clearance.pair: clearance.distance for clearance in clearances}
