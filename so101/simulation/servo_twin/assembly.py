"""How the twin's arm was put together and calibrated: where the encoders' ticks are, as data."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.robot import GRIPPER, JOINTS, so101
from so101.servos import registers as reg
from so101.servos.registers import RAD_PER_TICK, Register

MIDDLE = 2047
"""LeRobot's calibration makes this the position of a joint's middle [ticks]."""
_FULL_TURN = JOINTS.index("wrist_roll")


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """Where each servo's horn was screwed on.

    Attributes:
        offsets: Encoder at a joint's middle, minus `MIDDLE` [ticks]. Shape (joints,).
        is_calibrated: LeRobot's calibration is in the EEPROMs: homing offsets and limits.
    """

    offsets: tuple[int, ...] = (310, -420, 655, -150, 90, -580)
    is_calibrated: bool = True

    @property
    def middles(self) -> FloatArray:
        """Joint positions that LeRobot's calibration calls the middle [rad]. Shape (joints,).

        Zero for the body; the gripper's zero is a closed jaw, its middle is half open.
        """
        spec = so101()
        middles = np.zeros(len(JOINTS))
        middles[GRIPPER] = 0.5 * (spec.lower[GRIPPER] + spec.upper[GRIPPER])
        return frozen(middles)

    def encoders(self, positions: FloatArray) -> FloatArray:
        """Return what the encoders measure, not rounded [ticks]. Shape (joints,)."""
        ticks = (positions - self.middles) / RAD_PER_TICK
        encoders: FloatArray = ticks + MIDDLE + np.array(self.offsets)
        return encoders

    def memory(self, joint: int) -> dict[Register, int]:
        """Return what differs from the shipped registers in a joint's servo."""
        values = {reg.ID: joint + 1}
        if self.is_calibrated:
            lowest, highest = self._range(joint)
            values[reg.HOMING_OFFSET] = self.offsets[joint]
            values[reg.MIN_POSITION_LIMIT] = lowest
            values[reg.MAX_POSITION_LIMIT] = highest
        return values

    def write_calibration(self, path: Path) -> None:
        """Write the calibration as LeRobot does, for whoever drives the twin."""
        rows = {}
        for joint, name in enumerate(JOINTS):
            lowest, highest = self._range(joint)
            rows[name] = {
                "id": joint + 1,
                "drive_mode": 0,
                "homing_offset": self.offsets[joint],
                "range_min": lowest,
                "range_max": highest,
            }
        path.write_text(json.dumps(rows, indent=4) + "\n", encoding="utf-8")

    def _range(self, joint: int) -> tuple[int, int]:
        if joint == _FULL_TURN:  # LeRobot does not let a person sweep it
            return 0, reg.TICKS_PER_TURN - 1
        spec = so101()
        low = (spec.lower[joint] - self.middles[joint]) / RAD_PER_TICK
        high = (spec.upper[joint] - self.middles[joint]) / RAD_PER_TICK
        return MIDDLE + round(low), MIDDLE + round(high)
