"""The demonstrations of a session: how many there are, are wanted, and which is next. Pure."""

from reward_node.progress import Tally, most_tries
from reward_node.requests import PastEpisode, Phase
from reward_node.session_config import SessionConfig
from reward_node.session_plan import SessionPlan
from so101.episode import EpisodeFacts


class DemonstrationPhase:
    """Collects successful demonstrations.

    Attributes:
        goal: Successful demonstrations that are wanted; evaluations that fall short raise it.
        tally: What the demonstrations so far came to.
    """

    def __init__(self, config: SessionConfig, plan: SessionPlan) -> None:
        """Count nothing yet."""
        self.goal = config.demonstrations
        self.tally = Tally()
        self._config, self._plan = config, plan
        self._next = 0

    @property
    def successes(self) -> int:
        """Return how many succeeded."""
        return self.tally.successes

    @property
    def is_full(self) -> bool:
        """Tell whether there are as many as are wanted."""
        return self.successes >= self.goal

    @property
    def is_hopeless(self) -> bool:
        """Tell whether so many came to nothing that the session gives up."""
        return not self.is_full and self.tally.tries >= most_tries(self.goal)

    @property
    def shortage(self) -> str:
        """Say how many are missing."""
        return (
            f"only {self.successes} of {self.tally.tries} demonstrations succeeded, {self.goal} "
            "are needed"
        )

    @property
    def can_grow(self) -> bool:
        """Tell whether more may be collected than there are."""
        return self._next_goal() > self.successes

    def raise_goal(self) -> None:
        """Want more: an evaluation fell short of its target."""
        self.goal = self._next_goal()

    def remember(self, episode: PastEpisode) -> None:
        """Count an episode if it is a demonstration."""
        if episode.facts.phase == Phase.DEMONSTRATIONS.value:
            self.tally.count(episode.outcome, episode.duration_s)
            self._next = max(self._next, self.tally.tries, episode.facts.rollout + 1)

    def next_demonstration(self) -> EpisodeFacts:
        """Return the facts of the demonstration that is wanted next."""
        return self._plan.named(self._plan.episodes.demonstration(self._next))

    def describe(self) -> str:
        """Say how many succeeded; empty when none was tried."""
        if not self.tally.tries:
            return ""
        return f"{self.successes} successful demonstrations of {self.tally.tries} tried"

    def _next_goal(self) -> int:
        reached = max(self.goal, self.successes)
        return min(reached + self._config.more_demonstrations, self._config.max_demonstrations)
