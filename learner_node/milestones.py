"""Checkpoints that a training job publishes on its way to the end."""

from collections.abc import Callable
from dataclasses import dataclass

from so101.errors import ConfigError
from so101.policies.checkpoints.files import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Milestones:
    """How often a job publishes what would act now, and whom it tells.

    Attributes:
        every: Training steps of the job between two of them.
        reached: Told each checkpoint; it lies on the disk, and passed the canary.
        refused: Told why what would act now must not drive; training goes on.
        should_stop: Asked before every step, after what is due was published.
    """

    every: int
    reached: Callable[[Checkpoint], None]
    refused: Callable[[str], None]
    should_stop: Callable[[], bool]

    def __post_init__(self) -> None:
        """Refuse an interval that is none."""
        if self.every < 1:
            raise ConfigError(f"milestones: every={self.every} steps, need at least 1")

    def is_due(self, step: int) -> bool:
        """Tell whether a job that made some steps publishes before its next one."""
        return step > 0 and step % self.every == 0
