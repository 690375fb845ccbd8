"""Which trajectory goals are begun, and as which motion of the whole arm. Pure.

A goal comes from outside, such as MoveIt: the arm may stand elsewhere by now, and nobody has
looked at it with this arm's limits. What is refused is refused whole, in words and with the
action's code.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.clock import seconds
from so101.control.arm_mode import ArmMode
from so101.control.follower import MAX_EARLY_NS, MAX_LATE_NS
from so101.control.trajectory import JointTrajectory, validate
from so101.control.trajectory_goal import GoalCode, GoalRefusedError
from so101.episode import ControlSource, EpisodeState
from so101.errors import MotionError, TrajectoryError
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import GRIPPER, RobotSpec

ROUNDING_RAD = 1e-3
"""Points this far beyond a joint's end are taken to be at it [rad]."""

FASTER = 1.01
"""Times are rounded, so a motion at the limit may seem to be faster than it by this factor."""

AT_REST_RAD_S = 1e-3
"""Slower than this is standing still [rad/s]."""

CheckWay = Callable[[FloatArray, FloatArray], None]
"""Raises `MotionError` when something comes too close between a pose and points after it."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Judges trajectory goals.

    Attributes:
        spec: The arm.
        start_rad: How far from the command in force a motion may begin [rad].
        check_way: Looks for collisions; None for none.
    """

    spec: RobotSpec
    start_rad: float
    check_way: CheckWay | None = None

    def judge(self, wanted: JointTrajectory, command: FloatArray, now_ns: int) -> JointTrajectory:
        """Return the motion of the whole arm that a goal asks for.

        Args:
            wanted: The goal, of some joints in any order. Stamp 0 means now.
            command: The command in force [rad]. Shape (joints,). Joints that the goal does not
                name stay there.
            now_ns: The present stamp [ns].

        Raises:
            GoalRefusedError: It breaks a rule; words and code say which.
        """
        joints = self._known(wanted.joints)
        try:
            validate(wanted, wanted.joints)
        except TrajectoryError as error:
            raise GoalRefusedError(str(error)) from error
        first = self._first(wanted, now_ns)
        columns = [self.spec.joints.index(joint) for joint in joints]
        positions = np.tile(np.asarray(command, dtype=np.float64), (len(wanted.times_ns), 1))
        positions[:, columns] = wanted.positions
        velocities = None
        if wanted.velocities is not None:
            velocities = np.zeros_like(positions)
            velocities[:, columns] = wanted.velocities
        whole = JointTrajectory(
            stamp_ns=wanted.stamp_ns or now_ns,
            joints=self.spec.joints,
            times_ns=wanted.times_ns,
            positions=frozen(np.clip(positions, self.spec.lower, self.spec.upper)),
            velocities=None if velocities is None else frozen(velocities),
        )
        self._check_range(positions[first:])
        self._check_start(whole, command, first, now_ns)
        self._check_speed(whole, first)
        self._check_collisions(whole, command, first)
        return whole

    def _known(self, joints: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [joint for joint in joints if joint not in self.spec.joints]
        if unknown or not joints or len(set(joints)) < len(joints):
            kind = f"unknown: {', '.join(unknown)}" if unknown else "none, or one twice"
            raise GoalRefusedError(
                f"joints: {kind}; this arm has {', '.join(self.spec.joints)}",
                GoalCode.INVALID_JOINTS,
            )
        return joints

    def _first(self, wanted: JointTrajectory, now_ns: int) -> int:
        """Return the number of the first point that is still to come."""
        since_ns = now_ns - wanted.stamp_ns if wanted.stamp_ns else 0
        to_come = [i for i, time_ns in enumerate(wanted.times_ns) if time_ns > since_ns]
        if since_ns > MAX_LATE_NS or (wanted.stamp_ns and not to_come):
            raise GoalRefusedError(
                f"its start was {seconds(since_ns):.3f} s ago; stamp 0 starts now",
                GoalCode.OLD_HEADER_TIMESTAMP,
            )
        if -since_ns > MAX_EARLY_NS:
            raise GoalRefusedError(
                f"it starts in {seconds(-since_ns):.3f} s, at most {seconds(MAX_EARLY_NS):g} s "
                "are waited: is its clock the arm's?"
            )
        if not to_come:
            raise GoalRefusedError("its only point is due at once: give it a time_from_start")
        return to_come[0]

    def _check_range(self, positions: FloatArray) -> None:
        beyond = np.maximum(self.spec.lower - positions, positions - self.spec.upper)
        point, joint = np.unravel_index(int(beyond.argmax()), beyond.shape)
        if beyond[point, joint] > ROUNDING_RAD:
            raise GoalRefusedError(
                f"{self.spec.joints[joint]}={positions[point, joint]:.4f} rad is outside "
                f"{self.spec.lower[joint]:.4f}..{self.spec.upper[joint]:.4f}"
            )

    def _check_start(
        self, whole: JointTrajectory, command: FloatArray, first: int, now_ns: int
    ) -> None:
        """Refuse a motion that begins elsewhere.

        A gripper that holds something is never where it is told to be, so it may begin anywhere.
        """
        is_now = whole.stamp_ns >= now_ns
        for number in {0 if is_now else first, first}:
            ahead_ns = max(0, whole.stamp_ns + whole.times_ns[number] - now_ns)
            away = np.abs(whole.positions[number] - command)
            away[GRIPPER] = 0.0
            over = away - self.start_rad - self.spec.max_velocity * seconds(ahead_ns)
            joint = int(over.argmax())
            if over[joint] > 0.0:
                raise GoalRefusedError(
                    f"it begins elsewhere: {self.spec.joints[joint]} should be {away[joint]:.3f} "
                    f"rad from where it is commanded, {seconds(ahead_ns):.3f} s from now; at most "
                    f"{self.start_rad} rad and what the speed limit allows: plan from the present "
                    "state"
                )

    def _check_speed(self, whole: JointTrajectory, first: int) -> None:
        most = self.spec.max_velocity * FASTER
        rates = np.abs(np.diff(whole.positions[first:], axis=0))
        rates /= np.diff(np.array(whole.times_ns[first:], dtype=np.float64))[:, None] * 1e-9
        if whole.velocities is not None:
            rates = np.concatenate([rates, np.abs(whole.velocities[first:])])
            last = np.abs(whole.velocities[-1])
            if last.max() > AT_REST_RAD_S:
                name = self.spec.joints[int(last.argmax())]
                raise GoalRefusedError(f"{name} would still move at its end")
        if len(rates) and (rates > most).any():
            joint = int((rates / most).max(axis=0).argmax())
            raise GoalRefusedError(
                f"{self.spec.joints[joint]} would move at {rates[:, joint].max():.2f} rad/s; at "
                f"most {self.spec.max_velocity[joint]:.2f} are allowed"
            )

    def _check_collisions(self, whole: JointTrajectory, command: FloatArray, first: int) -> None:
        if self.check_way is None:
            return
        try:
            self.check_way(command, whole.positions[first:])
        except MotionError as error:
            raise GoalRefusedError(str(error)) from error


def objection(
    control: ControlEvent | None,
    mode: ArmMode | None,
    reason: str,
    episode: EpisodeEvent | None,
) -> str:
    """Return why nobody's goal may be begun now; empty when it may.

    Args:
        control: Newest word of the arbiter.
        mode: Of the arm, None when it was not heard of.
        reason: Of that mode.
        episode: Newest word of the session.
    """
    if mode is None or control is None:
        silent = "arm/state" if mode is None else "control_source"
        return f"{silent}: nothing has arrived yet"
    if mode not in (ArmMode.ARMED, ArmMode.HOLDING):
        return f"the arm is {mode.value}: {reason}"
    if control.is_taken_over:
        return "a person has taken over; intervention/release gives control back"
    if episode is not None and episode.state in (EpisodeState.RESETTING, EpisodeState.RUNNING):
        return f"episode {episode.facts.id} is {episode.state.value}: it is its source's to act in"
    if control.source not in (ControlSource.HOLD, ControlSource.MOTION):
        return f"{control.source.value} has control"
    return ""
