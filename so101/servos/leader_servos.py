"""The leader arm behind its servo bus: read at every tick, held or limp.

It opens its port by itself, also again after that was lost. One that fell silent is asked at every
tick. Either way a leader that is found is limp first, and held again within two ticks: one that
stays limp for longer falls, and on a bus that is often held up it would never be where it is
driven to. For the same reason all servos are set at once, with one reading that confirms it.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.clock import NS_PER_S, nanoseconds
from so101.errors import HardwareError, PortLostError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.bus import TRIES, ServoBus
from so101.servos.calibration import Calibration
from so101.servos.registers import Register, pick, span

READ_NS = nanoseconds(0.006)
"""A reading is asked for again until then; the rest of the tick is for what follows from it."""

MOST_MISSES = 3
"""So many readings in a row that were lost are a lost leader: 50 ms."""

RETRY_NS = NS_PER_S // 2
"""A lost port is opened again this often [ns]."""

_ADDRESS, _SIZE = span(reg.TORQUE_ENABLE, reg.TORQUE_LIMIT)
_SPEED_RAD_S = 1.0
_ACCELERATION = 50


class ServoLeader:
    """A `so101.devices.leader_arm.LeaderArm` made of servos. One thread at a time."""

    def __init__(
        self,
        open_bus: Callable[[], ServoBus],
        calibration: Calibration,
        *,
        torque_limit: int = 300,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Open nothing yet; the first reading does.

        Args:
            open_bus: Opens the bus, or raises `HardwareError`.
            calibration: Of the leader.
            torque_limit: With which it is driven and held [0.1 %]; a hand is stronger.
            now_ns: The clock [ns].
        """
        self._open_bus, self._calibration = open_bus, calibration
        self._torque_limit, self._now_ns = torque_limit, now_ns
        self._bus: ServoBus | None = None
        self._reason = "leader: not opened yet"
        self._tried_ns: int | None = None
        self._misses = 0
        self._positions: FloatArray | None = None
        self._is_found = self._is_held = False

    def read(self) -> FloatArray:
        """Return where it is [rad]; one or two lost readings are the one before.

        Raises:
            HardwareError: It is not there, or the third reading in a row was lost.
        """
        deadline_ns = self._now_ns() + READ_NS
        bus = self._connected(deadline_ns)
        register = reg.PRESENT_POSITION
        try:
            replies = bus.sync_read(
                register.address, register.size, self._calibration.ids, deadline_ns
            )
        except HardwareError as error:
            return self._stand_in(error)
        rows = [replies[servo].parameters for servo in self._calibration.ids]
        self._misses = 0
        ticks = np.array([register.decode(row) for row in rows])
        self._positions = frozen(self._calibration.to_rad(ticks))
        return self._positions

    def hold(self, positions: FloatArray) -> None:
        """Go to positions [rad] with torque; at first from where it is.

        Raises:
            HardwareError: It is not there, or does not switch on.
        """
        try:
            bus = self._connected()
            if not self._is_held:
                self._switch_on(bus)
            self._send(bus, positions)
        except HardwareError as error:
            raise self._lose(error) from error

    def let_go(self) -> None:
        """Switch the torque off.

        Raises:
            HardwareError: It is not there, or does not confirm.
        """
        try:
            self._switch_off(self._connected())
        except HardwareError as error:
            raise self._lose(error) from error

    def close(self) -> None:
        """Let go, if that can be, and close the port."""
        if self._bus is not None:
            with suppress(HardwareError):
                self._switch_off(self._bus)
            self._bus.close()
            self._bus = None

    def _connected(self, deadline_ns: int | None = None) -> ServoBus:
        """Return the bus of a leader that was found limp, or try to find it."""
        bus = self._bus
        if bus is not None and self._is_found:
            return bus
        try:
            bus = self._opened() if bus is None else bus
            self._switch_off(bus, deadline_ns)
        except HardwareError as error:
            raise self._lose(error) from error
        self._is_found, self._misses, self._positions = True, 0, None
        return bus

    def _opened(self) -> ServoBus:
        """Open the port, unless the last try was only just now."""
        now_ns = self._now_ns()
        if self._tried_ns is not None and now_ns - self._tried_ns < RETRY_NS:
            raise HardwareError(self._reason)
        self._tried_ns = now_ns
        self._bus = self._open_bus()
        return self._bus

    def _stand_in(self, error: HardwareError) -> FloatArray:
        self._misses += 1
        if self._positions is not None and self._misses < MOST_MISSES:
            return self._positions
        raise self._lose(error) from error

    def _lose(self, error: HardwareError) -> HardwareError:
        """Take note that it is not there; a port that is gone is closed."""
        self._reason = str(error) if str(error).startswith("leader:") else f"leader: {error}"
        self._is_found = self._is_held = False
        self._positions = None
        if isinstance(error, PortLostError) and self._bus is not None:
            self._bus.close()
            self._bus, self._tried_ns = None, self._now_ns()
        return HardwareError(self._reason)

    def _switch_on(self, bus: ServoBus) -> None:
        speeds = np.rint(_SPEED_RAD_S / self._calibration.rad_per_tick).astype(int).tolist()
        count = len(self._calibration.ids)
        settings = {
            reg.TORQUE_LIMIT: [self._torque_limit] * count,
            reg.ACCELERATION: [_ACCELERATION] * count,
            reg.GOAL_VELOCITY: speeds,
        }
        self._settle(bus, settings)
        self._send(bus, self.read())
        self._settle(bus, {reg.TORQUE_ENABLE: [1] * count})
        self._is_held = True

    def _switch_off(self, bus: ServoBus, deadline_ns: int | None = None) -> None:
        self._is_held = False
        self._settle(bus, {reg.TORQUE_ENABLE: [0] * len(self._calibration.ids)}, deadline_ns)

    def _settle(
        self,
        bus: ServoBus,
        settings: Mapping[Register, list[int]],
        deadline_ns: int | None = None,
    ) -> None:
        """Write registers of all servos, and again until one reading confirms all of them."""
        ids = self._calibration.ids
        for tries in range(1, TRIES + 1):
            for register, values in settings.items():
                bus.sync_write(register, dict(zip(ids, values, strict=True)))
            replies = bus.sync_read(_ADDRESS, _SIZE, ids, deadline_ns)
            wrong = [
                f"{joint}: {register.name} is {found} after {value} was written"
                for register, values in settings.items()
                for joint, servo, value in zip(JOINTS, ids, values, strict=True)
                if (found := pick(replies[servo].parameters, _ADDRESS, register)) != value
            ]
            if not wrong:
                return
            if tries == TRIES:
                raise HardwareError(f"leader: {bus.name}: {'; '.join(wrong)}")

    def _send(self, bus: ServoBus, positions: FloatArray) -> None:
        calibration = self._calibration
        inside = np.clip(positions, calibration.lower, calibration.upper)
        ticks = calibration.to_ticks(inside).tolist()
        bus.sync_write(reg.GOAL_POSITION, dict(zip(calibration.ids, ticks, strict=True)))
