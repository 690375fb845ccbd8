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
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class PastEpisode:
    """An episode that is over: found in the store when the session starts, or run by it."""

    facts: EpisodeFacts
    outcome: Outcome | None
    duration_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StartEpisode:
    """Wanted: an episode."""

    facts: EpisodeFacts


@dataclass(frozen=True, kw_only=True)
class Train:
    """Wanted: a checkpoint fine-tuned on the demonstrations in the store."""


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
