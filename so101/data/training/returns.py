"""Discounted rewards from each step to the end of its episode. Pure."""

from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray
from so101.data.training.columns import Columns


@dataclass(frozen=True, kw_only=True)
class Returns:
    """What was earned from each step on.

    A recording that was cut says nothing of what would have come: the whole return of such a step
    is ``rewards + discount * V``, with the value of the last observation of its episode.

    Attributes:
        rewards: Discounted sum of the rewards from the step to the end of the task or of the
            recording, whichever comes first. Shape (steps,).
        discount: gamma to the power of the steps until the recording was cut; 0 where the task
            ended before, so that the sum is the whole return. Shape (steps,).
    """

    rewards: FloatArray
    discount: FloatArray


def returns_to_go(columns: Columns, gamma: float) -> Returns:
    """Return the Monte-Carlo returns of every step; removed ticks do not count as time.

    Rewards are known at gaps too, so an episode with gaps has one return, not several.

    Args:
        columns: The episodes.
        gamma: Discount per step.
    """
    steps = len(columns)
    rewards, discount = np.empty(steps), np.empty(steps)
    last = np.flatnonzero(np.append(columns.is_first[1:], True))
    sizes = np.diff(last, prepend=-1)
    total, rest = np.zeros(len(last)), np.ones(len(last))
    for back in range(int(sizes.max(initial=0))):  # all episodes at once, from their ends
        running = np.flatnonzero(sizes > back)
        at = last[running] - back
        goes_on = np.where(columns.terminated[at], 0.0, gamma)
        total[running] = columns.rewards[at] + goes_on * total[running]
        rest[running] = goes_on * rest[running]
        rewards[at], discount[at] = total[running], rest[running]
    return Returns(rewards=rewards, discount=discount)
