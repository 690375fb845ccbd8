"""How much is learned from a group, and from what: the settings that need no network."""

from dataclasses import dataclass
from typing import Literal

from so101.config import option

LossForm = Literal["paper", "pooled"]


@dataclass(frozen=True, kw_only=True)
class LessonConfig:
    """What a group's rollouts are worth to the next policy."""

    loss: LossForm = option("paper", "Whether every rollout counts the same, or every frame.")
    pace_step: float = option(
        0.1, "Share that a policy is made faster by at once (retime).", range=(0.0, 0.9)
    )
    demonstration_share: float = option(
        0.0, "Share of each batch that are demonstrations, whatever the pool.", range=(0.0, 1.0)
    )
    standard_quantile: float = option(
        0.5, "The running standard is this quantile of good durations.", range=(0.0, 1.0)
    )
    standard_window: int = option(20, "Good rollouts the standard looks at.", range=(1, 1000))
    negative_bound: float = option(
        0.25, "Largest size of a negative advantage (zscore).", range=(0.0, 1.0)
    )
