"""The session: demonstrations, fine-tuning, evaluation, groups, as one pure state machine.

It says what is wanted next and is told what happened; it neither waits nor talks to anyone. Its
progress is counted from the episode store, so a restarted session goes on where it was: it asks
for the same episodes that an uninterrupted one would have asked for.
"""

from collections.abc import Sequence

from reward_node.group_phase import GroupPhase
from reward_node.progress import Tally, most_tries
from reward_node.requests import (
    Finish,
    Load,
    PastEpisode,
    Phase,
    Promote,
    Request,
    StartEpisode,
    Train,
)
from reward_node.session_config import SessionConfig
from reward_node.session_plan import SessionPlan
from so101.episode import EpisodeFacts, Outcome
from so101.errors import SessionError

__all__ = [
    "Finish",
    "Load",
    "PastEpisode",
    "Phase",
    "Promote",
    "Session",
    "SessionConfig",
    "StartEpisode",
    "Train",
]


class Session:
    """Goes through the phases of a job. One request is open at a time."""

    def __init__(
        self, config: SessionConfig, past: Sequence[PastEpisode] = (), checkpoint: str = ""
    ) -> None:
        """Count what is in the store.

        Args:
            config: What to do.
            past: Every episode in the store, oldest first.
            checkpoint: For the job ``evaluate``: sha256 of the checkpoint.
        """
        self.config = config
        self.is_paused = False
        self.checkpoint = checkpoint
        self.goal = config.demonstrations
        self._demonstrations = Tally()
        self._evaluation = Tally()
        self._plan = SessionPlan(config)
        self._groups = GroupPhase(config, self._plan)
        self._past: list[PastEpisode] = []
        self._next_demonstration = 0
        self._replay(past)
        self._open: Request | None = None
        self._running: EpisodeFacts | None = None
        first = {"manual": Phase.MANUAL, "evaluate": Phase.LOADING}
        self.phase = first.get(config.job, Phase.DEMONSTRATIONS)
        self._stop_reason = ""
        self._is_promoted = False

    @property
    def done_and_goal(self) -> tuple[int, int]:
        """Return how far the present phase is, and its goal."""
        if self.phase is Phase.DEMONSTRATIONS:
            return self._demonstrations.successes, self.goal
        if self.phase is Phase.EVALUATION:
            return self._evaluation.attempts, self.config.evaluation_episodes
        if self.phase is Phase.ROLLOUTS:
            return self._groups.counted, self.config.rollouts
        return 0, 0

    @property
    def unrated(self) -> tuple[str, ...]:
        """Return the episodes that people have yet to rate; their word goes to `on_said`."""
        return self._groups.unrated if self.phase is Phase.ROLLOUTS else ()

    @property
    def waiting_for(self) -> str:
        """Say what people have yet to do before it goes on; empty for nothing."""
        return self._groups.waiting_for if self.phase is Phase.ROLLOUTS else ""

    def next(self) -> Request | None:
        """Return what is wanted now; None while a request is open, paused, manual or unrated.

        A request stays open until one of the ``on_`` methods answers it.
        """
        if self._open is not None or self.phase is Phase.MANUAL:
            return None
        if self.is_paused and self.phase not in (Phase.DONE, Phase.STOPPED):
            return None
        self._advance()
        request = self._request()
        if isinstance(request, StartEpisode):
            self._running = request.facts
        self._open = None if isinstance(request, Promote) else request
        return request

    def on_episode(self, outcome: Outcome, duration_s: float) -> None:
        """Count the episode that was asked for: it ended and was saved.

        Raises:
            SessionError: No episode was asked for.
        """
        if self._running is None:
            raise SessionError("the session asked for no episode")
        facts, self._running = self._running, None
        if isinstance(self._open, StartEpisode):  # not when the session was stopped meanwhile
            self._open = None
        self._remember(PastEpisode(facts=facts, outcome=outcome, duration_s=duration_s))
        if facts.phase == Phase.EVALUATION.value:
            self._evaluation.count(outcome, duration_s)

    def on_discarded(self) -> None:
        """Run the episode again: it was discarded or lost, or its reset was given up.

        Raises:
            SessionError: No episode was asked for.
        """
        self.on_episode(Outcome.DISCARDED, 0.0)

    def on_said(self, episodes: Sequence[PastEpisode]) -> None:
        """Take over what people said of episodes: outcome and advantage."""
        self._groups.listen(episodes)

    def on_trained(self, checkpoint: str) -> None:
        """Go on with the checkpoint that a training led to.

        Raises:
            SessionError: No training was asked for.
        """
        self._expect(Train, "training")
        if not checkpoint:
            self.stop("the training led to no checkpoint")
            return
        if self.phase is Phase.UPDATE:
            self._groups.on_trained(checkpoint)
        self.checkpoint = checkpoint
        self.phase = Phase.LOADING
        self._open = None

    def on_loaded(self, checkpoint: str) -> None:
        """Go on with the policy running a checkpoint.

        Raises:
            SessionError: Nothing was to be loaded, or it is another checkpoint.
        """
        self._expect(Load, "loading")
        if not checkpoint or (self.checkpoint and checkpoint != self.checkpoint):
            raise SessionError(f"policy runs {checkpoint[:12]!r}, not {self.checkpoint[:12]!r}")
        self.checkpoint = checkpoint
        self._open = None
        if self._groups.has_begun:
            self.phase = Phase.ROLLOUTS
            return
        self._evaluation = Tally()
        for episode in self._past:
            if self._plan.is_trial(episode.facts) and episode.facts.checkpoint == checkpoint:
                self._evaluation.count(episode.outcome, episode.duration_s)
        self.phase = Phase.EVALUATION

    def on_policy_lost(self) -> None:
        """Load the checkpoint again before the next episode: the policy does not run it now."""
        if self.phase in (Phase.EVALUATION, Phase.ROLLOUTS):
            self.phase = Phase.LOADING

    def stop(self, reason: str) -> None:
        """Give the session up; the episode that is running still counts."""
        if self.phase not in (Phase.DONE, Phase.STOPPED):
            self.phase, self._stop_reason, self._open = Phase.STOPPED, reason, None

    def summary(self) -> str:
        """Say in one or two sentences what was reached and what is missing."""
        parts = []
        demonstrations = self._demonstrations
        if demonstrations.tries:
            parts.append(
                f"{demonstrations.successes} successful demonstrations "
                f"of {demonstrations.tries} tried"
            )
        if self._evaluation.attempts:
            parts.append(self._evaluation.describe("evaluation episodes"))
        if self._groups.has_begun:
            parts.append(self._groups.describe())
        if self._stop_reason:
            parts.append(f"stopped: {self._stop_reason}")
        return "; ".join(parts) or "nothing was done"

    def _replay(self, past: Sequence[PastEpisode]) -> None:
        """Count past episodes and raise the goal as often as the session did meanwhile."""
        trials: dict[str, Tally] = {}
        for episode in past:
            self._remember(episode)
            if self._plan.is_trial(episode.facts) and self.config.job == "rl":
                tally = trials.setdefault(episode.facts.checkpoint, Tally())
                tally.count(episode.outcome, episode.duration_s)
                # evaluations made by hand meanwhile, short of demonstrations, raise nothing
                if self._demonstrations.successes >= self.goal and self._is_short(tally):
                    self.goal = self._next_goal()

    def _remember(self, episode: PastEpisode) -> None:
        self._past.append(episode)
        self._plan.take_id(episode.facts.id)
        self._groups.remember(episode)
        if episode.facts.phase == Phase.DEMONSTRATIONS.value:
            self._demonstrations.count(episode.outcome, episode.duration_s)
            after = max(self._demonstrations.tries, episode.facts.rollout + 1)
            self._next_demonstration = max(self._next_demonstration, after)

    def _advance(self) -> None:
        demonstrations, evaluation, config = self._demonstrations, self._evaluation, self.config
        if self.phase is Phase.EVALUATION and evaluation.attempts >= config.evaluation_episodes:
            if self._is_short(evaluation) and self._next_goal() > demonstrations.successes:
                self.goal = self._next_goal()
                self.phase = Phase.DEMONSTRATIONS
            elif config.groups and config.job == "rl" and self._is_good(evaluation):
                self._is_promoted = self._groups.begin(self.checkpoint)
                self.phase = Phase.ROLLOUTS
            else:
                self.phase = Phase.DONE
        if self.phase is Phase.ROLLOUTS:
            self._advance_groups()
        if self.phase is Phase.DEMONSTRATIONS and demonstrations.successes >= self.goal:
            self.phase = Phase.SFT if config.job == "rl" else Phase.DONE
        if self.phase is Phase.DEMONSTRATIONS and demonstrations.tries >= most_tries(self.goal):
            self.stop(
                f"only {demonstrations.successes} of {demonstrations.tries} demonstrations "
                f"succeeded, {self.goal} are needed"
            )
        wanted = config.evaluation_episodes
        if self.phase is Phase.EVALUATION and evaluation.tries >= most_tries(wanted):
            self.stop(f"only {evaluation.attempts} of {wanted} evaluation episodes were finished")

    def _advance_groups(self) -> None:
        groups, rollouts = self._groups, self.config.rollouts
        if groups.is_over:
            self.phase = Phase.DONE
        elif groups.is_ready:
            self.phase = Phase.UPDATE
        elif groups.is_hopeless:
            self.stop(f"only {groups.counted} of {rollouts} rollouts were finished")

    def _is_short(self, evaluation: Tally) -> bool:
        """Tell whether a finished evaluation says that more demonstrations are needed."""
        is_over = evaluation.attempts >= self.config.evaluation_episodes
        return is_over and self.config.job == "rl" and not self._is_good(evaluation)

    def _is_good(self, evaluation: Tally) -> bool:
        return evaluation.reaches(self.config.target_success)

    def _next_goal(self) -> int:
        reached = max(self.goal, self._demonstrations.successes)
        return min(reached + self.config.more_demonstrations, self.config.max_demonstrations)

    def _request(self) -> Request | None:
        if self.phase is Phase.DEMONSTRATIONS:
            wanted = self._plan.episodes.demonstration(self._next_demonstration)
            return StartEpisode(facts=self._plan.named(wanted))
        if self.phase is Phase.SFT:
            return Train()
        if self.phase is Phase.LOADING:
            return Load(checkpoint=self.checkpoint)
        if self.phase is Phase.EVALUATION:
            wanted = self._plan.episodes.trial(self._evaluation.attempts, self.checkpoint)
            return StartEpisode(facts=self._plan.named(wanted))
        if self.phase in (Phase.ROLLOUTS, Phase.DONE) and self._wants_promotion():
            self._is_promoted = True
            return Promote(checkpoint=self.checkpoint)
        if self.phase is Phase.ROLLOUTS:
            if self.waiting_for:
                return None
            return StartEpisode(facts=self._plan.named(self._groups.next_rollout()))
        if self.phase is Phase.UPDATE:
            return self._groups.training()
        return Finish(summary=self._closing_words(), is_complete=self._is_complete())

    def _wants_promotion(self) -> bool:
        is_good = self.config.job == "rl" and self._is_good(self._evaluation)
        return is_good and not self._is_promoted

    def _is_complete(self) -> bool:
        if self.phase is not Phase.DONE:
            return False
        if self.config.job != "rl":
            return True
        return self._is_good(self._evaluation)

    def _closing_words(self) -> str:
        if self.phase is Phase.DONE and not self._is_complete():
            return (
                f"{self.summary()}; short of the target {self.config.target_success:.0%} with "
                f"{self._demonstrations.successes} demonstrations (bound: "
                f"{self.config.max_demonstrations})"
            )
        return self.summary()

    def new_id(self, name: str) -> str:
        """Take a name for an episode, see `SessionPlan.new_id`."""
        return self._plan.new_id(name)

    def _expect(self, kind: type, what: str) -> None:
        if not isinstance(self._open, kind):
            raise SessionError(f"no {what} was asked for (session: {self.phase.value})")
