"""The evaluations of a session: each checkpoint's on the same poses, counted from episodes. Pure.

The supervised policy's decides whether more is demonstrated or groups begin; the one after the
groups says what they were good for.
"""

from collections import defaultdict

from reward_node.progress import Tally, most_tries
from reward_node.requests import PastEpisode
from reward_node.session_config import SessionConfig
from reward_node.session_plan import SessionPlan
from so101.episode import EpisodeFacts


class EvaluationPhase:
    """Tries checkpoints on the poses that results are reported on."""

    def __init__(self, config: SessionConfig, plan: SessionPlan) -> None:
        """Count nothing yet."""
        self._config, self._plan = config, plan
        self._tallies: defaultdict[str, Tally] = defaultdict(Tally)

    def remember(self, episode: PastEpisode) -> None:
        """Count an episode if it belongs to an evaluation as this session makes them."""
        if self._plan.is_trial(episode.facts):
            self.of(episode.facts.checkpoint).count(episode.outcome, episode.duration_s)

    def of(self, checkpoint: str) -> Tally:
        """Return what a checkpoint's trials so far came to."""
        return self._tallies[checkpoint]

    def is_full(self, checkpoint: str) -> bool:
        """Tell whether a checkpoint was tried on every pose."""
        return self.of(checkpoint).attempts >= self._config.evaluation_episodes

    def is_good(self, checkpoint: str) -> bool:
        """Tell whether a checkpoint's trials so far reach the target."""
        return self.of(checkpoint).reaches(self._config.target_success)

    def is_short(self, checkpoint: str) -> bool:
        """Tell whether a checkpoint was tried on every pose and missed the target."""
        return self.is_full(checkpoint) and not self.is_good(checkpoint)

    def is_hopeless(self, checkpoint: str) -> bool:
        """Tell whether so many trials came to nothing that the session gives up."""
        is_given_up = self.of(checkpoint).tries >= most_tries(self._config.evaluation_episodes)
        return is_given_up and not self.is_full(checkpoint)

    def next_trial(self, checkpoint: str) -> EpisodeFacts:
        """Return the facts of the trial that a checkpoint lacks next."""
        number = self.of(checkpoint).attempts
        return self._plan.named(self._plan.episodes.trial(number, checkpoint))

    def describe(self, checkpoint: str) -> str:
        """Say how a checkpoint did; empty when it was not tried."""
        tally = self.of(checkpoint)
        return tally.describe("evaluation episodes") if tally.attempts else ""
