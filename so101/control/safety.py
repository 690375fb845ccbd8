"""The last gate before the servos: every joint goal passes through here, once per tick.

It does not know who sent the goal; that is the arbiter's business. What it promises about the
goals it lets out, for any requests and any measurements:

- They are finite, and never more than ``max_velocity * lead_s`` ahead of a measurement that makes
  sense.
- They stay in range; an arm found outside is led back and never sent further out.
- Steps keep the velocity limit, bends the acceleration limit, changes of the bend the jerk limit
  (``so101.control.limits``; exact finite differences, also where ruckig takes over or hands back).
  Range and limits are each joint's own business (``so101.control.joint_gate``).
  The lead has the last word: on ticks that report it, and the one after a `SafetyGate.reset`,
  acceleration and jerk may be larger, and velocity too if the measurement itself jumped.
- A request that keeps these limits and comes near nothing passes unchanged, to the last bit.
- No pair of parts gets closer than its stop distance, unless it already was; then it may only
  move apart.

A request just out of reach is met a tick later. Towards any other ruckig leads, one step per tick.
Its waypoints are never used: the community wheel would send them to a web service.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.clock import CONTROL_HZ
from so101.control.clearance import CollisionCheck
from so101.control.guard import CollisionGuard
from so101.control.joint_gate import OBJECTIONS, JointGate
from so101.control.leader import Leader
from so101.control.limits import clamp, tick_limits
from so101.errors import HardwareError
from so101.robot import RobotSpec

ABSURD_RAD = np.pi
"""A goal or measurement further than this outside the range is nonsense and not acted on."""


@dataclass(frozen=True, kw_only=True)
class SafeGoal:
    """A goal that may be sent, and why it differs from the request.

    Attributes:
        positions: [rad], read-only. Shape (joints,).
        reasons: Empty when the request passed unchanged.
    """

    positions: FloatArray
    reasons: tuple[str, ...] = ()


class SafetyGate:
    """Lets out one safe goal per tick.

    It computes with plain floats, joint by joint: on six numbers numpy is several times slower.
    """

    def __init__(
        self,
        spec: RobotSpec,
        collision: CollisionCheck | None,
        *,
        period_s: float = 1.0 / CONTROL_HZ,
        lead_s: float = 0.1,
    ) -> None:
        """Make a gate that starts at the first measurement.

        Args:
            spec: Limits of the arm.
            collision: Distances of its parts, or None to check none.
            period_s: Time between two goals [s].
            lead_s: A goal is at most this time ahead of the measurement, at full speed [s].

        Raises:
            ConfigError: The jerk limit is too low for the period (see ``limits.tick_limits``).
        """
        self._spec = spec
        self._period_s = period_s
        self._reach: list[float] = (spec.max_velocity * lead_s).tolist()
        limits = tick_limits(spec, period_s)
        self._joints = [JointGate(of_joint) for of_joint in limits]
        self._leader = Leader(spec, period_s)
        self._guard: CollisionGuard | None = None
        if collision is not None:
            self._guard = CollisionGuard(collision, limits, period_s)
        self._command: FloatArray | None = None

    @property
    def command(self) -> FloatArray | None:
        """The goal in force [rad]; None before the first one."""
        return self._command

    @property
    def velocities(self) -> FloatArray:
        """Velocity of the goal at its stamp [rad/s]. Shape (joints,)."""
        return np.array([(j.step + 0.5 * j.bend) / self._period_s for j in self._joints])

    @property
    def is_still(self) -> bool:
        """Whether the goal does not move."""
        return not any(joint.step for joint in self._joints)

    def reset(self, measured: FloatArray) -> None:
        """Start again from where the arm is, at rest.

        Args:
            measured: Joint positions [rad]. Shape (joints,).

        Raises:
            HardwareError: They are not finite, or far out of range.
        """
        if not self._is_plausible(measured):
            raise HardwareError(f"measured joint positions make no sense: {measured}")
        self._command = frozen(measured)
        for joint, position in zip(self._joints, measured.tolist(), strict=True):
            joint.reset(position)

    def apply(self, goal: FloatArray | None, measured: FloatArray) -> SafeGoal:
        """Return the goal to send now. The first one ever is the measured pose.

        Args:
            goal: Requested joint positions [rad] of shape (joints,); None asks to come to rest
                as fast as the limits allow.
            measured: Joint positions [rad]. Shape (joints,).

        Raises:
            HardwareError: The very first measurement makes no sense.
        """
        if self._command is None:
            self.reset(measured)
            return SafeGoal(positions=frozen(measured), reasons=("first goal",))
        reasons: list[str] = []
        wish = self._accept(goal, reasons)
        positions = self._brake() if wish is None else self._follow(wish, reasons)
        return self._let_out(positions, measured, reasons)

    def _accept(self, goal: FloatArray | None, reasons: list[str]) -> list[float] | None:
        """Return the request within the range, or None when there is none worth following."""
        if goal is None:
            return None
        spec = self._spec
        if goal.shape != spec.lower.shape:
            reasons.append(f"goal has shape {goal.shape}, need {spec.lower.shape}")
            return None
        wish: list[float] = goal.tolist()
        if all(map(JointGate.is_far_inside, self._joints, wish)):
            return wish
        if not np.isfinite(goal).all():
            reasons.append("non-finite goal")
            return None
        in_range = np.minimum(np.maximum(goal, spec.lower), spec.upper)
        is_absurd = np.abs(in_range - goal) > ABSURD_RAD
        if is_absurd.any():
            self._note(reasons, "absurd goal", is_absurd)
            return None
        self._note(reasons, "range", in_range != goal)
        return list(in_range.tolist())

    def _is_plausible(self, measured: FloatArray) -> bool:
        low, high = self._spec.lower - ABSURD_RAD, self._spec.upper + ABSURD_RAD
        return bool(((measured >= low) & (measured <= high)).all())  # NaN is not

    def _brake(self) -> list[float]:
        """Return where to be next to come to rest soonest; whatever was asked for is lost."""
        for joint in self._joints:
            joint.lose()
        return [joint.after(joint.braking_step()) for joint in self._joints]

    def _follow(self, wish: list[float], reasons: list[str]) -> list[float]:
        """Return the request, or where to be next to get there within the limits."""
        objections = list(map(JointGate.objections, self._joints, wish))
        is_late = [bool(found) for found in objections]
        steps = [to - joint.command for to, joint in zip(wish, self._joints, strict=True)]
        if any(is_late):
            for what in OBJECTIONS:
                self._note(reasons, what, [what in found for found in objections])
            nearer = self._approach(wish)
            steps = [nearer[i] if late else steps[i] for i, late in enumerate(is_late)]
        shorter = self._keep_apart(steps, reasons)
        if shorter is not steps:
            is_late = [is_late[i] or shorter[i] != step for i, step in enumerate(steps)]
        return list(map(JointGate.ask, self._joints, wish, is_late, shorter))

    def _approach(self, wish: list[float]) -> list[float]:
        """Return the steps towards a request that cannot be met at once.

        One that is only just out of reach is met a tick later; towards any other ruckig leads.
        """
        joints = self._joints
        near = list(map(JointGate.nearest_step, joints, wish))
        goal_steps = list(map(JointGate.goal_step, joints, wish))
        is_far = list(map(JointGate.is_far, joints, wish, goal_steps, near))
        if not any(is_far):
            return near
        command, last = [joint.command for joint in joints], [joint.step for joint in joints]
        led = self._leader.lead(command, last, wish, goal_steps)
        if led is None:
            return [joint.braking_step() for joint in joints]
        return [
            joint.step_towards(to) if far else step
            for joint, to, far, step in zip(joints, led, is_far, near, strict=True)
        ]

    def _keep_apart(self, steps: list[float], reasons: list[str]) -> list[float]:
        """Return the steps, or shorter ones when parts would come too close."""
        if self._guard is None or not any(steps):
            return steps
        shorter, pair = self._guard.shorten(
            [joint.command for joint in self._joints],
            steps,
            [joint.step for joint in self._joints],
            [joint.bend for joint in self._joints],
        )
        if pair is not None:
            reasons.append(f"collision: {pair[0]} - {pair[1]}")
        return shorter

    def _let_out(
        self, positions: list[float], measured: FloatArray, reasons: list[str]
    ) -> SafeGoal:
        """Keep a goal near the measurement, remember and return it."""
        around: list[float] = measured.tolist()
        is_ahead = [
            not here - reach <= to <= here + reach  # also where the measurement is not a number
            for to, here, reach in zip(positions, around, self._reach, strict=True)
        ]
        if any(is_ahead) and not self._is_plausible(measured):
            reasons.append("measurement makes no sense")
            is_ahead = [False] * len(is_ahead)
        if any(is_ahead):
            self._note(reasons, "lead", is_ahead)
            positions = [
                clamp(to, here - reach, here + reach)
                for to, here, reach in zip(positions, around, self._reach, strict=True)
            ]
        for joint, to, ahead in zip(self._joints, positions, is_ahead, strict=True):
            joint.drag(to) if ahead else joint.move(to)
        self._command = frozen(positions)
        return SafeGoal(positions=self._command, reasons=tuple(reasons))

    def _note(self, reasons: list[str], what: str, which: Iterable[bool]) -> None:
        names = ", ".join(n for n, hit in zip(self._spec.joints, which, strict=True) if hit)
        if names:
            reasons.append(f"{what}: {names}")
