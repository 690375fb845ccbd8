"""Judges an episode tick by tick: what the reward node and in-process roll-outs use alike."""

from dataclasses import dataclass
from typing import Protocol

from so101.observation import Observation


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a rater says of one policy tick.

    Attributes:
        reward: Reward of the tick: 1 when the task has just succeeded, else 0.
        probability: Probability of success, 0 to 1.
        is_success: The task is done.
        is_failure: The task cannot be done any more.
        kind: How it stands, in one word; of a failed episode, what went wrong.
    """

    reward: float
    probability: float
    is_success: bool
    is_failure: bool
    kind: str


class Rater(Protocol):
    """Judges the ticks of one episode in order."""

    def reset(self) -> None:
        """Begin an episode."""
        ...

    def update(self, observation: Observation) -> Verdict:
        """Judge the next policy tick."""
        ...
