"""The servos of one arm on a bus, in the order of the joints: raw readings and settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so101.arrays import IntArray
from so101.errors import HardwareError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.registers import Register, span

SETTINGS = (reg.ACCELERATION, reg.GOAL_VELOCITY, reg.TORQUE_LIMIT)
"""What a servo forgets when it loses power."""

_ADDRESS, _SIZE = span(reg.PRESENT_POSITION, reg.PRESENT_LOAD)


@dataclass(frozen=True, slots=True)
class Reading:
    """What all servos said at once. Arrays have shape (joints,).

    Attributes:
        ticks: Positions.
        speeds: [ticks/s].
        loads: [0.1 %].
        errors: `ServoErrors` bits.
    """

    ticks: IntArray
    speeds: IntArray
    loads: IntArray
    errors: IntArray


class ServoSet:
    """Reads and sets all servos of an arm at once.

    Attributes:
        bus: Where they are.
        ids: Of the joints, in their order.
    """

    def __init__(self, bus: ServoBus, ids: Sequence[int]) -> None:
        """Take an open bus."""
        self.bus, self.ids = bus, tuple(ids)

    def read(self, deadline_ns: int | None = None) -> Reading:
        """Read positions, speeds, loads and error bits with one request.

        Raises:
            HardwareError: A servo does not answer in time.
        """
        replies = self.bus.sync_read(_ADDRESS, _SIZE, self.ids, deadline_ns)
        rows = [replies[servo].parameters for servo in self.ids]
        return Reading(
            ticks=np.array([reg.PRESENT_POSITION.decode(row[0:2]) for row in rows]),
            speeds=np.array([reg.PRESENT_VELOCITY.decode(row[2:4]) for row in rows]),
            loads=np.array([reg.PRESENT_LOAD.decode(row[4:6]) for row in rows]),
            errors=np.array([replies[servo].code for servo in self.ids]),
        )

    def send(self, register: Register, values: Sequence[int]) -> None:
        """Write a register of every servo; nobody confirms it."""
        self.bus.sync_write(register, dict(zip(self.ids, values, strict=True)))

    def settle(self, register: Register, values: Sequence[int]) -> None:
        """Write a register of every servo and read it back.

        Raises:
            HardwareError: A servo does not have it, or does not answer.
        """
        self.send(register, values)
        replies = self.bus.sync_read(register.address, register.size, self.ids)
        for joint, servo, value in zip(JOINTS, self.ids, values, strict=True):
            found = register.decode(replies[servo].parameters)
            if found != value:
                raise HardwareError(
                    f"{joint} (id {servo}): {register.name} is {found} after {value} was written"
                )

    def set_up(self, settings: Sequence[Sequence[int]]) -> None:
        """Write `SETTINGS` of each joint, and read them back."""
        for register, values in zip(SETTINGS, zip(*settings, strict=True), strict=True):
            self.settle(register, values)
