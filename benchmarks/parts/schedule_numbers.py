"""What episodes of one condition say, beside the same episodes at zero latency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from parts.schedule_episodes import Condition, EpisodeResult

from so101.arrays import FloatArray
from so101.statistics import wilson_interval

DRAWS = 2000
"""Of the bootstrap."""

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One condition.

    Attributes:
        condition: Schedule and latency.
        episodes: How many.
        successes: How many of them succeeded.
        duration_s: Mean of the successes [s]; NaN without any.
        stalled: Share of the ticks since the first chunk's arrival without a plan.
        refused_chunks: Chunks that were past as a whole on arrival.
        gated: Share of the ticks at which the gate changed the goal.
        jerk_before: Root mean square jerk of the planned goals [rad/s³].
        jerk_after: The same of what the gate let out [rad/s³].
        error_rad: Root mean square tracking error [rad].
        success_change: Success share minus that at zero latency, and its paired 95 % interval.
        duration_change: Mean difference of durations where both succeeded [s], the same.
        ratio_before: Jerk before the gate over that at zero latency, the same.
        ratio_after: Jerk after the gate over that at zero latency, the same.
        ratio_error: Tracking error over that at zero latency, the same.
    """

    condition: Condition
    episodes: int
    successes: int
    duration_s: float
    stalled: float
    refused_chunks: int
    gated: float
    jerk_before: float
    jerk_after: float
    error_rad: float
    success_change: tuple[float, Interval]
    duration_change: tuple[float, Interval]
    ratio_before: tuple[float, Interval]
    ratio_after: tuple[float, Interval]
    ratio_error: tuple[float, Interval]

    def to_mapping(self) -> dict[str, Any]:
        """Return it ready for JSON; what is not a number is null."""
        values = {**vars(self), "condition": vars(self.condition)}
        return {name: _plain(value) for name, value in values.items()}


def newcombe(both: int, first: int, second: int, neither: int, z: float = 1.96) -> Interval:
    """Return the 95 % interval of a difference of shares in paired trials, second minus first.

    Unlike Wald's it does not shrink to a point when few pairs differ.

    Args:
        both: Pairs of which both succeeded.
        first: Pairs of which only the first did.
        second: Pairs of which only the second did.
        neither: Pairs of which none did.
        z: Normal quantile.

    Source: Newcombe (1998), "Improved confidence intervals for the difference between binomial
    proportions based on paired data", method 10.
    """
    trials = both + first + second + neither
    share_1, share_2 = (both + first) / trials, (both + second) / trials
    low_1, high_1 = wilson_interval(both + first, trials, z)
    low_2, high_2 = wilson_interval(both + second, trials, z)
    scale = (both + first) * (second + neither) * (both + second) * (first + neither)
    cross = both * neither - first * second
    if cross > 0:
        cross = max(cross - trials / 2, 0)
    phi = cross / math.sqrt(scale) if scale else 0.0

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2.0 * phi * a * b + b * b))

    change = share_2 - share_1
    down, up = reach(share_2 - low_2, high_1 - share_1), reach(high_2 - share_2, share_1 - low_1)
    return change - down, change + up


def compare(
    condition: Condition, found: Sequence[EpisodeResult], base: Sequence[EpisodeResult], seed: int
) -> Compared:
    """Return what one condition says beside the same schedule at zero latency."""
    if [one.number for one in found] != [one.number for one in base]:
        raise ValueError(f"{condition}: not the same episodes as at zero latency")
    rows = np.random.default_rng(seed).integers(0, len(base), (DRAWS, len(base)))
    jerks, ticks = _column(found, "jerks"), _column(found, "ticks")
    followed = _column(found, "followed_ticks").sum()
    return Compared(
        condition=condition,
        episodes=len(found),
        successes=sum(one.is_success for one in found),
        duration_s=_mean([one.duration_s for one in found if one.is_success]),
        stalled=float(_column(found, "stalled_ticks").sum() / followed) if followed else 0.0,
        refused_chunks=sum(one.refused_chunks for one in found),
        gated=float(_column(found, "changed_ticks").sum() / ticks.sum()),
        jerk_before=float(_rms(_column(found, "jerk_before"), jerks)),
        jerk_after=float(_rms(_column(found, "jerk_after"), jerks)),
        error_rad=float(_rms(_column(found, "error"), ticks)),
        success_change=_success_change(found, base),
        duration_change=_duration_change(found, base, seed),
        ratio_before=_ratio(found, base, ("jerk_before", "jerks"), rows),
        ratio_after=_ratio(found, base, ("jerk_after", "jerks"), rows),
        ratio_error=_ratio(found, base, ("error", "ticks"), rows),
    )


def met(compared: Sequence[Compared], latency_s: float) -> dict[str, Any]:
    """Say for each schedule whether it hides a latency: no stall, jerk, success as at none."""
    said = {}
    for one in compared:
        if one.condition.latency_s != latency_s:
            continue
        said[one.condition.schedule] = {
            "no_stalled_tick": one.stalled == 0.0,
            "jerk_before_gate_at_most_1.2x": one.ratio_before[0] <= 1.2,
            "jerk_after_gate_at_most_1.2x": one.ratio_after[0] <= 1.2,
            "success_within_3_points": one.success_change[1][0] >= -0.03,
        }
    return said


def table(compared: Sequence[Compared]) -> list[str]:
    """Return one line per condition, for a person."""
    lines = [
        "schedule  latency  success  change (95 %)         stalled  jerk before (x)     after (x)"
        "        error    duration"
    ]
    for one in compared:
        change, (low, high) = one.success_change
        lines.append(
            f"{one.condition.schedule:<9} {1e3 * one.condition.latency_s:4.0f} ms  "
            f"{one.successes:3}/{one.episodes:<3}  {100 * change:+5.1f} "
            f"[{100 * low:+5.1f}, {100 * high:+5.1f}]  {100 * one.stalled:5.1f} %  "
            f"{one.jerk_before:6.0f} ({one.ratio_before[0]:4.2f})     "
            f"{one.jerk_after:6.0f} ({one.ratio_after[0]:4.2f})  "
            f"{1e3 * one.error_rad:5.1f} mrad  {one.duration_s:5.2f} s"
        )
    return lines


def _column(episodes: Sequence[EpisodeResult], name: str) -> FloatArray:
    return np.array([getattr(one, name) for one in episodes], dtype=np.float64)


def _rms(sums: FloatArray, counts: FloatArray) -> FloatArray:
    """Return the pooled root mean square along the last axis."""
    return np.asarray(np.sqrt(sums.sum(axis=-1) / counts.sum(axis=-1)))


def _ratio(
    found: Sequence[EpisodeResult],
    base: Sequence[EpisodeResult],
    names: tuple[str, str],
    rows: Any,
) -> tuple[float, Interval]:
    """Return a ratio of pooled root mean squares; episodes are drawn in pairs."""
    sums, counts = (_column(found, name) for name in names)
    base_sums, base_counts = (_column(base, name) for name in names)
    ratio = _rms(sums, counts) / _rms(base_sums, base_counts)
    drawn = _rms(sums[rows], counts[rows]) / _rms(base_sums[rows], base_counts[rows])
    return float(ratio), _middle(drawn)


def _success_change(
    found: Sequence[EpisodeResult], base: Sequence[EpisodeResult]
) -> tuple[float, Interval]:
    pairs = [(old.is_success, new.is_success) for old, new in zip(base, found, strict=True)]
    counts = [pairs.count(kind) for kind in ((True, True), (True, False), (False, True))]
    both, lost, won = counts
    interval = newcombe(both, lost, won, len(pairs) - sum(counts))
    return (won - lost) / len(pairs), interval


def _duration_change(
    found: Sequence[EpisodeResult], base: Sequence[EpisodeResult], seed: int
) -> tuple[float, Interval]:
    longer = np.array(
        [
            new.duration_s - old.duration_s
            for old, new in zip(base, found, strict=True)
            if old.is_success and new.is_success
        ]
    )
    if not len(longer):
        return math.nan, (math.nan, math.nan)
    rows = np.random.default_rng(seed).integers(0, len(longer), (DRAWS, len(longer)))
    return float(longer.mean()), _middle(longer[rows].mean(axis=1))


def _middle(drawn: FloatArray) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
