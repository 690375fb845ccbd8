"""The session: demonstrations, fine-tuning, evaluation, groups, as one pure state machine.

It says what is wanted next and is told what happened; it neither waits nor talks to anyone. Its
progress is counted from the episode store, so a restarted session goes on where it was: it asks
for the same episodes that an uninterrupted one would have asked for.

The phases come in this order, whatever was done before: rounds of demonstrations, fine-tuning and
evaluation until the target is reached; groups; the evaluation of what they led to.
"""

from collections.abc import Sequence

from reward_node.requests import (
    Finish,
    Learned,
    Load,
    PastEpisode,
    Phase,
    Promote,
    Request,
    StartEpisode,
    Train,
)
from reward_node.session_config import SessionConfig
from reward_node.session_progress import SessionProgress
from so101.episode import EpisodeFacts, Outcome
from so101.errors import ConfigError, SessionError


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
        self.obstacle = ""  # why no episode can begin at present; all else goes on
        self.checkpoint = checkpoint
        self._progress = progress = SessionProgress(config, past)
        self._demonstrations = progress.demonstrations
        self._evaluations = progress.evaluations
        self._groups = progress.groups
        self._open: Request | None = None
        self._running: EpisodeFacts | None = None
        first = {"manual": Phase.MANUAL, "evaluate": Phase.LOADING}
        self.phase = first.get(config.job, Phase.DEMONSTRATIONS)
        self._stop_reason = ""
        self._is_promoted = self._is_closing = False

    @property
    def goal(self) -> int:
        """Return how many successful demonstrations are wanted by now."""
        return self._demonstrations.goal

    @property
    def done_and_goal(self) -> tuple[int, int]:
        """Return how far the present phase is, and its goal."""
        return self._progress.done_and_goal(self.phase, self.checkpoint)

    @property
    def wanted(self) -> str | None:
        """Return the checkpoint that the policy is to run, empty for any; None for no wish."""
        return self._open.checkpoint if isinstance(self._open, Load) else None

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
        self._progress.remember(PastEpisode(facts=facts, outcome=outcome, duration_s=duration_s))

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
        """Go on with the checkpoint that a fine-tuning led to.

        Raises:
            SessionError: No training was asked for, or a group was to be learned from.
        """
        self._expect(Train, "training")
        if self.phase is Phase.UPDATE:
            raise SessionError("a group was to be learned from, this is a fine-tuning")
        if not checkpoint:
            self.stop("the training led to no checkpoint")
            return
        self.checkpoint = checkpoint
        self.phase = Phase.LOADING
        self._open = None

    def on_learned(self, learned: Learned) -> None:
        """Go on to the next group; what is full already needs no policy to be loaded for it.

        Raises:
            SessionError: No group was to be learned from.
        """
        self._expect(Train, "training")
        if self.phase is not Phase.UPDATE:
            raise SessionError(f"no group was to be learned from (session: {self.phase.value})")
        if not (learned.checkpoint and learned.promoted):
            self.stop("the training led to no checkpoint")
            return
        self._groups.on_learned(learned)
        self.checkpoint = learned.checkpoint
        is_known = self._groups.is_over or self._groups.is_ready
        self.phase = Phase.ROLLOUTS if is_known else Phase.LOADING
        self._open = None

    def on_loaded(self, checkpoint: str, highest_speed: float = 1.0) -> None:
        """Go on with the policy running a checkpoint.

        Args:
            checkpoint: Its sha256.
            highest_speed: Largest factor that its chunks can be played at.

        Raises:
            SessionError: Nothing was to be loaded, or it is another checkpoint.
        """
        self._expect(Load, "loading")
        if not checkpoint or (self.checkpoint and checkpoint != self.checkpoint):
            raise SessionError(f"policy runs {checkpoint[:12]!r}, not {self.checkpoint[:12]!r}")
        self.checkpoint = checkpoint
        self._open = None
        is_rolling = self._groups.has_begun and not self._is_closing
        self.phase = Phase.ROLLOUTS if is_rolling else Phase.EVALUATION
        try:
            self._groups.bound(highest_speed)
        except ConfigError as error:
            self.stop(str(error))

    def on_policy_lost(self) -> None:
        """Load the checkpoint again before the next episode: the policy does not run it now."""
        is_idle = self.phase is Phase.ROLLOUTS and self._groups.is_ready  # to be learned from
        if self.phase in (Phase.EVALUATION, Phase.ROLLOUTS) and not is_idle:
            self.phase = Phase.LOADING

    def on_taken_back(self) -> None:
        """Ask anew what came of every group: a person took back what had been promoted."""
        if not self._groups.has_begun or self.phase in (Phase.DONE, Phase.STOPPED):
            return
        if self._groups.number == 0:
            self.stop("the policy that the groups began with was taken back by a person")
            return
        if not isinstance(self._open, StartEpisode):  # what is running still counts
            self._open = None
        self._is_closing = False
        self._groups.begin(self._groups.supervised)
        self.checkpoint, self.phase = self._groups.supervised, Phase.ROLLOUTS

    def stop(self, reason: str) -> None:
        """Give the session up; the episode that is running still counts."""
        if self.phase not in (Phase.DONE, Phase.STOPPED):
            self.phase, self._stop_reason, self._open = Phase.STOPPED, reason, None

    def summary(self) -> str:
        """Say in one or two sentences what was reached and what is missing."""
        stopped = f"stopped: {self._stop_reason}" if self._stop_reason else ""
        reached = self._progress.describe(self.checkpoint)
        return "; ".join(filter(None, (reached, stopped))) or "nothing was done"

    def new_id(self, name: str) -> str:
        """Take a name for an episode, see `SessionPlan.new_id`."""
        return self._progress.plan.new_id(name)

    def _advance(self) -> None:
        """Go from phase to phase as far as what is known allows."""
        steps = {
            Phase.DEMONSTRATIONS: self._advance_demonstrations,
            Phase.EVALUATION: self._advance_evaluation,
            Phase.ROLLOUTS: self._advance_groups,
        }
        before = None
        while self.phase is not before:
            before = self.phase
            if before in steps:
                steps[before]()

    def _advance_demonstrations(self) -> None:
        demonstrations = self._demonstrations
        if demonstrations.is_full:
            self.phase = Phase.SFT if self.config.job == "rl" else Phase.DONE
        elif demonstrations.is_hopeless:
            self.stop(demonstrations.shortage)

    def _advance_evaluation(self) -> None:
        evaluations, is_rl = self._evaluations, self.config.job == "rl"
        if evaluations.is_hopeless(self.checkpoint):
            done, wanted = self.done_and_goal
            self.stop(f"only {done} of {wanted} evaluation episodes were finished")
        elif not evaluations.is_full(self.checkpoint):
            return
        elif self._is_closing or not is_rl:
            self.phase = Phase.DONE
        elif evaluations.is_short(self.checkpoint) and self._demonstrations.can_grow:
            self._demonstrations.raise_goal()
            self.phase = Phase.DEMONSTRATIONS
        elif self.config.groups and evaluations.is_good(self.checkpoint):
            self._groups.begin(self.checkpoint)
            self.phase = Phase.ROLLOUTS
        else:
            self.phase = Phase.DONE

    def _advance_groups(self) -> None:
        groups = self._groups
        if groups.is_over and not groups.has_changed:
            self.phase = Phase.DONE  # its evaluation is that of the end, too
        elif groups.is_over:
            self.checkpoint, self._is_closing = groups.promoted, True
            is_known = self._evaluations.is_full(self.checkpoint)
            self.phase = Phase.EVALUATION if is_known else Phase.LOADING
        elif groups.is_ready:
            self.phase = Phase.UPDATE
        elif groups.is_hopeless:
            self.stop(f"only {groups.counted} of {self.config.rollouts} rollouts were finished")

    def _request(self) -> Request | None:
        if self.obstacle and self.phase.is_acting:
            return None
        if self.phase is Phase.DEMONSTRATIONS:
            return StartEpisode(facts=self._demonstrations.next_demonstration())
        if self.phase is Phase.SFT:
            return Train()
        if self.phase is Phase.LOADING:
            return Load(checkpoint=self.checkpoint)
        if self.phase is Phase.EVALUATION:
            return StartEpisode(facts=self._evaluations.next_trial(self.checkpoint))
        if self.phase in (Phase.ROLLOUTS, Phase.DONE) and self._wants_promotion():
            self._is_promoted = True
            return Promote(checkpoint=self.checkpoint)
        if self.phase is Phase.ROLLOUTS:
            if self.waiting_for:
                return None
            return StartEpisode(facts=self._groups.next_rollout())
        if self.phase is Phase.UPDATE:
            return self._groups.training()
        is_short = self.phase is Phase.DONE and not self._is_complete()
        words = f"{self.summary()}; {self._progress.missing()}" if is_short else self.summary()
        return Finish(summary=words, is_complete=self._is_complete())

    def _wants_promotion(self) -> bool:
        is_new = not self._is_promoted and self.config.job == "rl"
        return is_new and self._progress.is_to_be_promoted(self.checkpoint)

    def _is_complete(self) -> bool:
        is_good = self.config.job != "rl" or self._progress.is_good(self.checkpoint)
        return self.phase is Phase.DONE and is_good

    def _expect(self, kind: type, what: str) -> None:
        if not isinstance(self._open, kind):
            raise SessionError(f"no {what} was asked for (session: {self.phase.value})")
