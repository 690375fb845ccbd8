"""Conducts the session: turns what happened into what is to be published and called. Pure.

It joins three pure parts: the session (what next), the episode machine (what is legal) and the
rater (did it succeed). The node around it only carries messages.
"""

from collections.abc import Callable

from reward_node.arm_modes import ABLE, WAY_OUT
from reward_node.episode_machine import EpisodeMachine
from reward_node.learner_dialogue import LearnerDialogue
from reward_node.outputs import Limits, Output
from reward_node.requests import Finish, Load, Phase, Promote, StartEpisode, Train
from reward_node.reset_watch import Resets, ResetWatch
from reward_node.session import Session
from reward_node.session_plan import instruction_of
from reward_node.watchdog import Wait, policy_wait
from so101.clock import POLICY_GRID
from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.errors import SessionError
from so101.events import EpisodeEvent, RewardEvent
from so101.observation import Observation
from so101.rewards.rater import Rater
from so101.simulation.tasks.task import Start
from so101.status_events import LearnerStatus, PolicyInfo, RecorderStatus

MOST_LOSSES = 3
"""Recordings lost in a row after which the session gives up: the disk is full, or worse."""


class Conductor:
    """Runs episode after episode until the session is done."""

    def __init__(
        self,
        session: Session,
        rater: Rater,
        start_of: Callable[[EpisodeFacts], Start],
        limits: Limits,
        *,
        has_recorder: bool = True,
        resets: Resets | None = None,
    ) -> None:
        """Wire the parts.

        Args:
            session: What to do.
            rater: Judges every policy tick.
            start_of: Where an episode starts: arm and objects.
            limits: Time limits.
            has_recorder: Go on only after the recorder has saved an episode.
            resets: Tells when a scene is ready; None for the simulation's.
        """
        self.session = session
        self.machine = EpisodeMachine()
        self.finish: Finish | None = None
        self.running_checkpoint = ""
        self._policy_says = ""
        self._highest_speed = 1.0
        self._rater = rater
        self._start_of = start_of
        self._limits = limits
        self._has_recorder = has_recorder
        self._outbox: list[Output] = []
        self._awaited = ""
        self._is_redo = False
        self.learner = LearnerDialogue(session, limits.policy_s)
        self._told = ""
        self._reset: Resets = resets or ResetWatch()
        self._rated_ns = 0
        self._lost = ""
        self._losses = 0
        self._obstacle = ""

    @property
    def unsaved(self) -> str:
        """Return the id of the episode that runs or is being saved; empty when none is."""
        facts = self.machine.facts
        return facts.id if facts is not None and self.machine.is_busy else self._awaited

    @property
    def wait(self) -> Wait | None:
        """Return what others have yet to do before it goes on; None where nothing is open."""
        facts, state = self.machine.facts, self.machine.state
        if self.finish is not None:
            return None
        if self._obstacle:
            return Wait(what=f"the arm: {self._obstacle}")
        words = self.session.obstacle
        rest = Wait(what=f"the robot: {words}", patience_s=0.0) if words else None
        if facts is not None and state is EpisodeState.RESETTING:
            return rest or Wait(what=f"the reset of {facts.id}: {self._reset.awaited}")
        if facts is not None and state is EpisodeState.RUNNING:
            return Wait(what=f"the next observation of {facts.id}", progress=self._rated_ns)
        if self._awaited:
            return Wait(what=f"the recorder to save {self._awaited}")
        if self.session.is_paused:
            return Wait(what="people: the session is paused; call session/pause false to go on")
        wanted, running = self.session.wanted, self.running_checkpoint
        return self.learner.wait or policy_wait(wanted, running, self._policy_says) or rest

    def take(self) -> list[Output]:
        """Return what is to be published and called, in order, once."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def poll(self, stamp_ns: int) -> None:
        """Ask the session for its next wish when nothing else is open."""
        is_open = self.machine.is_busy or self._awaited or self.learner.is_promoting
        if is_open or self.finish is not None or self._obstacle:
            return
        request = self.session.next()
        if isinstance(request, StartEpisode):
            self._request(request.facts, stamp_ns)
        elif isinstance(request, Train):
            self._outbox.append(self.learner.ask(request, stamp_ns))
        elif isinstance(request, Load):
            self._check_loaded()
        elif isinstance(request, Promote):
            self._outbox.append(self.learner.ask_to_promote())
        elif isinstance(request, Finish):
            self._close(request, stamp_ns)
        self._say_what_is_missing(stamp_ns)

    def on_observation(self, observation: Observation) -> None:
        """Look at one policy tick: is the reset done, has the task succeeded, is time over?"""
        is_reset = self._reset.look(observation)
        if self.machine.state is EpisodeState.RESETTING and is_reset:
            self._rater.reset()
            self._outbox.append(self.machine.begin(observation.stamp_ns))
        if self.machine.state is EpisodeState.RUNNING:
            self._rate(observation)

    def on_recorder(self, status: RecorderStatus) -> None:
        """Go on after an episode was saved; run it again when it was lost."""
        if status.state != "saved":
            self._losses += 1
            if self._losses >= MOST_LOSSES:
                self.session.stop(f"{MOST_LOSSES} recordings in a row were lost: {status.reason}")
            if status.episode == self._awaited:
                self._repeat()
            elif self.machine.is_busy:
                self._lost = status.episode  # it could not even be begun; the end is yet to come
        elif status.episode == self._awaited:
            self._losses = 0
            self._count()

    def on_learner(self, status: LearnerStatus) -> None:
        """Go on after the training that was asked for; words on another one say nothing."""
        if output := self.learner.hear(status):
            self._outbox.append(output)

    def on_arm(self, mode: str, reason: str, stamp_ns: int) -> None:
        """Cut the episode when the arm cannot move; begin none until it can."""
        way_out = WAY_OUT.get(mode, "arm/arm")
        because = f" ({reason})" if reason else ""
        obstacle = f"the arm is {mode}; call {way_out} to go on{because}"
        self._obstacle = "" if mode in ABLE else obstacle
        if self._obstacle and self.machine.is_busy:
            self._cut(Outcome.TRUNCATED, stamp_ns, self._obstacle)

    def on_policy(self, info: PolicyInfo, stamp_ns: int) -> None:
        """Take note of the checkpoint that the policy runs.

        An episode whose policy is gone says nothing about that policy: it is discarded and, in a
        session, run again from the same seed once its checkpoint is loaded again.
        """
        self.running_checkpoint, self._highest_speed = info.checkpoint, info.highest_speed
        self._policy_says = info.waiting_for
        if info.checkpoint != self.session.checkpoint:
            self.session.on_policy_lost()
        if self.machine.is_abandoned_by(info.checkpoint):
            self.end(Outcome.DISCARDED, stamp_ns, "its policy is gone")
        self._check_loaded()

    def start_manually(self, stamp_ns: int, source: str, seed: int) -> str:
        """Start an episode by hand; one that is being reset begins, where a person says when.

        Raises:
            SessionError: The session runs by itself, an episode is not over, or none may begin.
        """
        if self.session.obstacle:
            raise SessionError(f"no episode can begin: {self.session.obstacle}")
        if self.machine.state is EpisodeState.RESETTING:
            self._reset.confirm()
            return self.unsaved
        if self._obstacle:
            raise SessionError(self._obstacle)
        if self.session.phase is not Phase.MANUAL:
            raise SessionError(f"the session runs by itself ({self.session.phase.value})")
        if self._awaited:
            raise SessionError(f"episode {self._awaited} is still being saved")
        if source == "policy" and not self.running_checkpoint:
            raise SessionError("the policy has no checkpoint yet")
        facts = EpisodeFacts(
            id=self.session.new_id(f"manual-{POLICY_GRID.floor(stamp_ns)}"),
            task=self.session.config.task,
            instruction=instruction_of(self.session.config),
            source=source,
            checkpoint=self.running_checkpoint if source == "policy" else "",
            seed=seed,
            start_pose=self.session.config.start,
            operator=self.session.config.operator,
        )
        self._request(facts, stamp_ns)
        return facts.id

    def end(self, outcome: Outcome, stamp_ns: int, reason: str) -> None:
        """End the episode at the newest policy tick that was rated.

        Raises:
            SessionError: No episode is running.
        """
        was_running = self.machine.state is EpisodeState.RUNNING
        if was_running:
            stamp_ns = min(stamp_ns, self._rated_ns)  # later ticks may never be complete
        event = self.machine.end(outcome, POLICY_GRID.stamp(POLICY_GRID.floor(stamp_ns)), reason)
        self._outbox.append(event)
        self._awaited = event.facts.id
        self._is_redo = outcome is Outcome.DISCARDED
        if not (was_running and self._has_recorder):
            self._count()
        elif self._lost == self._awaited:
            self._repeat()

    def on_silence(self, stamp_ns: int) -> None:
        """End the episode because the robot or its source fell silent.

        It says nothing about who acted: a session runs it again from the same seed.
        """
        is_by_hand = self.session.phase is Phase.MANUAL
        outcome = Outcome.TRUNCATED if is_by_hand else Outcome.DISCARDED
        self._cut(outcome, stamp_ns, "the robot or its source fell silent")

    def _cut(self, outcome: Outcome, stamp_ns: int, reason: str) -> None:
        """End the episode with an outcome; one that never began is discarded."""
        has_begun = self.machine.state is EpisodeState.RUNNING
        self.end(outcome if has_begun else Outcome.DISCARDED, stamp_ns, reason)

    def _request(self, facts: EpisodeFacts, stamp_ns: int) -> None:
        self._reset.ask(self._start_of(facts), stamp_ns)
        self._outbox.append(self.machine.request(facts, stamp_ns))

    def _say_what_is_missing(self, stamp_ns: int) -> None:
        """Tell people once what the session waits for."""
        words = self.session.waiting_for
        if words and words != self._told:
            self._outbox.append(self._session_event(self.session.phase, words, stamp_ns))
        self._told = words

    def _rate(self, observation: Observation) -> None:
        verdict = self._rater.update(observation)
        stamp_ns = observation.stamp_ns
        elapsed_s = (stamp_ns - self.machine.start_ns) * 1e-9
        self._rated_ns = stamp_ns
        facts = self.machine.facts
        is_over = facts is not None and elapsed_s >= self._limits.of(facts)
        self._outbox.append(
            RewardEvent(
                stamp_ns=stamp_ns,
                reward=verdict.reward,
                success_probability=verdict.probability,
                terminated=verdict.is_success or verdict.is_failure,
            )
        )
        if verdict.is_success:
            self.end(Outcome.SUCCESS, stamp_ns, "")
        elif verdict.is_failure:
            self.end(Outcome.FAILURE, stamp_ns, verdict.kind)
        elif is_over:
            self.end(Outcome.TRUNCATED, stamp_ns, f"time limit: {verdict.kind}")

    def _check_loaded(self) -> None:
        if self.running_checkpoint and self.session.wanted in ("", self.running_checkpoint):
            self.session.on_loaded(self.running_checkpoint, self._highest_speed)

    def _count(self) -> None:
        last = self.machine.last
        if self._is_redo or last is None:
            self._repeat()
            return
        self._awaited = ""
        if self.session.phase is not Phase.MANUAL:
            self.session.on_episode(last.outcome, last.duration_s)

    def _repeat(self) -> None:
        self._awaited = ""
        if self.session.phase is not Phase.MANUAL:
            self.session.on_discarded()

    def _close(self, finish: Finish, stamp_ns: int) -> None:
        self.finish = finish
        phase = self.session.phase if finish.is_complete else Phase.STOPPED
        self._outbox.append(self._session_event(phase, finish.summary, stamp_ns))

    def _session_event(self, phase: Phase, words: str, stamp_ns: int) -> EpisodeEvent:
        facts = EpisodeFacts(id="session", phase=phase.value)
        return EpisodeEvent(stamp_ns=stamp_ns, state=EpisodeState.IDLE, facts=facts, reason=words)
