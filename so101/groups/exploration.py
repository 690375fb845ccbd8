"""Speed exploration: each rollout plays its chunks at a factor of its own. Pure.

A policy redraws its speed with every chunk, so the durations of its rollouts hardly differ and
choosing the fastest teaches little. Playing whole rollouts faster makes durations differ, and what
was executed, at the speed it was executed, is what the next policy imitates.
"""

from dataclasses import dataclass

import numpy as np

from so101.action import ActionSpace
from so101.config import option
from so101.errors import ConfigError

_STREAM = 0x73706565  # "spee"


@dataclass(frozen=True, kw_only=True)
class ExplorationConfig:
    """How fast rollouts are played."""

    start: float = option(1.5, "Largest factor of the first group.", range=(1.0, 10.0))
    widen: float = option(0.1, "Added to the largest factor while success holds.", range=(0, 5))
    most: float = option(2.0, "Largest factor ever.", range=(1.0, 10.0))
    hold_success: float = option(
        0.8, "Success share of a group from which on the window is widened.", range=(0.0, 1.0)
    )


def bounded(config: ExplorationConfig, space: ActionSpace, latency_steps: int = 0) -> float:
    """Return the largest factor that may ever be played.

    A chunk must reach to its successor: factor x (executed + latency) <= horizon.
    """
    return min(config.most, space.horizon / (space.execute_steps + latency_steps))


def draw_speed(run_seed: int, group: int, rollout: int, highest: float) -> float:
    """Return the factor of one rollout, uniform between 1 and the largest.

    Raises:
        ConfigError: The largest factor is below 1.
    """
    if highest < 1.0:
        raise ConfigError(f"speed exploration: largest factor {highest:g} is below 1")
    rng = np.random.default_rng([run_seed, group, rollout, _STREAM])
    return float(rng.uniform(1.0, highest))


def next_highest(
    highest: float, *, has_held: bool, config: ExplorationConfig, bound: float
) -> float:
    """Return the largest factor of the next group: wider while success holds, else narrower.

    Args:
        highest: Of the group that ended.
        has_held: Enough of its rollouts succeeded, and what was learned from it was accepted.
        config: Width of a step.
        bound: From `bounded`.
    """
    step = config.widen if has_held else -config.widen
    return float(min(max(1.0, highest + step), bound))
