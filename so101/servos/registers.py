"""The STS3215's registers: where they are, how their bytes become numbers, and in which units.

Addresses and units: Feetech's memory table of the STS series. Defaults vary with the firmware and
the voltage type (here: 12 V): read them back, never rely on them.
"""

import math
from dataclasses import dataclass
from functools import partial

from so101.errors import HardwareError

MODEL_NUMBER_STS3215 = 777
BAUD_RATES = (1_000_000, 500_000, 250_000, 128_000, 115_200)
"""By the value of `BAUD_RATE`; tables disagree about the slower ones."""
TICKS_PER_TURN = 4096
RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_TURN
"""What the encoder measures. A joint's angle follows LeRobot's calibration, which counts 4095."""
STALL_TORQUE = 2.94
"""Torque of the 12 V type at full load [N·m]."""


@dataclass(frozen=True, slots=True)
class Register:
    """One value in a servo's memory; its bytes are little-endian.

    Attributes:
        name: As in Feetech's table, in lower case.
        address: First byte.
        size: Bytes, 1 or 2.
        sign_bit: This bit is the sign and those below are the amount; None: never negative.
        is_eeprom: Survives a loss of power, if it was written with `LOCK` at 0.
        is_writable: May be written.
        default: As shipped (EEPROM) or after power-up (RAM).
        unit: SI unit of ``scale``; empty: a plain number.
        scale: One count [unit].
    """

    name: str
    address: int
    size: int = 1
    sign_bit: int | None = None
    is_eeprom: bool = False
    is_writable: bool = True
    default: int = 0
    unit: str = ""
    scale: float = 1.0

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.address + self.size

    @property
    def lowest(self) -> int:
        """Smallest number its bytes can say."""
        return 0 if self.sign_bit is None else 1 - (1 << self.sign_bit)

    @property
    def highest(self) -> int:
        """Largest number its bytes can say."""
        return (1 << (8 * self.size if self.sign_bit is None else self.sign_bit)) - 1

    def encode(self, value: int) -> bytes:
        """Return a number's bytes.

        Raises:
            HardwareError: The number does not fit.
        """
        if not self.lowest <= value <= self.highest:
            raise HardwareError(
                f"register {self.name}: {value}: expected {self.lowest} to {self.highest}"
            )
        raw = -value | 1 << (self.sign_bit or 0) if value < 0 else value
        return raw.to_bytes(self.size, "little")

    def decode(self, data: bytes) -> int:
        """Return the number of its bytes.

        Raises:
            HardwareError: There are more or fewer bytes.
        """
        if len(data) != self.size:
            raise HardwareError(f"register {self.name}: {len(data)} bytes: expected {self.size}")
        raw = int.from_bytes(data, "little")
        if self.sign_bit is None:
            return raw
        amount = raw & ((1 << self.sign_bit) - 1)
        return -amount if raw >> self.sign_bit & 1 else amount

    def to_si(self, value: int) -> float:
        """Convert a number of the register to its SI unit."""
        return value * self.scale

    def from_si(self, amount: float) -> int:
        """Convert an SI amount to the nearest number of the register.

        Raises:
            HardwareError: The amount is not finite or does not fit.
        """
        value = round(amount / self.scale) if math.isfinite(amount) else None
        if value is None or not self.lowest <= value <= self.highest:
            raise HardwareError(
                f"register {self.name}: {amount} {self.unit}: expected "
                f"{self.to_si(self.lowest):g} to {self.to_si(self.highest):g}"
            )
        return value


_EEPROM = partial(Register, is_eeprom=True)
_PRESENT = partial(Register, is_writable=False)
_TICKS = partial(Register, size=2, sign_bit=15, unit="rad", scale=RAD_PER_TICK)

FIRMWARE_MAJOR = _EEPROM("firmware_major", 0, is_writable=False, default=3)
FIRMWARE_MINOR = _EEPROM("firmware_minor", 1, is_writable=False, default=10)
MODEL_NUMBER = _EEPROM("model_number", 3, 2, is_writable=False, default=MODEL_NUMBER_STS3215)
ID = _EEPROM("id", 5, default=1)
BAUD_RATE = _EEPROM("baud_rate", 6)
RETURN_DELAY_TIME = _EEPROM("return_delay_time", 7, unit="s", scale=2e-6)
RESPONSE_STATUS_LEVEL = _EEPROM("response_status_level", 8, default=1)
MIN_POSITION_LIMIT = _EEPROM("min_position_limit", 9, 2, unit="rad", scale=RAD_PER_TICK)
MAX_POSITION_LIMIT = _EEPROM(
    "max_position_limit", 11, 2, default=4095, unit="rad", scale=RAD_PER_TICK
)
MAX_TEMPERATURE_LIMIT = _EEPROM("max_temperature_limit", 13, default=70, unit="°C")
MAX_VOLTAGE_LIMIT = _EEPROM("max_voltage_limit", 14, default=140, unit="V", scale=0.1)
MIN_VOLTAGE_LIMIT = _EEPROM("min_voltage_limit", 15, default=40, unit="V", scale=0.1)
MAX_TORQUE_LIMIT = _EEPROM("max_torque_limit", 16, 2, default=1000, unit="1", scale=0.001)
PHASE = _EEPROM("phase", 18, default=12)
"""Bits: 4 speed in ticks/s, 8 speed 0 is the fastest, 16 positions beyond one turn (unwanted)."""
UNLOADING_CONDITION = _EEPROM("unloading_condition", 19, default=44)
LED_ALARM_CONDITION = _EEPROM("led_alarm_condition", 20, default=47)
P_COEFFICIENT = _EEPROM("p_coefficient", 21, default=32)
D_COEFFICIENT = _EEPROM("d_coefficient", 22, default=32)
I_COEFFICIENT = _EEPROM("i_coefficient", 23)
MINIMUM_STARTUP_FORCE = _EEPROM("minimum_startup_force", 24, 2, default=16, unit="1", scale=0.001)
CW_DEAD_ZONE = _EEPROM("cw_dead_zone", 26, default=1, unit="rad", scale=RAD_PER_TICK)
CCW_DEAD_ZONE = _EEPROM("ccw_dead_zone", 27, default=1, unit="rad", scale=RAD_PER_TICK)
PROTECTION_CURRENT = _EEPROM("protection_current", 28, 2, default=511, unit="A", scale=0.0065)
ANGULAR_RESOLUTION = _EEPROM("angular_resolution", 30, default=1)
HOMING_OFFSET = _EEPROM("homing_offset", 31, 2, sign_bit=11, unit="rad", scale=RAD_PER_TICK)
"""Present position = encoder - homing offset."""
OPERATING_MODE = _EEPROM("operating_mode", 33)
PROTECTIVE_TORQUE = _EEPROM("protective_torque", 34, default=20, unit="1", scale=0.01)
"""What is left of the torque once the overload protection acts."""
PROTECTION_TIME = _EEPROM("protection_time", 35, default=200, unit="s", scale=0.01)
OVERLOAD_TORQUE = _EEPROM("overload_torque", 36, default=80, unit="1", scale=0.01)
VELOCITY_P_COEFFICIENT = _EEPROM("velocity_p_coefficient", 37, default=10)
OVER_CURRENT_PROTECTION_TIME = _EEPROM(
    "over_current_protection_time", 38, default=200, unit="s", scale=0.01
)
VELOCITY_I_COEFFICIENT = _EEPROM("velocity_i_coefficient", 39, default=10)

TORQUE_ENABLE = Register("torque_enable", 40)
"""0 off, 1 on, 2 damping. 128 makes the present position the middle and is never written here."""
ACCELERATION = Register("acceleration", 41, unit="rad/s²", scale=100 * RAD_PER_TICK)
"""0: no limit."""
GOAL_POSITION = _TICKS("goal_position", 42)
GOAL_TIME = Register("goal_time", 44, 2)
GOAL_VELOCITY = Register("goal_velocity", 46, 2, sign_bit=15, unit="rad/s", scale=RAD_PER_TICK)
"""Speed towards the goal; 0: as fast as it can."""
TORQUE_LIMIT = Register("torque_limit", 48, 2, default=1000, unit="1", scale=0.001)
"""`MAX_TORQUE_LIMIT` after power-up."""
LOCK = Register("lock", 55, default=1)
"""1: what is written to EEPROM acts but is gone after a loss of power; 0: it is kept."""
PRESENT_POSITION = _TICKS("present_position", 56, is_writable=False)
PRESENT_VELOCITY = _PRESENT("present_velocity", 58, 2, 15, unit="rad/s", scale=RAD_PER_TICK)
PRESENT_LOAD = _PRESENT("present_load", 60, 2, sign_bit=10, unit="1", scale=0.001)
"""Duty of the motor's voltage, a rough measure of torque."""
PRESENT_VOLTAGE = _PRESENT("present_voltage", 62, unit="V", scale=0.1)
PRESENT_TEMPERATURE = _PRESENT("present_temperature", 63, unit="°C")
STATUS = _PRESENT("status", 65)
"""`so101.servos.packets.ServoErrors`."""
MOVING = _PRESENT("moving", 66)
PRESENT_CURRENT = _PRESENT("present_current", 69, 2, sign_bit=15, unit="A", scale=0.0065)

MOVING_VELOCITY_THRESHOLD = Register("moving_velocity_threshold", 80, default=1)
MAXIMUM_VELOCITY_LIMIT = Register("maximum_velocity_limit", 84, default=150)
MAXIMUM_ACCELERATION = Register("maximum_acceleration", 85, default=254)

REGISTERS: tuple[Register, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Register)
)
"""All of them, by address."""
BY_NAME = {register.name: register for register in REGISTERS}
MEMORY_SIZE = 88
"""Bytes of memory that a servo answers for."""


def span(first: Register, last: Register) -> tuple[int, int]:
    """Return address and size of one read or write from one register through another."""
    if last.address < first.address:
        raise HardwareError(f"registers {first.name} to {last.name}: expected rising addresses")
    return first.address, last.end - first.address


def pick(data: bytes, address: int, register: Register) -> int:
    """Return a register's number out of a read that began at an address.

    Raises:
        HardwareError: The read does not cover the register.
    """
    start = register.address - address
    if start < 0 or start + register.size > len(data):
        raise HardwareError(
            f"register {register.name} at {register.address}: a read of {len(data)} bytes from "
            f"{address} does not cover it"
        )
    return register.decode(data[start : start + register.size])
