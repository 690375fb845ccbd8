"""What a session goes through, what it is told and what it wants: its values."""

from dataclasses import dataclass
from enum import Enum

from so101.episode import EpisodeFacts, Outcome


class Phase(str, Enum):
    """What the session is doing."""

    MANUAL = "manual"
    DEMONSTRATIONS = "demonstrations"
    SFT = "sft"
    LOADING = "loading"
    EVALUATION = "evaluation"
    ROLLOUTS = "rollouts"
    UPDATE = "update"
    DONE = "done"
    STOPPED = "stopped"

    @property
    def is_acting(self) -> bool:
        """Whether it consists of episodes."""
        return self in (Phase.DEMONSTRATIONS, Phase.EVALUATION, Phase.ROLLOUTS)


@dataclass(frozen=True, kw_only=True)
class PastEpisode:
    """An episode that is over: found in the store when the session starts, or run by it.

    Attributes:
        facts: Which one.
        outcome: How it ended, or how people say it did.
        duration_s: How long it took [s].
        advantage: What a person gave it; None while nobody rated it.
    """

    facts: EpisodeFacts
    outcome: Outcome | None
    duration_s: float = 0.0
    advantage: float | None = None


@dataclass(frozen=True, kw_only=True)
class StartEpisode:
    """Wanted: an episode."""

    facts: EpisodeFacts


@dataclass(frozen=True, kw_only=True)
class Train:
    """Wanted: a checkpoint fine-tuned on the demonstrations, or what a group teaches.

    Attributes:
        group: Number of the group; -1 for a fine-tuning.
        highest_speed: Largest factor that its rollouts may have been played at.
        checkpoint: sha256 of the policy that acted in it.
        is_last: No group follows.
    """

    group: int = -1
    highest_speed: float = 1.0
    checkpoint: str = ""
    is_last: bool = False


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What came of a group: the answer to `Train`.

    Attributes:
        checkpoint: sha256 of the policy that acts in the next group.
        promoted: sha256 of the last policy that the gate let pass, at first the supervised one.
        is_accepted: The gate's word on what was tried this time.
    """

    checkpoint: str
    promoted: str
    is_accepted: bool


@dataclass(frozen=True, kw_only=True)
class Load:
    """Wanted: the policy running this checkpoint."""

    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Wanted: the candidate promoted, it reached the target."""

    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Nothing more is wanted."""

    summary: str
    is_complete: bool


Request = StartEpisode | Train | Load | Promote | Finish
