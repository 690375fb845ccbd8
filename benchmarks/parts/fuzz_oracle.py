"""What a servo goal must be, whoever asked for it: the judge of the fuzzed chunks.

It knows the robot's limits and the servo's ticks, and nothing of the code that it judges: it sees
the bytes on the servo bus, converts them by its own formula and remembers the last three goals.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.robot import GRIPPER, RobotSpec
from so101.servos.calibration import Calibration

PERIOD_S = 1.0 / 60.0
LEAD_S = 0.1
JAW_RAD = (-0.174533, 1.74533)
"""The gripper's calibrated range is the URDF's, however many ticks it has [rad]."""

ROUNDING = 0.5
"""A goal is rounded to the nearest tick."""


@dataclass
class Margins:
    """How near to its limits the path came, as shares of them: 1 is the limit, nan nothing seen.

    Attributes:
        velocity: Largest.
        acceleration: Largest where the lead had no say.
        lead: Largest.
        travelled: Sum of all joints' ways [rad].
    """

    velocity: float = 0.0
    acceleration: float = 0.0
    lead: float = 0.0
    travelled: float = 0.0


@dataclass
class Oracle:
    """Judges one goal after the other.

    Attributes:
        spec: The robot's limits; no goal may be outside its range.
        calibration: Whose file says what a tick is.
        margins: How near it came so far.
        exempt: Joints whose acceleration was not judged, as the lead had the last word.
    """

    spec: RobotSpec
    calibration: Calibration
    margins: Margins = field(default_factory=Margins)
    exempt: int = 0

    def __post_init__(self) -> None:
        """Work out the ticks' meaning from the calibration file's numbers."""
        joints = self.calibration.joints
        low = np.array([joint.range_min for joint in joints], dtype=np.float64)
        high = np.array([joint.range_max for joint in joints], dtype=np.float64)
        self._scale = np.full(len(joints), 2.0 * math.pi / 4095.0)
        self._zero = (low + high) / 2.0
        jaw_low, jaw_high = JAW_RAD
        self._scale[GRIPPER] = (jaw_high - jaw_low) / (high[GRIPPER] - low[GRIPPER])
        self._zero[GRIPPER] = low[GRIPPER] - jaw_low / self._scale[GRIPPER]
        self._tick = self._scale * ROUNDING + 1e-9
        self._goals: list[FloatArray] = []
        self._at_lead: list[FloatArray] = []
        self._armed_at: FloatArray | None = None

    def to_rad(self, ticks: IntArray) -> FloatArray:
        """Convert ticks to joint positions [rad]. Shape (joints,)."""
        return (ticks - self._zero) * self._scale

    def begin(self, measured_ticks: IntArray) -> None:
        """Expect the next goal to be where the arm was as a person switched it on.

        Args:
            measured_ticks: What the servos said last. A loose arm moves on until the goal comes.
        """
        self._goals, self._at_lead = [], []
        self._armed_at = self.to_rad(measured_ticks)

    def judge(self, goal_ticks: IntArray, measured_ticks: IntArray) -> list[str]:
        """Return what is wrong with a goal; mostly nothing.

        Args:
            goal_ticks: As sent to the servos. Shape (joints,).
            measured_ticks: As the servos said before in the same tick. Shape (joints,).
        """
        goal, measured = self.to_rad(goal_ticks), self.to_rad(measured_ticks)
        found: list[str] = []
        if not np.isfinite(goal).all() or (goal_ticks < 0).any() or (goal_ticks > 4095).any():
            found.append(f"no goal at all: {goal_ticks.tolist()}")
        self._expect(found, "outside the range", goal, self.spec.lower, self.spec.upper)
        lead = self.spec.max_velocity * LEAD_S
        self._expect(found, "too far ahead", goal - measured, -lead, lead)
        self.margins.lead = max(self.margins.lead, float((np.abs(goal - measured) / lead).max()))
        self._at_lead = [*self._at_lead[-2:], np.abs(goal - measured) >= lead - 4.0 * self._tick]
        self._judge_motion(found, goal, measured)
        self._goals = [*self._goals[-2:], goal]
        return found

    def _judge_motion(self, found: list[str], goal: FloatArray, measured: FloatArray) -> None:
        step_limit = self.spec.max_velocity * PERIOD_S
        if not self._goals:
            near = step_limit + self._tick
            began = measured if self._armed_at is None else self._armed_at
            self._expect(found, "no beginning where it is", goal - began, -near, near)
            return
        step = goal - self._goals[-1]
        self._expect(found, "too fast", step, -step_limit, step_limit, roundings=2)
        self.margins.velocity = max(
            self.margins.velocity, float((np.abs(step) / step_limit).max())
        )
        self.margins.travelled += float(np.abs(step).sum())
        if len(self._goals) < 2:
            return
        bend_limit = self.spec.max_acceleration * PERIOD_S**2
        is_free = ~np.any(self._at_lead, axis=0)
        self.exempt += int((~is_free).sum())
        bend = np.where(is_free, step - (self._goals[-1] - self._goals[-2]), 0.0)
        self._expect(found, "too hard", bend, -bend_limit, bend_limit, roundings=4)
        self.margins.acceleration = max(
            self.margins.acceleration, float((np.abs(bend) / bend_limit).max())
        )

    def _expect(
        self,
        found: list[str],
        what: str,
        values: FloatArray,
        low: FloatArray,
        high: FloatArray,
        *,
        roundings: int = 1,
    ) -> None:
        room = roundings * self._tick
        for joint in np.flatnonzero(~((values >= low - room) & (values <= high + room))):
            name, bounds = self.spec.joints[joint], (float(low[joint]), float(high[joint]))
            found.append(f"{what}: {name}: {float(values[joint])!r}, allowed {bounds}")
