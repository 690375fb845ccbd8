"""One trajectory goal on its way through arbiter and arm, to its end. Pure.

The motion is on its way once the arbiter has passed it on. From then on what is measured is held
against where the joints should be; whoever else gets control, an arm that may not move or one that
falls silent ends the goal. A goal that ends before its time brings the arm to rest first, where
motion_node is still the one to say so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from so101.arm import ArmState
from so101.arrays import FloatArray
from so101.clock import nanoseconds, seconds
from so101.control.arbiter import MOTION_FINISHED
from so101.control.arm_mode import ArmMode
from so101.control.follower import TrajectoryFollower, Waypoint
from so101.control.trajectory import JointTrajectory
from so101.control.trajectory_goal import Ending, GoalCode, GoalResult, Progress
from so101.episode import ControlSource
from so101.events import ControlEvent

GRANT_NS = nanoseconds(3.0)
"""The arbiter answers within this, on a busy machine, too [ns]."""

SILENCE_NS = nanoseconds(5.0)
"""An arm that is not heard of for so long tells nothing more about the goal [ns]."""

REPORT_NS = nanoseconds(0.05)
"""Progress is told at most so often, in the arm's time [ns]."""


class Stage(Enum):
    """Where a goal is."""

    ASKING = "asking"
    """The arbiter has not passed it on yet."""

    MOVING = "moving"
    """The arm follows it."""

    RESTING = "resting"
    """It ends early, and the arm comes to rest."""

    OVER = "over"
    """Its result was told."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A goal that was judged.

    Attributes:
        motion: Of the whole arm.
        path_rad: How far each joint may be off on the way; inf for no limit. Shape (joints,).
        goal_rad: The same of the end.
        goal_time_ns: Time to get there after the end [ns]; None for no limit.
    """

    motion: JointTrajectory
    path_rad: FloatArray
    goal_rad: FloatArray
    goal_time_ns: int | None


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """What a goal may do.

    Attributes:
        report: Tells the client where it is.
        done: Tells the client what became of it, once.
        rest: Brings the arm to rest, not before a stamp [ns]; returns when it is [ns].
    """

    report: Callable[[Progress], None]
    done: Callable[[GoalResult], None]
    rest: Callable[[int], int]


class Following:
    """Follows one goal. Its motion is to be sent when this was made."""

    def __init__(
        self, order: Order, outlet: Outlet, start: Waypoint, control: ControlEvent, steady_ns: int
    ) -> None:
        """Wait for the arbiter.

        Args:
            order: What is to be done.
            outlet: Whom to tell.
            start: The command in force.
            control: Newest word of the arbiter.
            steady_ns: Steady time [ns].
        """
        self.stage = Stage.ASKING
        self._order = order
        self._outlet = outlet
        self._control = control
        self._has_control = False
        self._sent_ns = self._heard_ns = steady_ns
        self._state: tuple[int, ArmState] | None = None
        self._told_ns: int | None = None
        self._result: GoalResult | None = None
        self._rests_ns = 0
        self._wish = TrajectoryFollower(order.motion.joints)
        self._wish.replace(order.motion, start.stamp_ns, start)

    @property
    def is_over(self) -> bool:
        """Whether its result was told."""
        return self.stage is Stage.OVER

    def on_passed(self, trajectory: JointTrajectory) -> None:
        """Take note of what the arbiter passed on."""
        motion = self._order.motion
        is_ours = (
            trajectory.source == ControlSource.MOTION.value
            and trajectory.stamp_ns == motion.stamp_ns
            and trajectory.times_ns == motion.times_ns
        )
        if self.stage is Stage.ASKING and is_ours:
            self.stage = Stage.MOVING
            self._has_control = self._control.source is ControlSource.MOTION

    def on_control(self, event: ControlEvent) -> None:
        """Take note of who is in control.

        A change of control comes before what passes by it, but on another topic: until a motion
        has control, what is heard is of the time before this goal.
        """
        self._control = event
        if event.source is ControlSource.MOTION:
            self._has_control = self.stage in (Stage.MOVING, Stage.RESTING)
            return
        is_late = event.reason == MOTION_FINISHED and event.stamp_ns < self._order.motion.ends_ns
        if is_late and self.stage is Stage.MOVING:  # said of the motion before this one
            self._has_control = False
        is_lost = self._has_control and event.stamp_ns < self._order.motion.ends_ns
        words = f"{event.source.value} has control: {event.reason}"
        if event.source is ControlSource.ESTOP or is_lost:
            self._end(words)
        elif self.stage is Stage.ASKING and event.is_taken_over:
            self.stop(words)

    def on_arm(self, mode: ArmMode, reason: str) -> None:
        """Take note of the arm's mode."""
        if mode not in (ArmMode.ARMED, ArmMode.HOLDING):
            self._end(f"the arm is {mode.value}: {reason}")

    def on_state(self, stamp_ns: int, state: ArmState, steady_ns: int) -> None:
        """Hold a measurement against where the joints should be.

        Args:
            stamp_ns: Of the measurement [ns].
            state: The arm as measured.
            steady_ns: Steady time [ns].
        """
        self._heard_ns = steady_ns
        if self.stage is Stage.RESTING and stamp_ns >= self._rests_ns:
            self._finish()
        if self.stage is not Stage.MOVING or stamp_ns < self._order.motion.stamp_ns:
            return
        self._state = stamp_ns, state
        desired = self._desired(stamp_ns)
        self._report(stamp_ns, state, desired)
        if stamp_ns < self._order.motion.ends_ns:
            self._check_path(stamp_ns, state, desired)
        else:
            self._check_goal(stamp_ns, state)

    def tick(self, steady_ns: int) -> None:
        """Look whether somebody is silent for too long.

        Time may stand still after the end in simulation: then what was measured last is judged.
        """
        silent_ns = steady_ns - self._heard_ns
        if self.stage is Stage.ASKING and steady_ns - self._sent_ns > GRANT_NS:
            control = self._control
            self.stop(
                f"the arbiter did not let it pass: {control.source.value} has control "
                f"({control.reason or 'no reason given'})"
            )
        elif self.stage is Stage.RESTING and silent_ns > SILENCE_NS:
            self._finish()
        elif self.stage is Stage.MOVING and silent_ns > SILENCE_NS:
            if self._state is not None and self._state[0] >= self._order.motion.ends_ns:
                self._check_goal(*self._state, is_last=True)
            else:
                self.stop(f"joint_states: nothing for {seconds(SILENCE_NS):g} s")

    def stop(
        self,
        words: str,
        code: GoalCode = GoalCode.INVALID_GOAL,
        ending: Ending = Ending.ABORTED,
    ) -> None:
        """Bring the arm to rest where it is, and then tell the result. Once is enough."""
        if self.stage in (Stage.RESTING, Stage.OVER):
            return
        self._result = GoalResult(ending=ending, code=code, words=words)
        self.stage = Stage.RESTING
        self._rests_ns = self._outlet.rest(self._order.motion.stamp_ns)

    def cancel(self) -> None:
        """End it because its client asks for that."""
        self.stop("cancelled: the arm came to rest", GoalCode.SUCCESSFUL, Ending.CANCELED)

    def give_way(self, words: str) -> None:
        """End it because another motion has taken its place already."""
        if self._result is None:
            self._result = GoalResult(
                ending=Ending.ABORTED, code=GoalCode.INVALID_GOAL, words=words
            )
        self._finish()

    def _desired(self, stamp_ns: int) -> FloatArray:
        desired = self._wish.sample(stamp_ns)
        return self._order.motion.positions[-1] if desired is None else desired

    def _report(self, stamp_ns: int, state: ArmState, desired: FloatArray) -> None:
        if self._told_ns is not None and stamp_ns - self._told_ns < REPORT_NS:
            return
        self._told_ns = stamp_ns
        self._outlet.report(
            Progress(
                stamp_ns=stamp_ns,
                elapsed_ns=stamp_ns - self._order.motion.stamp_ns,
                desired=desired,
                actual=state.positions,
                velocities=state.velocities,
            )
        )

    def _check_path(self, stamp_ns: int, state: ArmState, desired: FloatArray) -> None:
        words = self._too_far(np.abs(state.positions - desired), self._order.path_rad)
        if words:
            after_s = seconds(stamp_ns - self._order.motion.stamp_ns)
            self.stop(
                f"off its way after {after_s:.2f} s: {words}", GoalCode.PATH_TOLERANCE_VIOLATED
            )

    def _check_goal(self, stamp_ns: int, state: ArmState, *, is_last: bool = False) -> None:
        order = self._order
        away = np.abs(state.positions - order.motion.positions[-1])
        words = self._too_far(away, order.goal_rad)
        late_ns = stamp_ns - order.motion.ends_ns
        if not words:
            self._result = GoalResult(ending=Ending.SUCCEEDED)
            self._finish()
        elif is_last or (order.goal_time_ns is not None and late_ns >= order.goal_time_ns):
            self._end(
                f"not at its goal {seconds(late_ns):.2f} s after the end: {words}",
                GoalCode.GOAL_TOLERANCE_VIOLATED,
            )

    def _too_far(self, away: FloatArray, most: FloatArray) -> str:
        """Return which joint is too far off, or nothing."""
        over = away - most
        joint = int(over.argmax())
        if over[joint] <= 0.0:
            return ""
        name = self._order.motion.joints[joint]
        return f"{name} by {away[joint]:.3f} rad, at most {most[joint]:g} rad"

    def _end(self, words: str, code: GoalCode = GoalCode.INVALID_GOAL) -> None:
        """End at once: the arm is no longer ours to bring to rest, or it rests already.

        What the arbiter has not ruled on must not pass later: only a newer motion makes it old.
        """
        if self.stage is Stage.ASKING:
            self._outlet.rest(self._order.motion.stamp_ns)
        if self._result is None:
            self._result = GoalResult(ending=Ending.ABORTED, code=code, words=words)
        self._finish()

    def _finish(self) -> None:
        if self.stage is Stage.OVER or self._result is None:
            return
        self.stage = Stage.OVER
        self._outlet.done(self._result)
