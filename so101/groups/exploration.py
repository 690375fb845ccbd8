"""Speed exploration: each rollout plays its chunks at a factor of its own. Pure.

A policy redraws its speed with every chunk, so the durations of its rollouts hardly differ and
choosing the fastest teaches little. Playing whole rollouts faster makes durations differ, and what
was executed, at the speed it was executed, is what the next policy imitates.
"""

from dataclasses import dataclass

import numpy as np

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
        0.8, "Success share of a group below which the window is narrowed.", range=(0.0, 1.0)
    )

    def __post_init__(self) -> None:
        """Refuse a window that begins wider than it may ever be."""
        if self.start > self.most:
            raise ConfigError(f"start={self.start:g} is more than most={self.most:g}")


def bounded(config: ExplorationConfig, highest_speed: float) -> float:
    """Return the largest factor that may ever be played.

    Args:
        config: Names the largest factor that is wanted.
        highest_speed: Of the acting policy's chunks, see `ActionSpace.highest_speed`.

    Raises:
        ConfigError: Not even 1 may be played.
    """
    if highest_speed < 1.0:
        raise ConfigError(
            "speed exploration: the policy's chunks reach to their successors up to factor "
            f"{highest_speed:.3g} only, and 1 is as planned: the latency is too long for them"
        )
    return min(config.most, highest_speed)


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
    highest: float,
    *,
    success_share: float,
    is_accepted: bool,
    config: ExplorationConfig,
    bound: float,
) -> float:
    """Return the largest factor of the next group.

    Wider while success holds and what was learned was accepted; narrower when success fell;
    else as it was: a rejected candidate says nothing about the pace of the rollouts.

    Args:
        highest: Of the group that ended.
        success_share: Of that group.
        is_accepted: The gate's word on what was learned from it.
        config: Threshold and width of a step.
        bound: From `bounded`.
    """
    if success_share < config.hold_success:
        return max(1.0, highest - config.widen)
    return min(highest + config.widen, bound) if is_accepted else highest
