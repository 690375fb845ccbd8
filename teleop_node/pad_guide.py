"""Leads the tool by a gamepad or the keyboard. Pure.

Nothing moves unless the dead man's button is held. When the pad is lost or silent, the button must
be seen released before it counts again, so that no last value lives on.
"""

import numpy as np

from so101.arrays import FloatArray
from so101.clock import seconds
from so101.control.trajectory import JointTrajectory
from so101.devices.pad_layout import PadReader, PadReading
from so101.devices.sticks import Sticks
from so101.kinematics.tool_motion import ToolMotion
from so101.robot import RobotSpec
from teleop_node.guide import PERIOD_S, ArmNow, wish_trajectory

LEAD_TICKS = 2
SOFT_TICKS = 20
"""Speeds grow to their full size within so many ticks, so that no late message makes a jump."""

FURTHEST_AHEAD_RAD = 0.05
"""The wish is at most this far from the command, which something may hold up [rad]."""


class PadGuide:
    """One pad and the pose that it wishes for."""

    def __init__(
        self, reader: PadReader, motion: ToolMotion, spec: RobotSpec, *, silence_ns: int | None
    ) -> None:
        """Begin without a pad.

        Args:
            reader: Knows what sticks and buttons mean.
            motion: Moves the tool.
            spec: Joints and their range.
            silence_ns: A pad that was silent this long is lost [ns]; None for one whose loss is
                told.
        """
        self._reader, self._motion, self._spec = reader, motion, spec
        self._silence_ns = silence_ns
        self._problem = "no gamepad yet"
        self._reading: PadReading | None = None
        self._heard_ns = 0
        self._is_armed = False
        self._wish: FloatArray | None = None
        self._ticks = 0
        self._asked: list[str] = []

    @property
    def problem(self) -> str:
        """Why the pad cannot be used, or empty."""
        return self._problem

    @property
    def hint(self) -> str:
        """What the person has to do before the arm follows, or empty."""
        return "" if self._wish is not None else "hold the dead man's button to move the arm"

    def on_sticks(self, sticks: Sticks, now_ns: int) -> None:
        """Take a reading of the pad.

        Args:
            sticks: The reading.
            now_ns: When it arrived, on this process's clock [ns].
        """
        before, reading = self._reading, self._reader.read(sticks)
        if before is not None:
            if reading.take_over and not before.take_over:
                self._asked.append("intervention/take_over")
            if reading.release and not before.release:
                self._asked.append("intervention/release")
        self._is_armed |= reading.is_let_go
        self._reading, self._heard_ns, self._problem = reading, now_ns, ""

    def lose(self, reason: str) -> None:
        """Forget the pad: it is gone."""
        self._problem = reason
        self._reading = self._wish = None
        self._is_armed = False

    def check(self, now_ns: int) -> None:
        """Look whether the pad fell silent."""
        if self._silence_ns is None or self._reading is None:
            return
        silent_ns = now_ns - self._heard_ns
        if silent_ns > self._silence_ns:
            self.lose(f"the gamepad was silent for {seconds(silent_ns):.3f} s")

    def step(self, now: ArmNow) -> JointTrajectory | None:
        """Return what the arm is to do, or None while the dead man's button is not held."""
        self.check(now.now_ns)
        reading = self._reading
        if reading is None or not (now.may_act and self._is_armed and reading.dead_man):
            self._wish = None
            return None
        if not now.has_control:
            self._wish, self._ticks = None, 0
            stay = np.clip(now.command, self._spec.lower, self._spec.upper)
            return self._send(now, stay, stay) if now.is_still else None
        before = self._near(now.command)
        self._ticks = 1 if self._wish is None else self._ticks + 1
        wish = reading.wish.scaled(min(1.0, self._ticks / SOFT_TICKS))
        self._wish = self._motion.step(before, wish, PERIOD_S)
        return self._send(now, before, self._wish)

    def _send(self, now: ArmNow, before: FloatArray, wish: FloatArray) -> JointTrajectory:
        return wish_trajectory(now, wish, wish - before, self._spec, lead_ticks=LEAD_TICKS)

    def asks(self) -> tuple[str, ...]:
        """Return the services that were asked for by button since the last call."""
        asked, self._asked = tuple(self._asked), []
        return asked

    def _near(self, command: FloatArray) -> FloatArray:
        """Return the wish so far, not far from the command; at first the command."""
        if self._wish is None:
            return np.clip(command, self._spec.lower, self._spec.upper)
        ahead = FURTHEST_AHEAD_RAD
        return np.clip(self._wish, command - ahead, command + ahead)
