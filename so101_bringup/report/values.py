"""What a report is made of: attempts of policies, trained checkpoints, what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from so101.episode import EpisodeFacts
from so101.groups.gate import Verdict
from so101.groups.rollout import DEMONSTRATION

SHORT = 8
"""Digits of a sha256 that name a checkpoint to people and in file names."""


class Ending(Enum):
    """How a rollout ended, for people."""

    SUCCESS = "success"
    FAILURE = "failure"
    OVER_TIME = "over time"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One episode of a policy.

    Attributes:
        facts: What is known about it.
        duration_s: From its first tick to its end [s].
        ending: How it ended.
    """

    facts: EpisodeFacts
    duration_s: float
    ending: Ending

    @property
    def is_success(self) -> bool:
        """The task was done."""
        return self.ending is Ending.SUCCESS


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One checkpoint of the run.

    Attributes:
        name: Series and step, such as ``sft/step_005000``.
        sha256: Of its weights.
        algorithm: What made it.
        group: Number of the group it was trained after; -1 for none.
        step: Training steps done.
        verdict: The gate's; None while not judged.
        loss_curve: Pairs of step and loss.
        is_promoted: It has that role now.
        parent: sha256 of the checkpoint it was trained from; empty for new weights.
    """

    name: str
    sha256: str
    algorithm: str
    group: int = DEMONSTRATION
    step: int = 0
    verdict: Verdict | None = None
    loss_curve: tuple[tuple[int, float], ...] = ()
    is_promoted: bool = False
    parent: str = ""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something that is not in the report, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run left behind.

    Attributes:
        name: Of its directory.
        rollouts: By group and number.
        evaluations: Episodes by the first digits of the checkpoint's sha256, then by seed.
        checkpoints: In the order of training.
        left_out: What could not be used.
    """

    name: str
    rollouts: tuple[Attempt, ...]
    evaluations: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    checkpoints: tuple[Trained, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
