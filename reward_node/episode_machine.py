"""The life of one episode after another: idle, resetting, running, ended. Pure.

It owns which transitions are legal and that every episode that began running ends exactly once.
Who wants the next episode is the session's business; whether the task succeeded is the rater's.
"""

from dataclasses import dataclass

from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.errors import SessionError
from so101.events import EpisodeEvent

END_STATES = {
    Outcome.SUCCESS: EpisodeState.SUCCEEDED,
    Outcome.FAILURE: EpisodeState.FAILED,
    Outcome.TRUNCATED: EpisodeState.TRUNCATED,
    Outcome.DISCARDED: EpisodeState.DISCARDED,
}
OUTCOMES = {state: outcome for outcome, state in END_STATES.items()}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an episode ended.

    Attributes:
        facts: Which episode.
        outcome: How.
        start_ns: Stamp of its first tick [ns].
        end_ns: Stamp of its last tick [ns].
        reason: Why, in words.
    """

    facts: EpisodeFacts
    outcome: Outcome
    start_ns: int
    end_ns: int
    reason: str

    @property
    def duration_s(self) -> float:
        """Time from the first to the last tick [s]."""
        return (self.end_ns - self.start_ns) * 1e-9


class EpisodeMachine:
    """Takes one episode at a time from request to end and says what to publish.

    Every method that changes the state returns the event to publish.
    """

    def __init__(self) -> None:
        """Start idle."""
        self.state = EpisodeState.IDLE
        self.facts: EpisodeFacts | None = None
        self.last: Ended | None = None
        self.start_ns = 0

    @property
    def is_busy(self) -> bool:
        """Tell whether an episode is being reset or running."""
        return self.state in (EpisodeState.RESETTING, EpisodeState.RUNNING)

    def is_abandoned_by(self, checkpoint: str) -> bool:
        """Tell whether the present episode needs a policy with another checkpoint than this."""
        if self.facts is None or not self.is_busy:
            return False
        return self.facts.source == "policy" and self.facts.checkpoint != checkpoint

    def request(self, facts: EpisodeFacts, stamp_ns: int) -> EpisodeEvent:
        """Ask for the scene to be reset for an episode.

        Raises:
            SessionError: Another episode is not over yet.
        """
        if self.is_busy:
            raise SessionError(f"episode {self._id} is {self.state.value}; end it first")
        self.facts = facts
        return self._enter(EpisodeState.RESETTING, stamp_ns, "")

    def begin(self, stamp_ns: int) -> EpisodeEvent:
        """Start the episode whose reset is done at this policy tick.

        Raises:
            SessionError: No reset was asked for.
        """
        if self.state is not EpisodeState.RESETTING:
            raise SessionError(f"no episode is being reset (state: {self.state.value})")
        self.start_ns = stamp_ns
        return self._enter(EpisodeState.RUNNING, stamp_ns, "")

    def end(self, outcome: Outcome, stamp_ns: int, reason: str = "") -> EpisodeEvent:
        """End the present episode. One that is still being reset can only be discarded.

        Raises:
            SessionError: No episode is running, or the outcome does not fit its state.
        """
        if not self.is_busy:
            raise SessionError("no episode is running")
        if outcome not in END_STATES:
            raise SessionError(f"an episode cannot end as {outcome.value}")
        if self.state is EpisodeState.RESETTING and outcome is not Outcome.DISCARDED:
            raise SessionError(f"episode {self._id} has not begun; it can only be discarded")
        if self.state is EpisodeState.RESETTING:
            self.start_ns = stamp_ns
        event = self._enter(END_STATES[outcome], max(stamp_ns, self.start_ns), reason)
        self.last = Ended(
            facts=event.facts,
            outcome=outcome,
            start_ns=self.start_ns,
            end_ns=event.stamp_ns,
            reason=reason,
        )
        return event

    @property
    def _id(self) -> str:
        return self.facts.id if self.facts is not None else "none"

    def _enter(self, state: EpisodeState, stamp_ns: int, reason: str) -> EpisodeEvent:
        if self.facts is None:
            raise SessionError("no episode was requested")
        self.state = state
        return EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=self.facts, reason=reason)
