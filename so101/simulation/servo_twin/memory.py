"""A servo's memory: EEPROM and RAM, what the lock does, what a loss of power does."""

from collections.abc import Mapping

from so101.servos.registers import (
    ACCELERATION,
    GOAL_VELOCITY,
    LOCK,
    MAX_TORQUE_LIMIT,
    MEMORY_SIZE,
    REGISTERS,
    TORQUE_ENABLE,
    TORQUE_LIMIT,
    Register,
)

_EEPROM_END = TORQUE_ENABLE.address
_WRITABLE = bytearray(MEMORY_SIZE)
for _register in REGISTERS:
    if _register.is_writable:
        _WRITABLE[_register.address : _register.end] = b"\x01" * _register.size


class ServoMemory:
    """Registers of one servo.

    What is written to EEPROM acts at once. It survives a loss of power only if the lock was 0:
    whoever forgets that reads back what was written, until the next power-up.

    Attributes:
        motions: Counts the changes from `ACCELERATION` through `GOAL_VELOCITY`, which come with
            every tick.
        changes: Counts the others; who reads many registers looks again when it has grown.
    """

    def __init__(self, values: Mapping[Register, int]) -> None:
        """Power up with the shipped defaults, changed by ``values``."""
        self.motions = self.changes = 0
        self._bytes = bytearray(MEMORY_SIZE)
        for register in REGISTERS:
            self.put(register, values.get(register, register.default))
        self._stored = bytes(self._bytes[:_EEPROM_END])

    def power_up(self) -> None:
        """Forget RAM and whatever of EEPROM was written under lock."""
        for register in REGISTERS:
            if not register.is_eeprom:
                self.put(register, register.default)
        self._bytes[:_EEPROM_END] = self._stored
        self.put(TORQUE_LIMIT, self.get(MAX_TORQUE_LIMIT))

    def get(self, register: Register) -> int:
        """Return a register's number."""
        return register.decode(bytes(self._bytes[register.address : register.end]))

    def put(self, register: Register, value: int) -> None:
        """Set a register, also a read-only one, as the firmware does."""
        self._bytes[register.address : register.end] = register.encode(value)
        self._count(register.address, register.end)

    def show(self, register: Register, value: int) -> None:
        """Set a register that only reports; nothing acts on it, so it counts as no change."""
        self._bytes[register.address : register.end] = register.encode(value)

    def keep(self, register: Register) -> None:
        """Make a register's present number the one that survives a loss of power."""
        stored = bytearray(self._stored)
        stored[register.address : register.end] = self._bytes[register.address : register.end]
        self._stored = bytes(stored)

    def read(self, address: int, size: int) -> bytes:
        """Return bytes as the bus reads them; beyond the memory they are 0."""
        data = bytes(self._bytes[address : address + size])
        return data + bytes(size - len(data))

    def write(self, address: int, data: bytes) -> None:
        """Write bytes as the bus does; those of read-only registers are ignored."""
        is_kept = self.get(LOCK) == 0
        stored = bytearray(self._stored)
        for at, value in enumerate(data[: MEMORY_SIZE - min(address, MEMORY_SIZE)], address):
            if _WRITABLE[at]:
                self._bytes[at] = value
                if is_kept and at < _EEPROM_END:
                    stored[at] = value
        self._stored = bytes(stored)
        self._count(address, address + len(data))

    def _count(self, first: int, end: int) -> None:
        if first >= ACCELERATION.address and end <= GOAL_VELOCITY.end:
            self.motions += 1
        else:
            self.changes += 1
