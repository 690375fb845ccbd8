"""The few statistics that results are reported with."""

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a success probability.

    Args:
        successes: Number of successes.
        trials: Number of trials; 0 gives the whole range.
        z: Normal quantile; the default is 95 % confidence.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1.0 / (1.0 + z * z / trials)
    centre = (share + z * z / (2 * trials)) * scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)) * scale
    # rounding must not put the interval's end beside a share of exactly 0 or 1
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == trials else min(1.0, centre + half)


def paired_interval(won: int, lost: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return the interval of a difference of success probabilities measured on the same trials.

    Args:
        won: Trials that only the second succeeded at.
        lost: Trials that only the first succeeded at.
        trials: All of them; 0 gives the whole range.
        z: Normal quantile; the default is 95 % confidence, two-sided.

    Source: McNemar's discordant pairs with Wald's variance; see Fleiss et al. (2003), "Statistical
    methods for rates and proportions", section 13.1.
    """
    if trials == 0:
        return -1.0, 1.0
    difference = (won - lost) / trials
    half = z * math.sqrt(max(0.0, won + lost - (won - lost) ** 2 / trials)) / trials
    return max(-1.0, difference - half), min(1.0, difference + half)


def median(values: Sequence[float]) -> float | None:
    """Return the median, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return 0.5 * (ordered[middle - 1] + ordered[middle])
