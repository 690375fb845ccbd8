"""Leads the follower by a leader arm. Pure.

A takeover by a leader: it is driven to the follower's pose, slowly and with torque, and stands
there until the person moves it by hand; from then on it is limp and the follower goes with it, at
first slowly. A leader without torque is waited for until it is near the follower instead.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from so101.arrays import FloatArray
from so101.control.trajectory import JointTrajectory
from so101.devices.leader_arm import LeaderArm
from so101.errors import HardwareError
from so101.robot import RobotSpec
from teleop_node.guide import PERIOD_S, ArmNow, wish_trajectory

LEAD_TICKS = 1
SOFT_STEP_RAD, SOFT_TICKS = 0.01, 60
"""The follower's largest step right after a takeover [rad], and the ticks in which it grows.

Half of 0.02: a message that is a tick late makes two steps one.
"""

_STALLED_RAD = 0.3


@dataclass(frozen=True, kw_only=True)
class LeaderRules:
    """How a leader takes over.

    Attributes:
        is_driven: It has torque and is driven to the follower.
        drive_speed: Of its joints on the way [rad/s].
        near: It counts as aligned within this of the follower [rad].
        push: So far a person moves it off its pose to have it let go [rad].
        follow_speed: Largest speed of the follower's joints [rad/s].
    """

    is_driven: bool = True
    drive_speed: float = 0.5
    near: float = 0.05
    push: float = 0.08
    follow_speed: float = 2.5


class Phase(str, Enum):
    """What the leader does."""

    FREE = "free"
    """Nobody asked for it: limp, and not followed."""

    DRIVEN = "driven"
    """On its way to the follower's pose."""

    READY = "ready"
    """At the follower's pose, with torque, until a hand moves it."""

    AWAITED = "awaited"
    """Limp; a person is to bring it near the follower."""

    FOLLOWED = "followed"
    """Limp, and the follower goes where it goes."""


class LeaderGuide:
    """One leader arm."""

    def __init__(self, arm: LeaderArm, spec: RobotSpec, rules: LeaderRules | None = None) -> None:
        """Take the arm; it is not touched yet."""
        self._arm, self._spec, self._rules = arm, spec, rules or LeaderRules()
        self._phase = Phase.FREE
        self._problem = self._off = ""
        self._wish: FloatArray | None = None
        self._goal: FloatArray | None = None
        self._followed_ticks = 0

    @property
    def phase(self) -> Phase:
        """What the leader does."""
        return self._phase

    @property
    def problem(self) -> str:
        """Why the leader cannot be used, or empty."""
        return self._problem

    @property
    def hint(self) -> str:
        """What the person has to do before the arm follows, or empty."""
        return {
            Phase.FREE: "",
            Phase.DRIVEN: f"the leader comes to the follower's pose: {self._off}",
            Phase.READY: "hold the leader and move it a little: then it is let go",
            Phase.AWAITED: f"bring the leader near the follower: {self._off}",
            Phase.FOLLOWED: "",
        }[self._phase]

    def asks(self) -> tuple[str, ...]:
        """Return nothing: a leader has no buttons."""
        return ()

    def close(self) -> None:
        """Let the leader go."""
        self._arm.close()

    def step(self, now: ArmNow) -> JointTrajectory | None:
        """Return what the follower is to do, or None while it does not follow."""
        try:
            at = self._read()
            self._move_on(at, now)
        except HardwareError as error:
            self._problem, self._phase = str(error), Phase.FREE
            self._wish = self._goal = None
            return None
        self._problem = ""
        return self._follow(at, now) if self._phase is Phase.FOLLOWED else None

    def _read(self) -> FloatArray:
        at = np.asarray(self._arm.read(), dtype=np.float64)
        if at.shape != self._spec.lower.shape or not np.isfinite(at).all():
            raise HardwareError(f"leader: positions make no sense: {at}")
        return at

    def _move_on(self, at: FloatArray, now: ArmNow) -> None:
        """Go from phase to phase."""
        if not now.may_act:
            if self._phase is not Phase.FREE:
                self._let_go(Phase.FREE)
        elif self._phase is Phase.FREE:
            self._goal = at
            self._is_near(at, now.command)
            self._phase = Phase.DRIVEN if self._rules.is_driven else Phase.AWAITED
        elif self._phase is Phase.DRIVEN:
            self._drive(at, now.command)
        elif self._phase is Phase.READY:
            self._wait_for_a_hand(at, now.command)
        elif self._phase is Phase.AWAITED and self._is_near(at, now.command):
            self._let_go(Phase.FOLLOWED)

    def _drive(self, at: FloatArray, command: FloatArray) -> None:
        most = self._rules.drive_speed * PERIOD_S
        goal = at if self._goal is None else self._goal
        goal = goal + np.clip(command - goal, -most, most)
        self._goal = np.clip(goal, at - _STALLED_RAD, at + _STALLED_RAD)
        self._arm.hold(self._goal)
        is_near = self._is_near(at, command)
        if is_near and np.abs(self._goal - command).max() < 1e-9:
            self._phase = Phase.READY

    def _wait_for_a_hand(self, at: FloatArray, command: FloatArray) -> None:
        if np.abs(at - command).max() > self._rules.push:
            self._let_go(Phase.FOLLOWED)
        else:
            self._arm.hold(command)

    def _let_go(self, phase: Phase) -> None:
        self._arm.let_go()
        self._phase, self._goal, self._wish, self._followed_ticks = phase, None, None, 0

    def _is_near(self, at: FloatArray, command: FloatArray) -> bool:
        off = np.abs(at - command)
        worst = int(off.argmax())
        self._off = f"{self._spec.joints[worst]} is {off[worst]:.2f} rad away"
        return bool(off[worst] <= self._rules.near)

    def _follow(self, at: FloatArray, now: ArmNow) -> JointTrajectory | None:
        """Go towards the leader's pose, first from the command in force and slowly."""
        lower, upper = self._spec.lower, self._spec.upper
        before = np.clip(now.command if self._wish is None else self._wish, lower, upper)
        if now.has_control:
            most = self._largest_step()
            self._wish = before + np.clip(np.clip(at, lower, upper) - before, -most, most)
            self._followed_ticks += 1
        elif now.is_still:
            before = np.clip(now.command, lower, upper)
            self._wish, self._followed_ticks = before, 0
        else:
            self._wish = None
            return None
        return wish_trajectory(
            now, self._wish, self._wish - before, self._spec, lead_ticks=LEAD_TICKS
        )

    def _largest_step(self) -> float:
        """Return how far the follower may go in this tick [rad]."""
        full = self._rules.follow_speed * PERIOD_S
        share = min(1.0, self._followed_ticks / SOFT_TICKS)
        return min(full, SOFT_STEP_RAD) * (1.0 - share) + full * share
