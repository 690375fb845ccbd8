"""The servos as an arm: one sync read and one sync write per tick, in radians, doubted where due.

A reading that is lost, or not to be believed, is left out: twice in a row the last one stands in,
the third time is a fault. Nothing here reconnects or decides to move; what the servos hold, they
hold until somebody says otherwise.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hardware_node.boot import Booted, boot
from hardware_node.encoders import Encoders
from hardware_node.overload import OverloadRetreat
from hardware_node.servo_set import Reading, ServoSet
from hardware_node.settings import ArmSettings, servo_settings
from hardware_node.vitals import RestartedError, Vitals
from so101.arm import ArmState
from so101.arrays import FloatArray, frozen
from so101.clock import CONTROL_HZ, nanoseconds
from so101.errors import HardwareError, PortLostError
from so101.robot import GRIPPER, RobotSpec
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.calibration import Calibration
from so101.servos.packets import ServoErrors

MOST_MISSES = 3
"""So many readings in a row that are lost or not believed are a fault."""

READ_NS = nanoseconds(0.009)
"""Time of a tick in which a lost reading is asked for again [ns]."""

SLOW_NS = nanoseconds(0.012)
"""Time of a tick until which slow registers are waited for [ns]."""

HOLD_LOAD = 0.08
"""A gripper with this share of its stall torque holds something."""

_OVERLOADED = int(ServoErrors.OVERLOAD | ServoErrors.CURRENT)


class ServoArm:
    """An `so101.arm.Arm` behind a servo bus. Every method may be called from any thread.

    Attributes:
        misses: Readings in a row that were lost or not believed.
        missed: All of them, so far.
    """

    def __init__(
        self,
        calibration: Calibration,
        spec: RobotSpec,
        settings: ArmSettings,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Know no servo yet; `attach` begins.

        Args:
            calibration: Which servos, and what their ticks mean.
            spec: The arm's joints.
            settings: What a person chose.
            now_ns: The clock [ns].
        """
        self.misses = self.missed = 0
        self._calibration, self._spec, self._settings = calibration, spec, settings
        self._now_ns = now_ns
        self._lock = threading.RLock()
        self._servos: ServoSet | None = None
        self._reason = "not connected yet"
        self._set_up = servo_settings(settings, spec, calibration)
        self._vitals = Vitals(calibration.ids, self._set_up, settings.health)
        self._encoders = Encoders(spec)
        self._retreat = OverloadRetreat(spec, 1.0 / CONTROL_HZ)
        self._state: ArmState | None = None
        self._reading: Reading | None = None
        self._goal = spec.home
        self._is_torque_on = False

    @property
    def bus(self) -> ServoBus | None:
        """The bus; None while there is none."""
        return None if self._servos is None else self._servos.bus

    @property
    def is_fresh(self) -> bool:
        """Whether the newest reading is one, and no stand-in."""
        return self._servos is not None and self.misses == 0

    @property
    def is_torque_on(self) -> bool:
        """Whether the servos were told to hold."""
        return self._is_torque_on

    @property
    def is_holding_something(self) -> bool:
        """Whether the gripper presses on something, as far as it can tell."""
        state = self._state
        if state is None or not self._is_torque_on:
            return False
        return bool(abs(state.effort[GRIPPER]) >= HOLD_LOAD * self._spec.max_effort[GRIPPER])

    @property
    def vitals(self) -> Vitals:
        """The slow readings."""
        return self._vitals

    @property
    def overloads(self) -> tuple[int, ...]:
        """Overloads of each joint since it was armed."""
        return tuple(self._retreat.counts.tolist())

    def attach(self, bus: ServoBus) -> Booted:
        """Check the servos behind a bus and take it over. Torque stays as it is found.

        Raises:
            HardwareError: They are not what the calibration says; the bus is still the caller's.
        """
        with self._lock:
            booted = boot(bus, self._calibration, write_eeprom=self._settings.write_eeprom)
            servos = ServoSet(bus, self._calibration.ids)
            self._vitals.read_all(bus)
            self._is_torque_on = all(booted.is_torque_on)
            if any(booted.is_torque_on):
                servos.set_up(self._set_up)
            self._encoders = Encoders(self._spec)
            self._begin(servos)
            self._servos, self.misses = servos, 0
            return booted

    def detach(self, reason: str) -> None:
        """Let go of the bus and close it; what the servos hold they go on to hold."""
        with self._lock:
            servos, self._servos, self._reason = self._servos, None, reason
            if servos is not None:
                servos.bus.close()

    def read_state(self) -> ArmState:
        """Return the newest reading.

        Raises:
            HardwareError: There is no port, or the third reading in a row was lost or not
                believed, or a servo is in no state to go on.
        """
        with self._attached() as servos:
            began_ns = self._now_ns()
            try:
                self._measure(servos, began_ns + READ_NS)
            except PortLostError:
                raise
            except HardwareError as error:
                return self._stand_in(error)
            self.misses = 0
            self._judge(servos.bus, began_ns)
            return self._known()

    def write_goal(self, positions: FloatArray) -> FloatArray:
        """Send a goal, unless the servos are to be loose.

        Args:
            positions: [rad]. Shape (joints,).

        Returns:
            The goal in force [rad], the servos' rounding apart: the one sent, or where the arm is
            while it is loose.

        Raises:
            HardwareError: There is no port, or the goal is beyond a servo's turn.
        """
        with self._attached() as servos:
            if not self._is_torque_on:
                return self._known().positions
            goal = frozen(self._retreat.apply(positions, self._goal))
            servos.send(reg.GOAL_POSITION, self._calibration.to_ticks(goal).tolist())
            self._goal = goal
            return goal

    def check(self) -> None:
        """Compare the servos with what is wanted once more, and set up what they forget.

        It takes some ticks' time; those that hold go on to hold.

        Raises:
            HardwareError: They are not as wanted.
        """
        with self._attached() as servos:
            booted = boot(servos.bus, self._calibration, write_eeprom=False)
            servos.set_up(self._set_up)
            self._retreat.clear()
            self._is_torque_on = self._is_torque_on and all(booted.is_torque_on)

    def switch_on(self) -> None:
        """Let the servos hold where they are. Those that hold already never let go meanwhile.

        Raises:
            HardwareError: They do not switch on.
        """
        with self._attached() as servos:
            if self._is_torque_on:
                return
            reading = self._begin(servos)
            servos.send(reg.GOAL_POSITION, reading.ticks.tolist())
            servos.settle(reg.TORQUE_ENABLE, [1] * len(servos.ids))
            self._is_torque_on = True

    def switch_off(self) -> None:
        """Let the servos go loose.

        Raises:
            HardwareError: The gripper holds something, or they do not confirm.
        """
        with self._attached() as servos:
            if self.is_holding_something:
                raise HardwareError("the gripper holds something: open it before the torque goes")
            self._is_torque_on = False
            servos.settle(reg.TORQUE_ENABLE, [0] * len(servos.ids))

    def _begin(self, servos: ServoSet) -> Reading:
        """Take a reading as the first goal."""
        reading = self._measure(servos, None)
        self._goal = self._known().positions
        self._encoders.begin(self._goal)
        return reading

    def _measure(self, servos: ServoSet, deadline_ns: int | None) -> Reading:
        """Take a reading, if it can be believed."""
        reading = servos.read(deadline_ns)
        now_ns = self._now_ns()
        positions = frozen(self._calibration.to_rad(reading.ticks))
        self._encoders.check(positions, now_ns)
        before, self._reading = self._reading, reading
        if self._is_torque_on and before is not None:
            self._encoders.check_moving(reading.ticks != before.ticks, self._goal, now_ns)
        self._state = ArmState(
            positions=positions,
            velocities=frozen(reading.speeds * self._calibration.rad_per_tick),
            effort=frozen(reading.loads * reg.PRESENT_LOAD.scale * self._spec.max_effort),
        )
        return reading

    def _judge(self, bus: ServoBus, began_ns: int) -> None:
        """Look at error bits, and at one servo's slow registers."""
        assert self._reading is not None  # _measure was there
        errors, is_on = self._reading.errors, self._is_torque_on
        self._vitals.note_errors(errors)
        try:
            self._vitals.read_next(bus, began_ns + SLOW_NS, is_torque_on=is_on)
        except RestartedError:
            self._is_torque_on = False  # nothing is written until a person arms it again
            raise
        if is_on:
            self._retreat.note((errors & _OVERLOADED) != 0, self._known().positions, self._goal)

    def _stand_in(self, error: HardwareError) -> ArmState:
        self.misses += 1
        self.missed += 1
        if self.misses < MOST_MISSES:
            return self._known()
        raise HardwareError(f"{error} ({self.misses} times in a row)") from error

    @contextmanager
    def _attached(self) -> Iterator[ServoSet]:
        """Hold the lock and the servos; let go of them when their port is gone.

        Raises:
            HardwareError: There is no port.
        """
        with self._lock:
            if self._servos is None:
                raise HardwareError(self._reason)
            try:
                yield self._servos
            except PortLostError as error:
                self.detach(str(error))
                raise

    def _known(self) -> ArmState:
        if self._state is None:
            raise HardwareError("the arm was never read")
        return self._state
