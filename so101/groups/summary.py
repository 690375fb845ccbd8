"""What a number of tries comes to: how many succeeded, and how fast. Pure.

The same figures are reported of studies in process and of runs through the nodes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from so101.groups.advantage import effective_durations
from so101.groups.rollout import Ended
from so101.statistics import median


def summary(tried: Sequence[Ended]) -> dict[str, Any]:
    """Count what succeeded; the duration is the median of the successes alone [s]."""
    return {
        "n": len(tried),
        "successes": sum(one.is_success for one in tried),
        "median_success_duration_s": median([one.duration_s for one in tried if one.is_success]),
    }


def change(before: Sequence[Ended], after: Sequence[Ended]) -> float | None:
    """Return after / before - 1 of the median duration of successes, None where there is none."""
    old = summary(before)["median_success_duration_s"]
    new = summary(after)["median_success_duration_s"]
    return None if old is None or new is None else new / old - 1.0


def paired(before: Sequence[Ended], after: Sequence[Ended]) -> dict[str, int]:
    """Count the poses that were won and those that were lost."""
    pairs = list(zip(before, after, strict=True))
    return {
        "won": sum(new.is_success and not old.is_success for old, new in pairs),
        "lost": sum(old.is_success and not new.is_success for old, new in pairs),
    }


def typical_duration(tried: Sequence[Ended], limit_s: float) -> float:
    """Return the median duration [s], failures counted as the time limit; of at least one try."""
    return float(np.median(effective_durations(tried, limit_s)))


def first_and_last(groups: Sequence[Sequence[Ended]], limit_s: float) -> tuple[float, float]:
    """Return the median duration of the first and of the last two groups [s].

    The statistic of Qiu 2025; failures count as the time limit, speed exploration is in it.
    """
    first, last = ([one for group in some for one in group] for some in (groups[:2], groups[-2:]))
    return typical_duration(first, limit_s), typical_duration(last, limit_s)


def percent(share: float | None) -> str:
    """Say a change in percent, with its sign."""
    return "none" if share is None else f"{100.0 * share:+.1f} %"
