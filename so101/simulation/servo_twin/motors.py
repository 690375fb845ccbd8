"""The moving part of a chain of servos: memories in, torques out, one physics step at a time."""

from collections.abc import Sequence

import numpy as np

from so101.arrays import BoolArray, FloatArray, IntArray
from so101.servos import registers as reg
from so101.servos.packets import ServoErrors
from so101.servos.registers import Register
from so101.simulation.servo_twin import laws
from so101.simulation.servo_twin.memory import ServoMemory

_MAX_SPEED = laws.NO_LOAD_SPEED / reg.RAD_PER_TICK
_SLOW = 5
"""Heat and protections take their time: every so many steps is enough."""
MULTI_TURN = 16
"""Bit of the phase register: positions go on beyond one turn."""


class _Settings:
    """What the memories say, as arrays over the servos."""

    def __init__(self, memories: Sequence[ServoMemory]) -> None:
        self._memories = memories
        self._changes = self._motions = -1
        self.refresh()

    def refresh(self) -> None:
        """Look again at what has changed."""
        changes = sum(memory.changes for memory in self._memories)
        motions = sum(memory.motions for memory in self._memories)
        if changes != self._changes:
            self._changes, self._motions = changes, -1
            self._read_settings()
        if motions != self._motions:
            self._motions = motions
            self._read_motions()

    def _column(self, register: Register) -> FloatArray:
        return np.array([memory.get(register) for memory in self._memories], dtype=np.float64)

    def _read_motions(self) -> None:
        goal = self._column(reg.GOAL_POSITION)
        self.goal = np.minimum(np.maximum(goal, self._lowest), self._highest)
        speed = np.abs(self._column(reg.GOAL_VELOCITY))
        self.speed = np.where(speed == 0, _MAX_SPEED, np.minimum(speed, _MAX_SPEED))
        acceleration = self._column(reg.ACCELERATION) * 100.0
        self.acceleration = np.where(acceleration == 0, np.inf, acceleration)

    def _read_settings(self) -> None:
        column = self._column
        lowest, highest = column(reg.MIN_POSITION_LIMIT), column(reg.MAX_POSITION_LIMIT)
        has_limits = highest > lowest
        self._lowest = np.where(has_limits, lowest, -np.inf)
        self._highest = np.where(has_limits, highest, np.inf)
        self.offset = column(reg.HOMING_OFFSET)
        self.is_multi_turn = column(reg.PHASE).astype(np.int64) & MULTI_TURN != 0
        enable = column(reg.TORQUE_ENABLE)
        self.is_on = (enable == 1) & (column(reg.OPERATING_MODE) == 0)
        self.is_damping = enable == 2
        self.p, self.d = column(reg.P_COEFFICIENT), column(reg.D_COEFFICIENT)
        self.dead_zone = np.maximum(column(reg.CW_DEAD_ZONE), column(reg.CCW_DEAD_ZONE))
        self.startup = column(reg.MINIMUM_STARTUP_FORCE) * reg.MINIMUM_STARTUP_FORCE.scale
        limit = np.minimum(column(reg.TORQUE_LIMIT), column(reg.MAX_TORQUE_LIMIT))
        self.limit = np.minimum(limit * reg.TORQUE_LIMIT.scale, 1.0)
        self.protective = column(reg.PROTECTIVE_TORQUE) * reg.PROTECTIVE_TORQUE.scale
        self.overload = column(reg.OVERLOAD_TORQUE) * reg.OVERLOAD_TORQUE.scale
        self.overload_s = column(reg.PROTECTION_TIME) * reg.PROTECTION_TIME.scale
        self.max_current = column(reg.PROTECTION_CURRENT) * reg.PROTECTION_CURRENT.scale
        time = reg.OVER_CURRENT_PROTECTION_TIME
        self.current_s = column(time) * time.scale
        self.max_temperature = column(reg.MAX_TEMPERATURE_LIMIT)
        self.min_voltage = column(reg.MIN_VOLTAGE_LIMIT) * reg.MIN_VOLTAGE_LIMIT.scale
        self.max_voltage = column(reg.MAX_VOLTAGE_LIMIT) * reg.MAX_VOLTAGE_LIMIT.scale
        self.unloading = column(reg.UNLOADING_CONDITION).astype(np.int64)


class Motors:
    """State of the motors of one chain; arrays are of shape (servos,).

    Attributes:
        encoders: What the encoders say now, homing offset not yet taken off [ticks].
        velocity: As measured [rad/s].
        duty: Share of the supply's voltage, -1 to 1.
        amperes: Currents [A].
        temperature: [°C].
        voltage: At the servos [V].
        supply: Of the power supply without load [V]; faults set it.
        nominal_supply: Without faults [V].
        forced_errors: Error bits that faults set.
        forced_temperature: Temperatures that faults set [°C]; not a number: none.
    """

    def __init__(self, memories: Sequence[ServoMemory], supply: float = 12.0) -> None:
        """Power up."""
        count = len(memories)
        self._settings = _Settings(memories)
        self.supply = self.nominal_supply = self.voltage = supply
        self.encoders: FloatArray = np.zeros(count)
        self.velocity: FloatArray = np.zeros(count)
        self.duty: FloatArray = np.zeros(count)
        self.amperes: FloatArray = np.zeros(count)
        self.temperature: FloatArray = np.full(count, laws.AMBIENT + 3.0)
        self.forced_errors: IntArray = np.zeros(count, dtype=np.int64)
        self.forced_temperature: FloatArray = np.full(count, np.nan)
        self.is_driven: BoolArray = np.zeros(count, dtype=np.bool_)
        self._setpoint: FloatArray = np.zeros(count)
        self._speed: FloatArray = np.zeros(count)
        self._was_on: BoolArray = np.zeros(count, dtype=np.bool_)
        self._overload_s: FloatArray = np.zeros(count)
        self._current_s: FloatArray = np.zeros(count)
        self._trip_side: FloatArray = np.zeros(count)
        self._since_protect = 0
        self._errors: IntArray = np.zeros(count, dtype=np.int64)

    @property
    def errors(self) -> IntArray:
        """`ServoErrors` of each servo."""
        return self._errors | self.forced_errors

    @property
    def positions(self) -> FloatArray:
        """Present positions as the registers have them [ticks]."""
        settings = self._settings
        positions = self.encoders - settings.offset
        wrapped = np.mod(positions, reg.TICKS_PER_TURN)
        return np.where(settings.is_multi_turn, positions, wrapped)

    def step(self, encoders: FloatArray, velocity: FloatArray, step_s: float) -> FloatArray:
        """Let time pass at these measured positions; return the motors' torques [N·m].

        Args:
            encoders: Whole ticks, homing offset not taken off. Shape (servos,).
            velocity: [rad/s]. Shape (servos,).
            step_s: [s].
        """
        self.encoders, self.velocity = encoders, velocity
        self._settings.refresh()
        settings, present = self._settings, self.positions
        starts = settings.is_on & ~self._was_on
        self._was_on = settings.is_on
        # The goal is what the register says, however old: torque on moves the servo there.
        setpoint, speed = laws.follow_profile(
            np.where(starts, present, self._setpoint),
            self._speed,
            settings.goal,
            settings.speed,
            settings.acceleration,
            step_s,
        )
        self._setpoint = np.where(settings.is_on, setpoint, present)
        self._speed = np.where(settings.is_on, speed, 0.0)
        error = np.rint(self._setpoint) - present
        wanted = laws.control(
            error, velocity, settings.p, settings.d, settings.dead_zone, settings.startup
        )
        self._since_protect += 1
        if self._since_protect == _SLOW or starts.any():
            self._protect(settings, wanted, starts, step_s * self._since_protect)
            self._since_protect = 0
        self._apply(settings, wanted)
        return laws.torque(self.duty, self.voltage)

    def restart(self, servo: int) -> None:
        """Forget what is lost with the power; the memory does so itself."""
        self._errors[servo] = 0
        for state in (self._overload_s, self._current_s, self._trip_side):
            state[servo] = 0.0
        self._was_on[servo] = False

    def _protect(
        self, settings: _Settings, wanted: FloatArray, starts: BoolArray, step_s: float
    ) -> None:
        """Warm up and find complaints; an overload lasts until the goal or torque changes."""
        warmer = laws.warm(self.temperature, self.amperes, step_s)
        is_forced = ~np.isnan(self.forced_temperature)
        self.temperature = np.where(is_forced, self.forced_temperature, warmer)
        effort = np.minimum(np.abs(wanted), settings.limit)
        is_high = settings.is_on & (effort >= settings.overload) & (self._trip_side == 0.0)
        self._overload_s = laws.count_time(self._overload_s, is_high, step_s)
        trips = self._overload_s > settings.overload_s
        self._trip_side = np.where(trips, np.sign(wanted), self._trip_side)
        is_over = starts | ~settings.is_on | (wanted * self._trip_side < 0.0)
        self._trip_side = np.where(is_over & ~trips, 0.0, self._trip_side)
        too_much = np.abs(self.amperes) > settings.max_current
        self._current_s = laws.count_time(self._current_s, too_much, step_s)
        is_odd = (self.voltage < settings.min_voltage) | (self.voltage > settings.max_voltage)
        self._errors = (
            np.where(self._trip_side != 0.0, int(ServoErrors.OVERLOAD), 0)
            | np.where(self._keeps_tripped(settings, starts), int(ServoErrors.CURRENT), 0)
            | np.where(
                self.temperature > settings.max_temperature, int(ServoErrors.TEMPERATURE), 0
            )
            | np.where(is_odd, int(ServoErrors.VOLTAGE), 0)
        )

    def _keeps_tripped(self, settings: _Settings, starts: BoolArray) -> BoolArray:
        """Tell where the current was too high for too long, until torque is switched anew."""
        was_tripped = self._errors & int(ServoErrors.CURRENT) != 0
        tripped: BoolArray = (self._current_s > settings.current_s) | was_tripped
        keeps: BoolArray = tripped & settings.is_on & ~starts
        return keeps

    def _apply(self, settings: _Settings, wanted: FloatArray) -> None:
        acting = self.errors & settings.unloading
        is_weak = acting & int(ServoErrors.OVERLOAD) != 0
        limit = np.where(is_weak, np.minimum(settings.limit, settings.protective), settings.limit)
        is_unloaded = acting & ~int(ServoErrors.OVERLOAD) != 0
        pulls = settings.is_on & ~is_unloaded
        self.duty = np.where(pulls, np.minimum(np.maximum(wanted, -limit), limit), 0.0)
        self.is_driven = pulls | settings.is_damping
        self.amperes = laws.current(self.duty, self.velocity, self.voltage, self.is_driven)
        drawn = float(np.abs(self.duty * self.amperes).sum())
        self.voltage = max(self.supply - laws.SUPPLY_RESISTANCE * drawn, 0.0)
