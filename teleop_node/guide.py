"""What every hand-held device comes down to: one short trajectory per control tick. Pure.

The trajectory reaches the wished pose a tick or two from now and rests one tick later. So an arm
that hears nothing more stands still at once; nothing is carried on.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.clock import CONTROL_HZ
from so101.control.trajectory import JointTrajectory, tick_times
from so101.episode import ControlSource, EpisodeState
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import RobotSpec

PERIOD_S = 1.0 / CONTROL_HZ
STILL_RAD = 1e-3
"""A command that moves less than this in a tick stands still [rad]."""

_REST_TICKS = 2


@dataclass(frozen=True, kw_only=True)
class ArmNow:
    """What a guide is told at each control tick.

    Attributes:
        stamp_ns: The tick, on the arm's clock [ns].
        command: Joint command in force [rad]. Shape (joints,).
        now_ns: The same moment on this process's own clock, which only runs forward [ns].
        may_act: Whether teleoperation is asked for: a takeover, or a demonstration.
        has_control: Whether it has control already. Until then a guide offers to stay.
        is_still: Whether the command stands still; a takeover begins from rest.
    """

    stamp_ns: int
    command: FloatArray
    now_ns: int
    may_act: bool = True
    has_control: bool = True
    is_still: bool = True


class ArmWatch:
    """Follows the arm, who controls it and what is being recorded."""

    def __init__(self) -> None:
        """Begin with nobody in control."""
        self._control = ControlEvent(stamp_ns=0, source=ControlSource.HOLD)
        self._is_demonstration = False
        self._command: FloatArray | None = None

    @property
    def has_control(self) -> bool:
        """Whether teleoperation has control."""
        return self._control.source is ControlSource.TELEOP

    @property
    def may_act(self) -> bool:
        """Whether teleoperation is asked for."""
        if self._control.source is ControlSource.ESTOP:
            return False
        return self._control.is_taken_over or self._is_demonstration

    def on_control(self, event: ControlEvent) -> None:
        """Take note of who is in control."""
        self._control = event

    def on_episode(self, event: EpisodeEvent) -> None:
        """Take note of an episode: teleoperation acts in its own without being asked."""
        is_own = event.facts.source == ControlSource.TELEOP.value
        self._is_demonstration = is_own and event.state is EpisodeState.RUNNING

    def on_command(self, stamp_ns: int, command: FloatArray, now_ns: int) -> ArmNow:
        """Return what a guide is told at this tick."""
        before, self._command = self._command, command
        is_still = before is not None and bool(np.abs(command - before).max() < STILL_RAD)
        return ArmNow(
            stamp_ns=stamp_ns,
            command=command,
            now_ns=now_ns,
            may_act=self.may_act,
            has_control=self.has_control,
            is_still=is_still,
        )


class Guide(Protocol):
    """Turns what a person does into trajectories."""

    @property
    def problem(self) -> str:
        """Why nothing can be done with the device, or empty."""
        ...

    @property
    def hint(self) -> str:
        """What the person has to do before the arm follows, or empty."""
        ...

    def step(self, now: ArmNow) -> JointTrajectory | None:
        """Return what the arm is to do, or None."""
        ...

    def asks(self) -> tuple[str, ...]:
        """Return the services that the person has asked for since the last call, in order."""
        ...


def wish_trajectory(
    now: ArmNow, wish: FloatArray, step: FloatArray, spec: RobotSpec, *, lead_ticks: int
) -> JointTrajectory:
    """Return the trajectory of one wish.

    Args:
        now: When it was wished.
        wish: Where the joints are to be soon [rad]. Shape (joints,).
        step: How far they moved to get there, in one tick [rad]. Shape (joints,).
        spec: Joints and their range.
        lead_ticks: Control ticks from now to then.
    """
    times_ns = tick_times(now.stamp_ns, lead_ticks + _REST_TICKS)
    rest = np.clip(wish + step, spec.lower, spec.upper)
    return JointTrajectory(
        stamp_ns=now.stamp_ns,
        joints=spec.joints,
        times_ns=(times_ns[lead_ticks - 1], times_ns[-1]),
        positions=frozen(np.stack((wish, rest))),
        velocities=frozen(np.stack((step * CONTROL_HZ, np.zeros_like(step)))),
    )
