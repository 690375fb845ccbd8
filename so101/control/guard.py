"""Keeps the arm's parts apart: no step is taken whose stopping path would bring them too close."""

from collections.abc import Sequence

import numpy as np

from so101.control.clearance import Clearance, CollisionCheck
from so101.control.limits import TickLimits, braking_step, stopping_way

APPROACH_M_S = 0.5
"""Fastest approach of two parts at their slow distance; it falls linearly to the stop distance."""

LEAST_SHARE = 0.05
"""Share of `APPROACH_M_S` that is allowed right before the stop distance."""

_LONG_WAY_RAD = 0.08
_SHARES = (0.5, 0.25)
_SAME_M = 1e-9

_Distances = dict[tuple[str, str], float]


class CollisionGuard:
    """Shortens steps that would lead into a collision.

    By induction the braking step is always safe: the path it starts was checked one tick before.
    """

    def __init__(
        self, check: CollisionCheck, limits: Sequence[TickLimits], period_s: float
    ) -> None:
        """Guard with a collision model.

        Args:
            check: Distances between the arm's parts.
            limits: Limits of every joint per tick, for the stopping path.
            period_s: Time of one step [s].
        """
        self._check = check
        self._limits = limits
        self._period_s = period_s

    def shorten(
        self, command: list[float], step: list[float], last_step: list[float], bend: list[float]
    ) -> tuple[list[float], tuple[str, str] | None]:
        """Return the step, or a shorter one and the pair of parts in the way.

        Args:
            command: Newest command [rad], one number per joint.
            step: Legal step from it [rad].
            last_step: The step before [rad].
            bend: Bend of that step [rad].
        """
        ahead = self._ahead(command, step, last_step)
        if not ahead:
            return step, None
        now = _distances(self._near(command))
        pair = self._obstacle(ahead, now, command, step)
        if pair is None:
            return step, None
        brake = list(map(braking_step, last_step, bend, self._limits))
        for share in _SHARES:
            shorter = [b + share * (s - b) for b, s in zip(brake, step, strict=True)]
            ahead = self._ahead(command, shorter, last_step)
            if self._obstacle(ahead, now, command, shorter) is None:
                return shorter, pair
        return brake, pair

    def _ahead(
        self, command: list[float], step: list[float], last_step: list[float]
    ) -> list[Clearance]:
        """Return the parts that are near one another where the arm could stop after a step."""
        new_bend = [new - last for new, last in zip(step, last_step, strict=True)]
        ways = list(map(stopping_way, step, new_bend, self._limits))
        reached = _sum(command, step)
        ahead = list(self._near(_sum(reached, ways)))
        if max(map(abs, ways)) > _LONG_WAY_RAD:
            ahead += self._near(_sum(reached, [0.5 * way for way in ways]))
        return ahead

    def _obstacle(
        self, ahead: list[Clearance], now: _Distances, command: list[float], step: list[float]
    ) -> tuple[str, str] | None:
        """Return the pair that a step would bring too close, or None."""
        closer = [c for c in ahead if c.distance < now.get(c.pair, c.slow) - _SAME_M]
        for clearance in closer:
            if clearance.excess < 0.0:
                return clearance.pair
        return self._too_fast(closer, now, _sum(command, step)) if closer else None

    def _too_fast(
        self, closer: list[Clearance], now: _Distances, reached: list[float]
    ) -> tuple[str, str] | None:
        """Return a pair that would approach faster than its distance allows, or None."""
        soon = _distances(self._near(reached))
        for c in closer:
            room = c.excess / (c.slow - c.stop)
            allowed = APPROACH_M_S * max(room, LEAST_SHARE) * self._period_s
            if now.get(c.pair, c.slow) - soon.get(c.pair, c.slow) > allowed:
                return c.pair
        return None

    def _near(self, positions: list[float]) -> tuple[Clearance, ...]:
        return self._check.near(np.array(positions))


def _sum(left: list[float], right: list[float]) -> list[float]:
    return [a + b for a, b in zip(left, right, strict=True)]


def _distances(clearances: tuple[Clearance, ...]) -> _Distances:
    return {clearance.pair: clearance.distance for clearance in clearances}
