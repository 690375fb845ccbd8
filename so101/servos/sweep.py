"""How far each joint was moved by hand, past the encoder's end too, and what is wrong with it.

Encoders say 0 to 4095 and begin anew; read often enough, every movement between two readings is
less than half a turn, so that the way since the start is known without a jump.
"""

import math

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.robot import GRIPPER, JOINTS, so101
from so101.servos.calibration import LAST_TICK, MIDDLE_TICK, RAD_PER_TICK

TURN = LAST_TICK + 1
MOST_PER_READING = TURN // 4
"""No hand turns a joint farther between two readings; then the reading is wrong [ticks]."""
LEAST_WAY = (0.85, 0.85, 0.85, 0.85, 0.85, 0.6)
"""Part of the URDF's way that a joint must have been moved; grippers are built differently."""
MOST_WAY = (1.2, 1.2, 1.2, 1.2, 1.2, 2.2)
_MOVED, _RESTED = 0.5, 0.2
"""Parts of the way: another joint was moved, this one was not."""
_ALIKE = 0.98
"""Cosine between two joints' movements from which they are the same one."""
_OFF_ZERO = math.radians(5.0)
_OFF_MIDDLE = math.radians(20.0)


def urdf_ways() -> FloatArray:
    """Return each joint's way in the URDF [ticks]. Shape (joints,)."""
    spec = so101()
    return (spec.upper - spec.lower) / RAD_PER_TICK


class Sweep:
    """Positions since the middle pose. Arrays have shape (joints,) and are in ticks.

    Attributes:
        positions: Now; below 0 and above 4095 when the encoder's end was passed.
        low: Smallest so far.
        high: Largest so far.
    """

    def __init__(self, encoders: IntArray) -> None:
        """Start in the middle pose.

        Args:
            encoders: What the encoders say, 0 to 4095.
        """
        self.positions: IntArray = np.full(len(JOINTS), MIDDLE_TICK, dtype=np.int64)
        self.low: IntArray = self.positions.copy()
        self.high: IntArray = self.positions.copy()
        self._encoders = encoders
        self._jumps: IntArray = np.zeros(len(JOINTS), dtype=np.int64)
        self.begin_joint()

    def begin_joint(self) -> None:
        """Forget which joints moved together, for the next one is moved now."""
        self._step_low: IntArray = self.positions.copy()
        self._step_high: IntArray = self.positions.copy()
        self._products = np.zeros((len(JOINTS), len(JOINTS)))

    def feed(self, encoders: IntArray) -> None:
        """Take the next readings."""
        moves = (encoders - self._encoders + TURN // 2) % TURN - TURN // 2
        self._jumps = np.where(np.abs(moves) > MOST_PER_READING, moves, self._jumps)
        self._products += np.outer(moves, moves)
        self._encoders = encoders
        self.positions = self.positions + moves
        self.low = np.minimum(self.low, self.positions)
        self.high = np.maximum(self.high, self.positions)
        self._step_low = np.minimum(self._step_low, self.positions)
        self._step_high = np.maximum(self._step_high, self.positions)

    def problems(self, joint: int) -> list[str]:
        """Return what forbids to take a joint's range, in words for a person.

        Args:
            joint: The one that was asked for, as an index.
        """
        if self._jumps[joint]:
            return [
                f"{JOINTS[joint]} jumped by {self._jumps[joint]} ticks between two readings: look "
                "at its cable, then begin again"
            ]
        if self.low[joint] < 0 or self.high[joint] > LAST_TICK:
            return [
                f"{JOINTS[joint]} went past its encoder's end: the first pose was not in the "
                "middle of its way; begin again"
            ]
        alike = self._alike(joint)
        if alike is not None:
            return [
                f"{JOINTS[joint]} and {JOINTS[alike]} moved as one: two servos may have one id, "
                "or both were moved; move only this one"
            ]
        return self._wrong_way(joint)

    def notes(self, joint: int) -> list[str]:
        """Return what a person should know of a joint's range."""
        way, expected = self._way(joint), urdf_ways()[joint]
        found = []
        if joint != GRIPPER and abs(way - expected) * RAD_PER_TICK > _OFF_ZERO:
            degrees = math.degrees(abs(way - expected) * RAD_PER_TICK)
            found.append(
                f"{JOINTS[joint]}: {_degrees(way)}, the model has {_degrees(expected)}: its zero "
                f"may be off by up to {degrees / 2.0:.0f}°"
            )
        middle = (self.low[joint] + self.high[joint]) / 2.0 - MIDDLE_TICK
        if abs(middle) * RAD_PER_TICK > _OFF_MIDDLE:
            found.append(
                f"{JOINTS[joint]}: the first pose was {_degrees(abs(middle))} from the middle of "
                "its way"
            )
        return found

    def _wrong_way(self, joint: int) -> list[str]:
        name, ways, way = JOINTS[joint], urdf_ways(), self._way(joint)
        part = way / ways[joint]
        moved = (self._step_high - self._step_low) / ways
        other = int(np.argmax(moved))
        if moved[joint] < _RESTED and moved[other] > _MOVED and part < LEAST_WAY[joint]:
            return [
                f"{JOINTS[other]} moved, not {name}: are their servos' ids swapped? "
                f"Else move {name}"
            ]
        if part < LEAST_WAY[joint]:
            return [
                f"{name} was moved {_degrees(way)} of about {_degrees(ways[joint])}: move it to "
                "both ends"
            ]
        if part > MOST_WAY[joint]:
            return [
                f"{name} was moved {_degrees(way)}, more than the {_degrees(ways[joint])} that it "
                "has: is its horn loose, or is it another joint's servo? Begin again"
            ]
        return []

    def _way(self, joint: int) -> float:
        return float(self.high[joint] - self.low[joint])

    def _alike(self, joint: int) -> int | None:
        """Return the joint that moved as this one did, since it was asked for."""
        moved = (self._step_high - self._step_low) / urdf_ways()
        squares = np.diag(self._products)
        for other in range(len(JOINTS)):
            if other != joint and min(moved[other], moved[joint]) > _RESTED:
                cosine = self._products[joint, other] / math.sqrt(squares[joint] * squares[other])
                if abs(cosine) > _ALIKE:
                    return other
        return None


def _degrees(ticks: float) -> str:
    return f"{math.degrees(ticks * RAD_PER_TICK):.0f}°"
