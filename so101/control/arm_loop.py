"""One control tick for any arm: read, follow, filter, gate, write. Below every source of goals.

The loop owns the mode (``arm_mode``) and what is followed. It owns no clock and no thread: whoever
paces it calls `ArmLoop.tick` once per control period. Every method may be called from any thread.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so101.arm import Arm, ArmState
from so101.arrays import FloatArray
from so101.control.arm_mode import ArmMode, ArmRequest, next_mode
from so101.control.filters import GoalFilter
from so101.control.follower import TrajectoryFollower, Waypoint
from so101.control.safety import SafetyGate
from so101.control.trajectory import JointTrajectory
from so101.errors import HardwareError, MotionError, TrajectoryError
from so101.events import ERROR, OK, WARN, Event, encode
from so101.robot import RobotSpec

STILL_SPEED = 0.05
"""Below this every joint counts as standing still [rad/s]."""

_LEVELS = {
    ArmMode.DISARMED: OK,
    ArmMode.ARMED: OK,
    ArmMode.HOLDING: OK,
    ArmMode.ESTOPPED: WARN,
    ArmMode.FAULT: ERROR,
}


@dataclass(frozen=True, kw_only=True)
class ArmTick:
    """What one tick did.

    Attributes:
        state: The arm as measured.
        command: The goal in force from this tick on [rad], as the arm took it. Shape (joints,).
        reasons: Why the gate changed the goal; empty when it passed or there was none.
        mode: Mode in force.
    """

    state: ArmState
    command: FloatArray
    reasons: tuple[str, ...]
    mode: ArmMode


class ArmLoop:
    """Follows trajectories with an arm, within the gate's limits.

    Attributes:
        refused: Why trajectories were refused, with counts.
    """

    def __init__(
        self, arm: Arm, spec: RobotSpec, gate: SafetyGate, filters: Sequence[GoalFilter] = ()
    ) -> None:
        """Start disarmed: the first goal is the measured pose, and nothing is followed.

        Args:
            arm: What to read and write.
            spec: The arm's joints.
            gate: The last thing before the arm; the loop is its only user.
            filters: Chain between what is followed and the gate.
        """
        self.refused: Counter[str] = Counter()
        self._arm = arm
        self._gate = gate
        self._filters = tuple(filters)
        self._follower = TrajectoryFollower(spec.joints)
        self._lock = threading.RLock()
        self._mode = ArmMode.DISARMED
        self._reason = "not armed yet"
        self._state: ArmState | None = None
        self._is_silent = False
        self._command: FloatArray | None = None
        self._reasons: tuple[str, ...] = ()
        self._stamp_ns = 0

    @property
    def mode(self) -> ArmMode:
        """Mode in force."""
        return self._mode

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to follow and the goal stands still."""
        with self._lock:
            ends_ns = self._follower.ends_ns
            return self._gate.is_still and (ends_ns is None or ends_ns <= self._stamp_ns)

    def tick(self, stamp_ns: int) -> ArmTick:
        """Run one control period.

        Args:
            stamp_ns: The tick; the command is in force from it on [ns].

        Raises:
            HardwareError: The arm could not even be read once.
        """
        with self._lock:
            self._stamp_ns = stamp_ns
            try:
                self._state = state = self._arm.read_state()
                self._is_silent = False
                if self._mode is not ArmMode.FAULT:
                    self._command = self._arm.write_goal(self._safe_goal(state, stamp_ns))
            except HardwareError as error:
                if self._state is None or self._command is None:
                    raise
                self._is_silent = True
                self._follower.clear()
                self._change(ArmRequest.FAULT, str(error))
                self._reasons = (f"fault: {error}",)
            return ArmTick(
                state=self._state, command=self._known(), reasons=self._reasons, mode=self._mode
            )

    def arm(self) -> None:
        """Allow motion.

        Raises:
            MotionError: The arm is stopped or at fault; it must be recovered first.
        """
        with self._lock:
            if self._mode is ArmMode.DISARMED and self._state is not None:
                self._gate.reset(self._state.positions)
            self._change(ArmRequest.ARM, "armed, nothing to follow")

    def disarm(self) -> None:
        """Come to rest and ignore trajectories until armed again."""
        self._stop(ArmRequest.DISARM, "disarmed")

    def hold(self, reason: str) -> None:
        """Come to rest, and wait for the next trajectory."""
        self._stop(ArmRequest.HOLD, reason)

    def estop(self, reason: str) -> None:
        """Come to rest as fast as the limits allow, and stay so until `recover`."""
        self._stop(ArmRequest.ESTOP, reason)

    def recover(self) -> None:
        """Leave e-stop or fault; the arm must be armed again before it moves.

        Raises:
            MotionError: There is nothing to recover from, the arm still moves or does not answer.
        """
        with self._lock:
            after = next_mode(self._mode, ArmRequest.RECOVER)
            if self._mode is not ArmMode.DISARMED and not self._stands_still():
                raise MotionError("arm: cannot recover while the arm moves or does not answer")
            if self._mode is ArmMode.FAULT and self._state is not None:
                self._gate.reset(self._state.positions)
            self._mode, self._reason = after, "recovered, not armed"

    def reset(self, positions: FloatArray) -> None:
        """Start again at a pose the arm was put to, as a simulation does. The mode stays.

        Args:
            positions: Where the arm is now [rad]. Shape (joints,).
        """
        with self._lock:
            self._follower.clear()
            self._gate.reset(positions)
            self._state = None  # measured before the arm was moved
            self._change(ArmRequest.HOLD, "reset")

    def follow(self, trajectory: JointTrajectory, now_ns: int) -> None:
        """Follow a trajectory from now on.

        Args:
            trajectory: Replaces the present one, smoothly.
            now_ns: The present stamp [ns].

        Raises:
            TrajectoryError: It is refused, whole; `refused` counts it and the old one stays.
        """
        with self._lock:
            try:
                after = next_mode(self._mode, ArmRequest.FOLLOW)
                self._follower.replace(trajectory, now_ns, self._start(now_ns))
            except MotionError as error:
                self.refused[str(error)] += 1
                raise TrajectoryError(str(error)) from error
            except TrajectoryError:
                self.refused["invalid"] += 1
                raise
            self._mode, self._reason = after, "following"

    def state_event(self, stamp_ns: int) -> Event:
        """Return the ``arm/state`` topic's content.

        Args:
            stamp_ns: Its stamp [ns].
        """
        with self._lock:
            values = {
                "reason": self._reason,
                "limits": ", ".join(self._reasons),
                "refused": encode(self.refused.total()),
            }
            return Event(
                stamp_ns=stamp_ns,
                name="arm",
                message=self._mode.value,
                values=values,
                level=_LEVELS[self._mode],
            )

    def _safe_goal(self, state: ArmState, stamp_ns: int) -> FloatArray:
        """Return the goal to write at this tick."""
        goal = self._follower.sample(stamp_ns) if self._mode is ArmMode.ARMED else None
        for change in self._filters if goal is not None else ():
            goal = change(goal, state, stamp_ns)  # type: ignore[arg-type]
        safe = self._gate.apply(goal, state.positions)
        self._reasons = safe.reasons
        ends_ns = self._follower.ends_ns
        if ends_ns is not None and ends_ns <= stamp_ns and self._gate.is_still:
            self.hold("the trajectory ended")
        return safe.positions

    def _start(self, now_ns: int) -> Waypoint | None:
        """Return where a new trajectory sets out: None on the present one, if it is kept to."""
        command = self._gate.command
        if command is None:
            raise TrajectoryError("arm: no tick yet, so there is no command to start from")
        wish = self._follower.sample(self._stamp_ns) if self._mode is ArmMode.ARMED else None
        if wish is not None and command.tolist() == wish.tolist():
            return None
        in_force_ns = now_ns if self._state is None else min(self._stamp_ns, now_ns)
        return Waypoint(stamp_ns=in_force_ns, positions=command, velocities=self._gate.velocities)

    def _stop(self, request: ArmRequest, reason: str) -> None:
        with self._lock:
            self._follower.clear()
            self._change(request, reason)

    def _change(self, request: ArmRequest, reason: str) -> None:
        after = next_mode(self._mode, request)
        if after is not self._mode or request is ArmRequest.ESTOP:
            self._mode, self._reason = after, reason

    def _stands_still(self) -> bool:
        if self._state is None or self._is_silent:
            return False
        is_slow = bool((np.abs(self._state.velocities) < STILL_SPEED).all())
        return is_slow and (self._gate.is_still or self._mode is ArmMode.FAULT)

    def _known(self) -> FloatArray:
        if self._command is None:
            raise HardwareError("arm: no goal was ever written")
        return self._command
