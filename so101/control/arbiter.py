"""Who is in control: e-stop above teleop above motion above policy, else hold. Pure.

Nobody is blended with anybody: at every moment the trajectories of one source pass, all others are
counted and dropped. Time is passed in; in simulation it is simulated time.

A source gets control by offering a trajectory while it is enabled and nothing above it is active.
Motion and policy are enabled by `Arbiter.enable`, teleoperation by `Arbiter.take_over`. A source
loses control when it falls silent; then the arm holds until a source offers again. While
teleoperation has taken over, only teleoperation can, so a lost leader arm never hands the robot
back to a policy. After a release the policy begins with what it plans from then on: what it had
planned before is flushed.

Two that speak in the name of one source are not blended either: who began goes on until control
changes. And a source's trajectories pass in the order of their stamps, each once, so that what is
late or played back changes nothing.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from so101.arrays import FloatArray
from so101.clock import seconds
from so101.control.arbitration import ArbiterConfig, Ruling
from so101.control.follower import MAX_EARLY_NS
from so101.control.passed import Passed
from so101.control.trajectory import JointTrajectory, validate
from so101.episode import ControlSource
from so101.errors import SessionError, TrajectoryError
from so101.events import ControlEvent

PRIORITY = (ControlSource.TELEOP, ControlSource.MOTION, ControlSource.POLICY)
"""Sources that can be in control, highest first."""

MOTION_FINISHED = "motion finished"
"""Why control is given up at the end of a motion."""


class Arbiter:
    """Grants control to one source at a time.

    Attributes:
        dropped: Counts of dropped trajectories by source and reason.
    """

    def __init__(self, config: ArbiterConfig) -> None:
        """Start in hold, with motion enabled and nothing else."""
        self.dropped: Counter[tuple[ControlSource, str]] = Counter()
        self._config = config
        self._source = ControlSource.HOLD
        self._enabled = {ControlSource.MOTION}
        self._alive_ns: dict[ControlSource, int] = {}
        self._ends_ns = self._changed_ns = self._released_ns = 0
        self._passed = Passed()

    @property
    def source(self) -> ControlSource:
        """Who is in control."""
        return self._source

    @property
    def has_taken_over(self) -> bool:
        """Whether teleoperation has taken over, aligned or not yet."""
        return ControlSource.TELEOP in self._enabled

    def alive(self, source: ControlSource, stamp_ns: int) -> None:
        """Note a sign of life.

        Args:
            source: Who is alive.
            stamp_ns: Stamp of its message [ns]; an older one than before changes nothing.
        """
        self._alive_ns[source] = max(stamp_ns, self._alive_ns.get(source, stamp_ns))

    def early(self, source: ControlSource, stamp_ns: int, now_ns: int) -> str:
        """Count and return why a sign of life does not count; nothing when it does.

        By a stamp [ns] of the future a source that falls silent would be alive until then. The
        present is 0 while the arm has not been heard of.
        """
        reason = self._earliness(stamp_ns, now_ns)
        if reason:
            self.dropped[source, reason.split(":")[0]] += 1
        return reason

    def lose(self, source: ControlSource, now_ns: int, reason: str) -> ControlEvent | None:
        """Take note that a source cannot act any more, by its own word: it need not fall silent.

        A takeover stays: nobody but teleoperation may act until it is released.

        Args:
            source: Who said so.
            now_ns: The present stamp [ns].
            reason: Its word, such as what became of its device.

        Returns:
            The change to hold when it was in control.
        """
        return self._leave(source, now_ns, f"{source.value}: {reason}")

    def enable(
        self, source: ControlSource, now_ns: int, *, is_enabled: bool = True
    ) -> ControlEvent | None:
        """Allow or forbid motion or policy to take control.

        Args:
            source: Which one.
            now_ns: The present stamp [ns].
            is_enabled: Allow or forbid.

        Returns:
            The change to hold when the source was in control and is forbidden.

        Raises:
            SessionError: The source is neither motion nor policy, or the e-stop is on.
        """
        if source not in (ControlSource.MOTION, ControlSource.POLICY):
            raise SessionError(f"control: {source.value} cannot be enabled; use take_over")
        if is_enabled:
            self._check_no_estop()
            self._enabled.add(source)
            return None
        self._enabled.discard(source)
        return self._leave(source, now_ns, f"{source.value} was disabled")

    def take_over(self, now_ns: int) -> ControlEvent | None:
        """Give control to teleoperation: the arm holds until its first trajectory passes.

        Returns:
            The change to hold, or None when teleoperation had taken over before.

        Raises:
            SessionError: The e-stop is on.
        """
        self._check_no_estop()
        if self.has_taken_over:
            return None
        self._enabled.add(ControlSource.TELEOP)
        config = self._config.sources.get(ControlSource.TELEOP)
        who = config.device if config else "teleoperation"
        return self._change(ControlSource.HOLD, now_ns, f"takeover: waiting for {who}")

    def release(self, now_ns: int) -> ControlEvent | None:
        """End a takeover: the arm holds until the next trajectory of another source.

        The policy's must be planned from what was seen since.

        Raises:
            SessionError: Teleoperation has not taken over.
        """
        if not self.has_taken_over:
            raise SessionError("control: nothing to release, teleoperation has not taken over")
        self._enabled.discard(ControlSource.TELEOP)
        self._released_ns = now_ns
        if self._source is ControlSource.ESTOP:
            return None
        return self._change(ControlSource.HOLD, now_ns, "released")

    def estop(self, now_ns: int, reason: str) -> ControlEvent | None:
        """Take control from everybody, until `recover`."""
        if self._source is ControlSource.ESTOP:
            return None
        return self._change(ControlSource.ESTOP, now_ns, reason)

    def recover(self, now_ns: int) -> ControlEvent:
        """Leave the e-stop: the arm holds, and policy and teleoperation must ask again.

        Raises:
            SessionError: The e-stop is not on.
        """
        if self._source is not ControlSource.ESTOP:
            raise SessionError("control: nothing to recover from, the e-stop is not on")
        self._enabled = {ControlSource.MOTION}
        return self._change(ControlSource.HOLD, now_ns, "recovered")

    def offer(
        self,
        source: ControlSource,
        trajectory: JointTrajectory,
        now_ns: int,
        command: FloatArray | None = None,
    ) -> Ruling:
        """Rule on a trajectory. An offer is also a sign of life, but not of another speaker.

        Args:
            source: Who offers it.
            trajectory: What it wants.
            now_ns: The present stamp [ns].
            command: Newest joint command [rad] of shape (joints,), for bumpless hand-over.
        """
        if source is not self._source or self._passed.is_speaker(trajectory):
            self.alive(source, now_ns)
        reason = self._objection(source, trajectory, command)
        reason = reason or self._earliness(trajectory.stamp_ns, now_ns)
        reason = reason or _lateness(trajectory, now_ns)
        if reason:
            self.dropped[source, reason.split(":")[0]] += 1
            return Ruling(reason=reason)
        self._ends_ns = (trajectory.stamp_ns or now_ns) + trajectory.times_ns[-1]
        event, is_beginning = None, source is not self._source
        if is_beginning:
            event = self._change(source, self._since(trajectory, now_ns), "has control")
        self._passed.note(source, trajectory, now_ns, is_beginning=is_beginning)
        return Ruling(trajectory=replace(trajectory, source=source.value), event=event)

    def _since(self, trajectory: JointTrajectory, now_ns: int) -> int:
        """Return from when on a trajectory has control [ns]: from its arrival.

        Where time waits it did not pass meanwhile, and what arrived in which order says nothing:
        there control begins with the trajectory, but never before the last change.
        """
        if self._config.alive_timeout_ns is not None:
            return now_ns
        return max(trajectory.stamp_ns or now_ns, self._changed_ns)

    def tick(self, now_ns: int) -> ControlEvent | None:
        """Look whether the source in control fell silent or finished its motion.

        Returns:
            The change to hold, or None.
        """
        source = self._source
        if source not in PRIORITY:
            return None
        silent_ns = now_ns - self._alive_ns.get(source, now_ns)
        timeout_ns = self._config.alive_timeout_ns
        if timeout_ns is not None and silent_ns > timeout_ns:
            return self._leave(
                source, now_ns, f"{source.value} was silent for {seconds(silent_ns):.3f} s"
            )
        if source is ControlSource.MOTION and now_ns >= self._ends_ns:
            return self._leave(source, now_ns, MOTION_FINISHED)
        return None

    def _objection(
        self, source: ControlSource, trajectory: JointTrajectory, command: FloatArray | None
    ) -> str:
        """Return why a trajectory is dropped, or nothing. The part before a colon is counted."""
        if source not in self._config.sources:
            return f"unknown source: {source.value}"
        if self._source is ControlSource.ESTOP:
            return "e-stop is on"
        if source not in self._enabled:
            return "not enabled"
        if self.has_taken_over and source is not ControlSource.TELEOP:
            return "teleoperation has taken over"
        if self._source in PRIORITY and PRIORITY.index(self._source) < PRIORITY.index(source):
            return f"{self._source.value} has control"
        try:
            validate(trajectory, self._config.joints)
        except TrajectoryError as error:
            return f"invalid: {error}"
        if source is ControlSource.POLICY and 0 < trajectory.stamp_ns < self._released_ns:
            return "planned before the release"
        has_control = source is self._source
        if reason := self._passed.objection(source, trajectory, has_control=has_control):
            return reason
        if not has_control and self._config.sources[source].must_align:
            return self._misalignment(trajectory, command)
        return ""

    def _misalignment(self, trajectory: JointTrajectory, command: FloatArray | None) -> str:
        if command is None:
            return "not aligned: no joint command seen yet"
        steps = np.abs(trajectory.positions[0] - command)
        worst = int(steps.argmax())
        if steps[worst] <= self._config.handover_rad:
            return ""
        return (
            f"not aligned: {self._config.joints[worst]} is {steps[worst]:.3f} rad away from the "
            f"arm; at most {self._config.handover_rad} rad"
        )

    def _earliness(self, stamp_ns: int, now_ns: int) -> str:
        """Return that a stamp is of another clock, by which nobody would be late or silent.

        Where time waits there is one clock, and the present is not known before it is over.
        """
        is_early = 0 < now_ns < stamp_ns - MAX_EARLY_NS
        if not is_early or self._config.alive_timeout_ns is None:
            return ""
        return f"in the future: by {seconds(stamp_ns - now_ns):.3f} s; is its clock another one?"

    def _leave(self, source: ControlSource, now_ns: int, reason: str) -> ControlEvent | None:
        if self._source is not source:
            return None
        return self._change(ControlSource.HOLD, now_ns, reason)

    def _change(self, source: ControlSource, now_ns: int, reason: str) -> ControlEvent:
        self._source, self._changed_ns = source, now_ns
        config = self._config.sources.get(source)
        return ControlEvent(
            stamp_ns=now_ns,
            source=source,
            device=config.device if config else "",
            reason=reason,
            decision_ticks=config.decision_ticks if config else 0,
            is_taken_over=self.has_taken_over,
        )

    def _check_no_estop(self) -> None:
        if self._source is ControlSource.ESTOP:
            raise SessionError("control: the e-stop is on; recover first")


def _lateness(trajectory: JointTrajectory, now_ns: int) -> str:
    """Return that a trajectory is over when it is: nothing of it would be followed."""
    if not trajectory.stamp_ns:
        return ""
    late_ns = now_ns - trajectory.stamp_ns - trajectory.times_ns[-1]
    return f"over: its last point was due {seconds(late_ns):.3f} s ago" if late_ns >= 0 else ""
