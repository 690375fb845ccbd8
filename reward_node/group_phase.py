"""The groups of a session: which rollout is next, when a group is over, how fast it plays. Pure.

Counted from episodes, like everything in the session: a rollout belongs to the present group when
the policy that acts now ran it from the start that the plan gives it. What was learned from a
group is the learner's to say; asked again after a restart, it says the same.
"""

from collections.abc import Iterable, Sequence

from reward_node.progress import COUNTED, most_tries
from reward_node.requests import Learned, PastEpisode, Phase, Train
from reward_node.session_config import SessionConfig
from reward_node.session_plan import SessionPlan
from so101.episode import EpisodeFacts, Outcome
from so101.groups.exploration import bounded, draw_speed, next_highest


class GroupPhase:
    """Goes from group to group.

    Attributes:
        number: The present group.
        accepted: Policies so far that the gate let pass.
        checkpoint: sha256 of the policy that acts; empty before the first group.
        supervised: sha256 of the policy that they began with; empty before.
        promoted: sha256 of the last policy that the gate let pass, at first the supervised one.
        highest_speed: Largest factor that a rollout of this group may be played at.
    """

    def __init__(self, config: SessionConfig, plan: SessionPlan) -> None:
        """Wait for the supervised policy; episodes may be counted before."""
        self.number = self.accepted = 0
        self.checkpoint = self.supervised = self.promoted = ""
        self._config, self._plan = config, plan
        self._bound = 1.0
        self.highest_speed = 1.0
        self._episodes: dict[str, PastEpisode] = {}

    @property
    def has_begun(self) -> bool:
        """Tell whether the supervised policy was taken over."""
        return bool(self.supervised)

    @property
    def is_over(self) -> bool:
        """Tell whether every group was learned from."""
        return self.number >= self._config.groups

    @property
    def has_changed(self) -> bool:
        """Tell whether the gate let any policy pass."""
        return self.promoted != self.supervised

    @property
    def counted(self) -> int:
        """Rollouts of the present group that count."""
        return len(self._counted())

    @property
    def unrated(self) -> tuple[str, ...]:
        """Ids of the present group's rollouts that a person has yet to rate."""
        if self._config.rule != "manual":
            return ()
        return tuple(one.facts.id for one in self._counted().values() if one.advantage is None)

    @property
    def is_ready(self) -> bool:
        """Tell whether the present group can be learned from."""
        return self._is_full() and not self.unrated

    @property
    def is_hopeless(self) -> bool:
        """Tell whether so many rollouts came to nothing that the session gives up."""
        return not self._is_full() and len(self._tried()) >= most_tries(self._config.rollouts)

    @property
    def waiting_for(self) -> str:
        """Say what people have yet to do before it goes on; empty for nothing."""
        unrated = self.unrated
        if not self._is_full() or not unrated:
            return ""
        return (
            f"group {self.number}: {len(unrated)} of {self._config.rollouts} rollouts are not "
            f"rated: {', '.join(unrated)}; say `so101 episodes label {unrated[0]} --advantage 1`, "
            "or --outcome discarded to run one again"
        )

    def begin(self, checkpoint: str) -> None:
        """Take over the supervised policy: its first group is the present one."""
        self.number = self.accepted = 0
        self.checkpoint = self.supervised = self.promoted = checkpoint
        self.highest_speed = min(self._config.exploration.start, self._bound)

    def bound(self, highest_speed: float) -> None:
        """Keep the window within what the acting policy's chunks can be played at.

        Raises:
            ConfigError: They cannot even be played as planned, and groups are wanted.
        """
        if self._config.job == "rl" and self._config.groups:
            self._bound = bounded(self._config.exploration, highest_speed)
            self.highest_speed = min(self.highest_speed, self._bound)

    def has_acted(self, checkpoint: str) -> bool:
        """Tell whether a policy has made rollouts, in whatever group."""
        return any(one.facts.checkpoint == checkpoint for one in self._episodes.values())

    def remember(self, episode: PastEpisode) -> None:
        """Take note of an episode, or of what is said of one that is known."""
        if episode.facts.phase == Phase.ROLLOUTS.value:
            self._episodes[episode.facts.id] = episode

    def listen(self, episodes: Iterable[PastEpisode]) -> None:
        """Take over what was said of episodes that are known; others are left alone."""
        for episode in episodes:
            if episode.facts.id in self._episodes:
                self.remember(episode)

    def next_rollout(self) -> EpisodeFacts:
        """Return the facts of the rollout that is wanted next."""
        counted = self._counted()
        number = next(i for i in range(self._config.rollouts) if i not in counted)
        speed = draw_speed(self._config.seed, self.number, number, self.highest_speed)
        wanted = self._plan.episodes.rollout(
            self.number, number, checkpoint=self.checkpoint, speed=speed
        )
        return self._plan.named(wanted)

    def training(self) -> Train:
        """Return what is wanted of the learner."""
        return Train(
            group=self.number, highest_speed=self.highest_speed, checkpoint=self.checkpoint
        )

    def on_learned(self, learned: Learned) -> None:
        """Go on to the next group with the policy that acts now."""
        successes = sum(one.outcome is Outcome.SUCCESS for one in self._counted().values())
        self.highest_speed = next_highest(
            self.highest_speed,
            success_share=successes / self._config.rollouts,
            is_accepted=learned.is_accepted,
            config=self._config.exploration,
            bound=self._bound,
        )
        self.accepted += learned.promoted != self.promoted
        self.checkpoint, self.promoted = learned.checkpoint, learned.promoted
        self.number += 1

    def describe(self) -> str:
        """Say how many groups there were and how often the gate let a policy pass."""
        return (
            f"{self.number} of {self._config.groups} groups of {self._config.rollouts} rollouts, "
            f"{self.accepted} policies accepted"
        )

    def _is_full(self) -> bool:
        return self.counted >= self._config.rollouts

    def _counted(self) -> dict[int, PastEpisode]:
        """Return the rollouts that count, by number; of one that was run again the last."""
        counted = {one.facts.rollout: one for one in self._tried() if one.outcome in COUNTED}
        return {number: counted[number] for number in sorted(counted)}

    def _tried(self) -> Sequence[PastEpisode]:
        return [one for one in self._episodes.values() if self._is_of_this_group(one.facts)]

    def _is_of_this_group(self, facts: EpisodeFacts) -> bool:
        is_acting = (facts.group, facts.checkpoint) == (self.number, self.checkpoint)
        is_one_of_them = 0 <= facts.rollout < self._config.rollouts
        return is_acting and is_one_of_them and self._plan.is_rollout(facts)
