"""How the servos are: voltage, temperature, current, and whether they still are as they were set.

One servo's slow registers are read per tick, in turn, so each is known anew every 0.1 s. Judges
what is a fault of the arm; what only is worth a warning has a level.
"""

from collections.abc import Sequence

import numpy as np

from hardware_node.health import ArmHealth, HealthLimits
from hardware_node.servo_set import SETTINGS
from hardware_node.window import Window
from so101.arrays import IntArray
from so101.errors import HardwareError
from so101.events import ERROR, OK
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.packets import ServoErrors
from so101.servos.registers import pick, span

ADDRESS, SIZE = span(reg.TORQUE_ENABLE, reg.PRESENT_CURRENT)
"""Everything from the torque switch to the current, one reply of 31 bytes."""

_FATAL = ServoErrors.VOLTAGE | ServoErrors.ENCODER | ServoErrors.TEMPERATURE


class Vitals:
    """The newest slow readings. Arrays have shape (joints,).

    Attributes:
        voltage: [V].
        temperature: [°C].
        current: [A].
        errors: `ServoErrors` of each joint, from its newest reply of any kind.
        missed: Slow reads that brought nothing, so far.
        health: What is warned of; it is told of every temperature.
        window: What the readings were since somebody asked.
    """

    def __init__(
        self,
        servos: Sequence[int],
        settings: Sequence[Sequence[int]],
        limits: HealthLimits,
    ) -> None:
        """Know nothing yet.

        Args:
            servos: Ids, in the order of the joints.
            settings: Wanted acceleration, goal velocity and torque limit of each joint, as the
                registers say them.
            limits: Where health is judged.
        """
        size = len(servos)
        self.voltage, self.temperature = np.full(size, np.nan), np.full(size, np.nan)
        self.current = np.full(size, np.nan)
        self.errors: IntArray = np.zeros(size, dtype=np.int64)
        self.missed = 0
        self._servos = tuple(servos)
        self._settings = settings
        self._limits = limits
        self.health, self.window = ArmHealth(limits), Window(size)
        self._voltage_at_start = np.nan
        self._next = 0

    @property
    def hottest(self) -> float:
        """Highest known temperature [°C]; NaN before the first reading."""
        return float(np.fmax.reduce(self.temperature))

    @property
    def level(self) -> int:
        """`ERROR` where something is wrong at this moment, whatever `health` says besides."""
        is_wrong = self.errors.any() or self.hottest >= self._limits.too_hot
        return ERROR if is_wrong else OK

    def read_all(self, bus: ServoBus) -> None:
        """Read every servo; the voltage now is the one that later ones are compared with.

        Raises:
            HardwareError: A servo does not answer.
        """
        self._voltage_at_start = np.nan  # perhaps of another supply
        for joint, servo in enumerate(self._servos):
            self._take(joint, bus.read_block(servo, ADDRESS, SIZE).parameters)
        self._voltage_at_start = float(np.median(self.voltage))

    def read_next(self, bus: ServoBus, deadline_ns: int, *, is_torque_on: bool) -> None:
        """Read the servo whose turn it is, and judge it. A silent one has another turn.

        Args:
            bus: The servos.
            deadline_ns: Until when it may ask [ns].
            is_torque_on: Whether the servos were told to hold.

        Raises:
            PortLostError: The port is gone.
            HardwareError: A servo lost voltage or what it was set to.
        """
        joint = self._next
        replies = bus.try_read(self._servos[joint], ADDRESS, SIZE, deadline_ns)
        if replies is None:
            self.missed += 1
            return
        self._next = (joint + 1) % len(self._servos)
        self._take(joint, replies.parameters)
        self._check_voltage(joint)
        if is_torque_on:
            self._check_settings(joint, replies.parameters)

    def note_errors(self, errors: IntArray) -> None:
        """Take the error bits of fast replies.

        Raises:
            HardwareError: A servo has lost its force, or knows its position no more.
        """
        self.errors = errors
        if not errors.any():
            return
        for joint, bits in enumerate(errors.tolist()):
            if bits & _FATAL:
                raise HardwareError(f"{self._name(joint)} reports {describe(bits)}")

    def _take(self, joint: int, data: bytes) -> None:
        def si(register: reg.Register) -> float:
            return register.to_si(pick(data, ADDRESS, register))

        self.voltage[joint] = si(reg.PRESENT_VOLTAGE)
        self.temperature[joint] = si(reg.PRESENT_TEMPERATURE)
        self.current[joint] = si(reg.PRESENT_CURRENT)
        self.health.note_temperature(joint, float(self.temperature[joint]))
        share = float(self.voltage[joint]) / self._voltage_at_start
        self.window.note(joint, share, float(self.current[joint]), si(reg.PRESENT_LOAD))

    def _check_voltage(self, joint: int) -> None:
        least = self._limits.voltage_dip * self._voltage_at_start
        if self.voltage[joint] < least:
            raise HardwareError(
                f"{self._name(joint)}: {self.voltage[joint]:.1f} V, expected at least "
                f"{least:.1f} V: see to the supply"
            )

    def _check_settings(self, joint: int, data: bytes) -> None:
        if pick(data, ADDRESS, reg.TORQUE_ENABLE) != 1:
            raise RestartedError(f"{self._name(joint)}: its torque is off: it was restarted")
        for register, wanted in zip(SETTINGS, self._settings[joint], strict=True):
            found = pick(data, ADDRESS, register)
            if found != wanted:
                raise RestartedError(
                    f"{self._name(joint)}: {register.name} is {found}, was set to {wanted}: it "
                    "was restarted"
                )

    def _name(self, joint: int) -> str:
        return f"{JOINTS[joint]} (id {self._servos[joint]})"


class RestartedError(HardwareError):
    """A servo forgot what it was told: it has to be set up and switched on again."""


def describe(bits: int) -> str:
    """Return error bits in words."""
    return ", ".join(flag.name.lower() for flag in ServoErrors if flag & bits and flag.name)
