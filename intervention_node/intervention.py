"""The arbiter in its graph: demonstrations open and close takeovers of their own. Pure.

In an episode that is teleoperated whoever teleoperates acts without being asked, and lets go at
its end. A takeover that a person asked for ends when the person says so, and not with any episode.

In lock-step nothing is lost to a race: an offer that came before what allows it (its episode, the
end of a motion) is kept and ruled on again. Nothing is won by a race either: what was planned for
an episode that is over does not pass. And nobody is silent there: time waits for the next chunk,
which comes late by the simulated latency.
"""

from collections.abc import Iterator

from intervention_node.params import InterventionParams
from so101.arrays import FloatArray
from so101.clock import nanoseconds
from so101.control.arbiter import Arbiter
from so101.control.arbitration import ArbiterConfig, Ruling, SourceConfig
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource, EpisodeState
from so101.errors import BagError
from so101.events import ControlEvent, EpisodeEvent

SCRIPTED = "scripted"

Decision = tuple[ControlSource, Ruling]
"""A ruling, and whose offer or control it is about."""


class Intervention:
    """Rules on offers and signs of life, and knows what episodes mean for control."""

    def __init__(self, params: InterventionParams) -> None:
        """Begin in hold."""
        self._params = params
        sources = {
            ControlSource.POLICY: SourceConfig(
                device="policy", decision_ticks=params.policy_decision_ticks
            ),
            ControlSource.TELEOP: SourceConfig(
                device=params.teleop_device,
                decision_ticks=params.teleop_decision_ticks,
                must_align=params.teleop_device != SCRIPTED,
            ),
            ControlSource.MOTION: SourceConfig(device="motion"),
        }
        timeout_ns = None if params.lockstep else nanoseconds(params.alive_timeout)
        self.arbiter = Arbiter(ArbiterConfig(sources=sources, alive_timeout_ns=timeout_ns))
        self._command: FloatArray | None = None
        self._now_ns = 0
        self._begun_ns = 0
        self._acting: ControlSource | None = None
        self._is_asked_for = False
        self._kept: dict[ControlSource, JointTrajectory] = {}
        if params.enables_policy:
            self.arbiter.enable(ControlSource.POLICY, 0)

    @property
    def now_ns(self) -> int:
        """Newest stamp of the arm [ns]."""
        return self._now_ns

    def on_command(self, stamp_ns: int, command: FloatArray) -> Iterator[Decision]:
        """Take the newest joint command: the arm's position for hand-overs, and the time.

        Yields the change that the time brought, and rulings that the change allows.
        """
        self._now_ns, self._command = max(stamp_ns, self._now_ns), command
        source, event = self.arbiter.source, self.arbiter.tick(self._now_ns)
        if event is not None:
            yield source, Ruling(event=event)
            yield from self._rule_again(self._begun_ns)

    def on_alive(self, source: ControlSource, stamp_ns: int, problem: str) -> Ruling:
        """Note a sign of life, or the word that there is none left in the source's device.

        In lock-step nobody asks for one.
        """
        if problem:
            return Ruling(event=self.arbiter.lose(source, self._now_ns, problem))
        if reason := self.arbiter.early(source, stamp_ns, self._now_ns):
            return Ruling(reason=reason)
        self.arbiter.alive(source, stamp_ns)
        return Ruling()

    def take_over(self) -> ControlEvent | None:
        """Give control to the person; the arm holds until they act.

        Raises:
            SessionError: The e-stop is on.
        """
        event = self.arbiter.take_over(self._now_ns)
        self._is_asked_for = True
        return event

    def release(self) -> ControlEvent | None:
        """End the person's takeover; the arm holds until somebody else acts.

        Raises:
            SessionError: Nobody has taken over.
        """
        return self.arbiter.release(self._now_ns)

    def offer(self, source: ControlSource, trajectory: JointTrajectory) -> Ruling:
        """Rule on a trajectory."""
        if self._is_of_the_past(source, trajectory):
            return Ruling(reason="planned for an episode that is over")
        opening = self._open(source)
        ruling = self.arbiter.offer(source, trajectory, self._now_ns, self._command)
        if ruling.trajectory is None:
            kept = self._kept.get(source)
            is_newest = kept is None or trajectory.stamp_ns >= kept.stamp_ns
            if self._params.lockstep and is_newest:  # in free time the next one is better
                self._kept[source] = trajectory
            return Ruling(event=opening, reason=ruling.reason)
        self._kept.pop(source, None)
        return ruling

    def on_episode(self, event: EpisodeEvent) -> Iterator[Decision]:
        """Take note of an episode; yield rulings that it changed.

        Raises:
            BagError: It begins, and nobody of this arm's is to act in it; nothing has changed.
        """
        is_running = event.state is EpisodeState.RUNNING
        self._acting = _actor(event) if is_running else None
        if is_running:
            self._begun_ns = event.stamp_ns
        yield ControlSource.POLICY, Ruling(event=self._allow_policy(event))
        is_opened = self._params.teleop_device == SCRIPTED or not self._is_asked_for
        wants_teleop = self._acting is ControlSource.TELEOP
        if is_opened and self.arbiter.has_taken_over and not wants_teleop:
            yield ControlSource.TELEOP, Ruling(event=self.arbiter.release(self._now_ns))
        yield from self._rule_again(event.stamp_ns)

    def _rule_again(self, begun_ns: int) -> Iterator[Decision]:
        """Rule on what was kept, unless it is over or was planned before a stamp."""
        kept, self._kept = self._kept, {}
        for source, trajectory in kept.items():
            is_motion = source is ControlSource.MOTION
            ends_ns = trajectory.stamp_ns + trajectory.times_ns[-1]
            if ends_ns > self._now_ns if is_motion else trajectory.stamp_ns >= begun_ns:
                ruling = self.offer(source, trajectory)
                if ruling.trajectory is not None:
                    yield source, ruling

    def _allow_policy(self, event: EpisodeEvent) -> ControlEvent | None:
        """Let the policy act in its own episodes, also after an e-stop, but not after them."""
        if event.state.is_end:
            return self.arbiter.enable(ControlSource.POLICY, self._now_ns, is_enabled=False)
        is_wanted = self._acting is ControlSource.POLICY and self._params.enables_policy
        if is_wanted and not self._is_stopped:
            return self.arbiter.enable(ControlSource.POLICY, self._now_ns)
        return None

    @property
    def _is_stopped(self) -> bool:
        return self.arbiter.source is ControlSource.ESTOP

    def _open(self, source: ControlSource) -> ControlEvent | None:
        """Let teleoperation take over by acting, in an episode of its own."""
        if source is not ControlSource.TELEOP or self._acting is not ControlSource.TELEOP:
            return None
        if self.arbiter.has_taken_over or self._is_stopped:
            return None
        self._is_asked_for = False
        return self.arbiter.take_over(self._now_ns)

    def _is_of_the_past(self, source: ControlSource, trajectory: JointTrajectory) -> bool:
        """Tell whether something was planned before the present episode began; 0 means now.

        A motion is of the past when its time is over: the scene may have been reset meanwhile, and
        in lock-step nothing would ever take control from it again.
        """
        if source is ControlSource.MOTION and trajectory.stamp_ns and trajectory.times_ns:
            return trajectory.stamp_ns + trajectory.times_ns[-1] <= self._now_ns
        is_planned = source is ControlSource.POLICY or (
            source is ControlSource.TELEOP and self._params.teleop_device == SCRIPTED
        )
        return is_planned and 0 < trajectory.stamp_ns < self._begun_ns


def _actor(event: EpisodeEvent) -> ControlSource:
    try:
        return ControlSource(event.facts.source)
    except ValueError:
        raise BagError(
            f"event {event.facts.id!r}: source={event.facts.source[:60]!r} is no control source"
        ) from None
