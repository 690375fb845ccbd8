"""Keeps the arm's parts apart: no step is taken whose stopping path would bring them too close."""

from collections.abc import Sequence

import numpy as np

from so101.control.clearance import Clearance, CollisionCheck
from so101.control.limits import TickLimits, braking_step

APPROACH_M_S = 0.5
"""Fastest approach of two parts at their slow distance; it falls linearly to the stop distance."""

LEAST_SHARE = 0.05
"""Share of `APPROACH_M_S` that is allowed right before the stop distance."""

_SHARES = (0.5, 0.25)
_SAME_M = 1e-9

_Distances = dict[tuple[str, str], float]


class CollisionGuard:
    """Shortens steps that would lead into a collision.

    By induction the braking step is always safe: the path it starts was checked one tick before.
    Where parts are too close from the beginning, as after a loose arm lay down, steps pass that
    bring them no closer; of a step that would, those joints move that may.
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
        path = self._stopping_path(command, step, last_step)
        if not any(path):
            return step, None
        here = self._near(command)
        now = _distances(here)
        pair = self._obstacle(path, now)
        if pair is None:
            return step, None
        brake = list(map(braking_step, last_step, bend, self._limits))
        for share in _SHARES:
            shorter = [b + share * (s - b) for b, s in zip(brake, step, strict=True)]
            path = self._stopping_path(command, shorter, last_step)
            if self._obstacle(path, now) is None:
                return shorter, pair
        if any(clearance.excess < 0.0 for clearance in here):
            return self._way_out(command, brake, step, last_step, now), pair
        return brake, pair

    def _way_out(
        self,
        command: list[float],
        brake: list[float],
        step: list[float],
        last_step: list[float],
        now: _Distances,
    ) -> list[float]:
        """Return the braking step with those joints' own steps that bring nothing closer.

        For an arm that is too close already: one joint that leads deeper holds back no other.
        """
        out = brake
        for i, wanted in enumerate(step):
            tried = [*out[:i], wanted, *out[i + 1 :]]
            if self._obstacle(self._stopping_path(command, tried, last_step), now) is None:
                out = tried
        return out

    def _stopping_path(
        self, command: list[float], step: list[float], last_step: list[float]
    ) -> list[tuple[Clearance, ...]]:
        """Return the parts that are near one another after a step and every braking one behind it.

        At least one entry; the last one is where the arm comes to rest.
        """
        bend = [new - last for new, last in zip(step, last_step, strict=True)]
        position = _sum(command, step)
        path = [self._near(position)]
        while any(following := list(map(braking_step, step, bend, self._limits))):
            bend = [new - last for new, last in zip(following, step, strict=True)]
            step = following
            position = _sum(position, step)
            path.append(self._near(position))
        return path

    def _obstacle(
        self, path: list[tuple[Clearance, ...]], now: _Distances
    ) -> tuple[str, str] | None:
        """Return the pair that a stopping path would bring too close, or too fast, or None."""
        for clearances in reversed(path):
            for clearance in _closer(clearances, now):
                if clearance.excess < 0.0:
                    return clearance.pair
        return self._too_fast(path, now)

    def _too_fast(
        self, path: list[tuple[Clearance, ...]], now: _Distances
    ) -> tuple[str, str] | None:
        """Return a pair that would approach faster than its distance allows, or None.

        What counts is the distance where the arm comes to rest, and the approach of the next tick.
        """
        soon = _distances(path[0])
        for c in _closer(path[-1], now):
            room = c.excess / (c.slow - c.stop)
            allowed = APPROACH_M_S * max(room, LEAST_SHARE) * self._period_s
            if now.get(c.pair, c.slow) - soon.get(c.pair, c.slow) > allowed:
                return c.pair
        return None

    def _near(self, positions: list[float]) -> tuple[Clearance, ...]:
        return self._check.near(np.array(positions))


def _closer(clearances: tuple[Clearance, ...], now: _Distances) -> list[Clearance]:
    return [c for c in clearances if c.distance < now.get(c.pair, c.slow) - _SAME_M]


def _sum(left: list[float], right: list[float]) -> list[float]:
    return [a + b for a, b in zip(left, right, strict=True)]


def _distances(clearances: tuple[Clearance, ...]) -> _Distances:
    return {clearance.pair: clearance.distance for clearance in clearances}
