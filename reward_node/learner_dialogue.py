"""The session's dialogue with the learner: what is asked of it, and what its words mean. Pure.

A learner that was killed comes back and says ``idle``: it knows of nothing that was asked before,
so it is asked again.
"""

from reward_node.outputs import Call
from reward_node.requests import Learned, Train
from reward_node.session import Session
from reward_node.watchdog import Wait
from so101.status_events import GroupRequest, LearnerStatus


class LearnerDialogue:
    """Asks for one training at a time and passes the answer on to the session."""

    def __init__(self, session: Session, time_limit_s: float) -> None:
        """Ask for nothing yet.

        Args:
            session: What hears the answers.
            time_limit_s: Of a rollout, simulated [s].
        """
        self._session, self._time_limit_s = session, time_limit_s
        self._asked: Train | None = None
        self._heard = ""
        self.is_promoting = False
        self._newest: LearnerStatus | None = None

    @property
    def wait(self) -> Wait | None:
        """Return what the learner was asked and has not answered yet; None for nothing."""
        if self.is_promoting:
            return Wait(what="the learner to promote the candidate")
        if self._asked is None:
            return None
        group, newest = self._asked.group, self._newest
        what = "to fine-tune" if group < 0 else f"to learn from group {group}"
        if newest is None:
            return Wait(what=f"the learner {what}; it has said nothing yet")
        steps = f" {newest.step}/{newest.steps}" if newest.steps else ""
        return Wait(
            what=f"the learner {what}; its last word: {newest.phase}{steps}",
            progress=(newest.phase, newest.group, newest.step),
        )

    def ask(self, request: Train, stamp_ns: int) -> Call | GroupRequest:
        """Return what asks the learner for a training."""
        self._asked = request
        config = self._session.config
        if request.group < 0:
            return Call(service="learner/train")
        return GroupRequest(
            stamp_ns=stamp_ns,
            group=request.group,
            checkpoint=request.checkpoint,
            highest_speed=request.highest_speed,
            rule=config.rule,
            seed=config.seed,
            task=config.task,
            start=config.start,
            time_limit_s=self._time_limit_s,
            rollouts=config.rollouts,
            is_last=request.is_last,
        )

    def ask_to_promote(self) -> Call:
        """Return what asks the learner to promote the candidate."""
        self.is_promoting = True
        return Call(service="learner/promote")

    def on_promoted(self) -> None:
        """Take note that the learner answered: it promoted the candidate, or refused."""
        self.is_promoting = False

    def hear(self, status: LearnerStatus) -> Call | None:
        """Pass an answer on; words on another training say nothing. Return what asks again."""
        self._newest = status
        is_news, self._heard = status.phase != self._heard, status.phase
        if status.phase == "taken back" and is_news:  # it says so until there is something else
            self._asked = None
            self._session.on_taken_back()
        if self.is_promoting and status.phase == "idle":
            return self.ask_to_promote()
        asked = self._asked
        if asked is None or status.group != asked.group:
            return None
        if status.phase == "trained":
            self._asked = None
            self._pass_on(status)
        elif status.phase == "idle" and asked.group < 0:
            return Call(service="learner/train")  # a new process; it knows nothing
        elif status.phase == "failed":
            self._asked = None
            self._session.stop(f"training failed: {status.reason}")
        return None

    def _pass_on(self, status: LearnerStatus) -> None:
        if status.group < 0:
            self._session.on_trained(status.checkpoint)
            return
        self._session.on_learned(
            Learned(
                checkpoint=status.checkpoint,
                promoted=status.promoted,
                is_accepted=status.is_accepted,
            )
        )
