"""Idle trimming: ticks in which nothing is about to move leave the training sequence.

A demonstrator's pauses teach a policy to stand still. Taking such a tick out, observation and
action, makes chunks jump over the pause. The bag keeps every tick.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from so101.arrays import BoolArray, FloatArray
from so101.config import option


@dataclass(frozen=True, kw_only=True)
class TrimConfig:
    """Which ticks count as idle."""

    mode: Literal["off", "start_only", "all"] = option(
        "all", "off: keep every tick; start_only: drop idle ticks before the first motion; all"
    )
    window: int = option(8, "ticks to look ahead; the last ones are always kept", range=(1, 300))
    min_move_rad: float = option(
        0.03, "a tick is idle when no joint's command moves this far [rad]", range=(0.0, 1.0)
    )


def kept_ticks(actions: FloatArray, config: TrimConfig) -> BoolArray:
    """Return which ticks stay in the training sequence. Shape (steps,).

    Args:
        actions: Executed joint positions by tick [rad]. Shape (steps, joints).
        config: Which ticks count as idle.
    """
    steps = len(actions)
    is_kept = np.ones(steps, dtype=np.bool_)
    if config.mode == "off" or steps <= config.window:
        return is_kept
    ahead = np.lib.stride_tricks.sliding_window_view(actions, config.window + 1, axis=0)
    moved = np.abs(ahead - ahead[..., :1]).max(axis=(1, 2))
    is_idle = moved < config.min_move_rad
    if config.mode == "start_only":
        is_idle &= np.cumsum(~is_idle) == 0
    is_kept[: len(is_idle)] = ~is_idle
    return is_kept
