"""What the conductor of a session wants published and called, and the bounds of an episode."""

from dataclasses import dataclass

from so101.episode import EpisodeFacts
from so101.events import EpisodeEvent, RewardEvent
from so101.status_events import GroupRequest


@dataclass(frozen=True, kw_only=True)
class Call:
    """Wanted: a call of another node's service, with True or nothing."""

    service: str


Output = EpisodeEvent | RewardEvent | GroupRequest | Call


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of an episode.

    Attributes:
        policy_s: Time limit of a policy's episode, simulated [s].
        teleop_s: Time limit of a demonstration [s].
    """

    policy_s: float
    teleop_s: float

    def of(self, facts: EpisodeFacts) -> float:
        """Return the limit of an episode [s]."""
        return self.policy_s if facts.source == "policy" else self.teleop_s
