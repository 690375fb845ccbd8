"""How far a session is: demonstrations, evaluations and groups, counted from episodes. Pure.

It holds what an episode store says and puts it into words; what is done next is the session's.
"""

from collections.abc import Sequence

from reward_node.demonstration_phase import DemonstrationPhase
from reward_node.evaluation_phase import EvaluationPhase
from reward_node.group_phase import GroupPhase
from reward_node.progress import COUNTED
from reward_node.requests import PastEpisode, Phase
from reward_node.session_config import SessionConfig
from reward_node.session_plan import SessionPlan


class SessionProgress:
    """Everything that a session counts.

    Attributes:
        plan: The episodes it may ask for.
        demonstrations: Of them.
        evaluations: Of every checkpoint.
        groups: Of rollouts.
    """

    def __init__(self, config: SessionConfig, past: Sequence[PastEpisode]) -> None:
        """Count past episodes and raise the goal as often as the session did meanwhile."""
        self._config = config
        self.plan = SessionPlan(config)
        self.demonstrations = DemonstrationPhase(config, self.plan)
        self.evaluations = EvaluationPhase(config, self.plan)
        self.groups = GroupPhase(config, self.plan)
        self._replay(past)

    def remember(self, episode: PastEpisode) -> None:
        """Count an episode that is over."""
        self.plan.take_id(episode.facts.id)
        self.groups.remember(episode)
        self.evaluations.remember(episode)
        self.demonstrations.remember(episode)

    def done_and_goal(self, phase: Phase, checkpoint: str) -> tuple[int, int]:
        """Return how far a phase is, and its goal; zeros where nothing is counted."""
        if phase is Phase.DEMONSTRATIONS:
            return self.demonstrations.successes, self.demonstrations.goal
        if phase is Phase.EVALUATION:
            return self.evaluations.of(checkpoint).attempts, self._config.evaluation_episodes
        if phase is Phase.ROLLOUTS:
            return self.groups.counted, self._config.rollouts
        return 0, 0

    def is_good(self, checkpoint: str) -> bool:
        """Tell whether the supervised policy reached the target.

        Args:
            checkpoint: What is worked with now; what the groups began with counts before it.
        """
        return self.evaluations.is_good(self.groups.supervised or checkpoint)

    def is_to_be_promoted(self, checkpoint: str) -> bool:
        """Tell whether the supervised policy is good and has not rolled out yet."""
        supervised = self.groups.supervised or checkpoint
        return self.is_good(supervised) and not self.groups.has_acted(supervised)

    def describe(self, checkpoint: str) -> str:
        """Say what was reached so far; empty for nothing.

        Args:
            checkpoint: What is worked with now; what the groups began with counts before it.
        """
        groups = self.groups
        supervised = groups.supervised or checkpoint
        parts = [self.demonstrations.describe(), self.evaluations.describe(supervised)]
        if groups.has_begun:
            parts.append(groups.describe())
        if groups.has_begun and groups.is_over:
            parts.append(self._afterwards())
        return "; ".join(filter(None, parts))

    def missing(self) -> str:
        """Say what a policy that fell short fell short of."""
        config = self._config
        return (
            f"short of the target {config.target_success:.0%} with "
            f"{self.demonstrations.successes} demonstrations (bound: {config.max_demonstrations})"
        )

    def _afterwards(self) -> str:
        if not self.groups.has_changed:
            return "no policy was accepted, so that evaluation stands for afterwards, too"
        found = self.evaluations.describe(self.groups.promoted)
        return f"afterwards {found}" if found else ""

    def _replay(self, past: Sequence[PastEpisode]) -> None:
        """Count episodes; what is evaluated after rollouts closes their groups, raising nothing.

        Nor do evaluations that were made by hand meanwhile, short of demonstrations.
        """
        is_closing = False
        for episode in past:
            self.remember(episode)
            facts = episode.facts
            if facts.phase == Phase.DEMONSTRATIONS.value:
                is_closing = False
            elif self.plan.is_rollout(facts) and episode.outcome in COUNTED:
                is_closing = True
            if self._config.job != "rl" or is_closing or not self.demonstrations.is_full:
                continue
            if self.plan.is_trial(facts) and self.evaluations.is_short(facts.checkpoint):
                self.demonstrations.raise_goal()
