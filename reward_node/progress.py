"""How far a phase of the session is: what its episodes came to. Pure."""

from dataclasses import dataclass, field

from so101.episode import Outcome
from so101.statistics import median, wilson_interval

COUNTED = frozenset({Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED})
"""Outcomes that say something about who acted; the others are run again."""


def most_tries(wanted: int) -> int:
    """Return after how many tries for so many good episodes a session gives up."""
    return 2 * wanted + 10


@dataclass
class Tally:
    """Episodes of one phase.

    Attributes:
        tries: Every episode that is over.
        attempts: Those of them whose outcome is in `COUNTED`.
        successes: Those of them that succeeded.
        durations_s: How long each success took [s].
    """

    tries: int = 0
    attempts: int = 0
    successes: int = 0
    durations_s: list[float] = field(default_factory=list)

    def count(self, outcome: Outcome | None, duration_s: float) -> None:
        """Add an episode; an unlabelled one is a try and no more."""
        self.tries += 1
        self.attempts += outcome in COUNTED
        if outcome is Outcome.SUCCESS:
            self.successes += 1
            self.durations_s.append(duration_s)

    def reaches(self, share: float) -> bool:
        """Tell whether at least this share of the attempts succeeded; none do not."""
        return self.attempts > 0 and self.successes / self.attempts >= share

    def describe(self, what: str) -> str:
        """Say how many attempts succeeded, with the Wilson interval and the median duration."""
        low, high = wilson_interval(self.successes, self.attempts)
        text = (
            f"{self.successes} of {self.attempts} {what} succeeded "
            f"(95 % interval {low:.2f}-{high:.2f})"
        )
        typical_s = median(self.durations_s)
        return text if typical_s is None else f"{text}, median {typical_s:.1f} s"
