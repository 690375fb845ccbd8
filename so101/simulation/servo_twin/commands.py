"""Fault commands: one line of text each, carried out on one arm's twin.

``WHO`` is a joint's name, its number in the chain from 1, or ``all``. Times are in seconds. A
command that ends by itself says so with its last, optional argument.
"""

import json
import math
from collections.abc import Callable
from typing import Protocol

from so101.clock import nanoseconds, seconds
from so101.errors import ConfigError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.packets import ServoErrors
from so101.simulation.servo_twin.bus import BusFaults, TwinBus

HELP = """\
drop P [WHO]            a reply is lost with probability P
corrupt P [WHO]         a byte of a reply changes with probability P
delay P MS [WHO]        a reply comes MS milliseconds late with probability P
silent [S]              nobody answers
close [S]               the adapter is unplugged; plugged in again after S, or by open
jump WHO TICKS          the encoder says so much more; 0 undoes it
freeze WHO [S]          the encoder says the same for ever
heat WHO C [S]          the temperature rises to C within S and stays
voltage V [S]           of the power supply; below 3.5 V the servos restart
status WHO BITS [S]     error bits: 1 voltage, 2 encoder, 4 temperature, 8 current, 32 overload
overload WHO [S]        status WHO 32
missing WHO [S]         it is not on the bus
alone WHO               it is the only one on the bus; clear plugs the others in
id WHO N                it answers to another id: duplicate, or missing
register WHO NAME N     set a register, also a read-only one
reboot WHO              power down and up: torque off, RAM lost
hand WHO RAD [S]        a hand moves the joint there within S and holds it
wave WHO RAD HZ         a hand moves it to and fro about where it is
release [WHO]           the hand lets go
state                   what is true, as JSON: positions, velocities, goals, temperatures
clear                   all faults end, but for what id and register set
"""


class Socket(Protocol):
    """What `close` and `open` act on."""

    path: str

    def close(self) -> None:
        """Unplug."""

    def open(self) -> None:
        """Plug in."""


class Commands:
    """Carries out commands on one bus, and whatever they schedule for later."""

    def __init__(self, bus: TwinBus, socket: Socket) -> None:
        """Know whom to torment."""
        self._bus, self._twin, self._socket = bus, bus.twin, socket
        self._now_ns = 0
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._motions: dict[tuple[str, int], Callable[[int], bool]] = {}
        self._table: dict[str, tuple[Callable[..., str | None], int, int]] = {
            "drop": (self._drop, 1, 2),
            "corrupt": (self._corrupt, 1, 2),
            "delay": (self._delay, 2, 3),
            "silent": (self._silent, 0, 1),
            "close": (self._close, 0, 1),
            "open": (self._socket.open, 0, 0),
            "jump": (self._jump, 2, 2),
            "freeze": (self._freeze, 1, 2),
            "heat": (self._heat, 2, 3),
            "voltage": (self._voltage, 1, 2),
            "status": (self._status, 2, 3),
            "overload": (self._overload, 1, 2),
            "missing": (self._missing, 1, 2),
            "alone": (self._alone, 1, 1),
            "id": (lambda who, number: self._register(who, reg.ID.name, number), 2, 2),
            "register": (self._register, 3, 3),
            "reboot": (self._reboot, 1, 1),
            "hand": (self._hand, 2, 3),
            "wave": (self._wave, 3, 3),
            "release": (self._release, 0, 1),
            "state": (self.state, 0, 0),
            "clear": (self._clear, 0, 0),
        }

    def run(self, line: str, now_ns: int) -> str:
        """Carry out one line and return what it has to say.

        Raises:
            ConfigError: The command is unknown, or an argument does not fit.
        """
        self.advance(now_ns)
        name, *arguments = line.split() or [""]
        if name not in self._table:
            raise ConfigError(f"unknown command {name!r}; known: {', '.join(self._table)}")
        act, fewest, most = self._table[name]
        if not fewest <= len(arguments) <= most:
            (usage,) = (row for row in HELP.splitlines() if row.split()[0] == name)
            raise ConfigError(f"{name}: {len(arguments)} arguments; usage: {usage}")
        return act(*arguments) or ""

    def advance(self, now_ns: int) -> None:
        """Do what is due by now [ns]."""
        self._now_ns = now_ns
        due = [act for when, act in self._later if when <= now_ns]
        self._later = [(when, act) for when, act in self._later if when > now_ns]
        for act in due:
            act()
        self._motions = {key: move for key, move in self._motions.items() if move(now_ns)}

    def state(self) -> str:
        """Return what is true now, whatever encoders and replies say."""
        twin = self._twin
        motors, plant = twin.motors, twin.plant
        truth = {
            "monotonic_ns": self._now_ns,
            "port": self._socket.path,
            "positions": plant.positions.tolist(),
            "velocities": plant.velocities.tolist(),
            "goals": [memory.get(reg.GOAL_POSITION) for memory in twin.memories],
            "torque": [memory.get(reg.TORQUE_ENABLE) for memory in twin.memories],
            "temperatures": motors.temperature.round(2).tolist(),
            "amperes": motors.amperes.round(3).tolist(),
            "errors": motors.errors.tolist(),
            "voltage": round(motors.voltage, 3),
            "requests": self._bus.requests,
            "replies": self._bus.replies,
            "lost_steps": twin.lost_steps,
        }
        return json.dumps(truth)

    def _drop(self, probability: str, who: str = "all") -> None:
        self._bus.faults.drop |= dict.fromkeys(self._ids(who), _probability(probability))

    def _corrupt(self, probability: str, who: str = "all") -> None:
        self._bus.faults.corrupt |= dict.fromkeys(self._ids(who), _probability(probability))

    def _delay(self, probability: str, milliseconds: str, who: str = "all") -> None:
        fault = (_probability(probability), nanoseconds(_number(milliseconds, 0.0) / 1000.0))
        self._bus.faults.delay |= dict.fromkeys(self._ids(who), fault)

    def _silent(self, duration: str = "") -> None:
        self._bus.faults.is_silent = True
        self._after(duration, lambda: setattr(self._bus.faults, "is_silent", False))

    def _close(self, duration: str = "") -> None:
        self._bus.forget()
        self._socket.close()
        self._after(duration, self._socket.open)

    def _jump(self, who: str, ticks: str) -> None:
        self._twin.jumps[_servos(who)] = _number(ticks)

    def _freeze(self, who: str, duration: str = "") -> None:
        servos = _servos(who)
        self._twin.frozen[servos] = self._twin.motors.encoders[servos]
        self._after(duration, lambda: self._twin.frozen.__setitem__(servos, math.nan))

    def _heat(self, who: str, celsius: str, duration: str = "0") -> None:
        goal, length, begin_ns = _number(celsius), _number(duration, 0.0), self._now_ns
        for servo in _servos(who):
            start = float(self._twin.motors.temperature[servo])

            def move(now_ns: int, servo: int = servo, start: float = start) -> bool:
                share = min(seconds(now_ns - begin_ns) / length, 1.0) if length else 1.0
                self._twin.motors.forced_temperature[servo] = start + share * (goal - start)
                return share < 1.0

            self._begin("heat", servo, move)

    def _voltage(self, volts: str, duration: str = "") -> None:
        motors, before = self._twin.motors, self._twin.motors.supply
        motors.supply = _number(volts, 0.0)
        self._after(duration, lambda: setattr(motors, "supply", before))

    def _status(self, who: str, bits: str, duration: str = "") -> None:
        servos, errors = _servos(who), self._twin.motors.forced_errors
        errors[servos] = _whole(bits, 0, 255)
        self._after(duration, lambda: errors.__setitem__(servos, 0))

    def _overload(self, who: str, duration: str = "") -> None:
        self._status(who, str(int(ServoErrors.OVERLOAD)), duration)

    def _missing(self, who: str, duration: str = "") -> None:
        servos = set(_servos(who))
        self._twin.missing |= servos
        self._after(duration, lambda: self._twin.missing.difference_update(servos))

    def _alone(self, who: str) -> None:
        self._twin.missing = set(_servos("all")) - set(_servos(who))

    def _register(self, who: str, name: str, number: str) -> None:
        if name not in reg.BY_NAME:
            raise ConfigError(f"unknown register {name!r}; known: {', '.join(reg.BY_NAME)}")
        register = reg.BY_NAME[name]
        for servo in _servos(who):
            value = _whole(number, register.lowest, register.highest)
            self._twin.memories[servo].put(register, value)
            if register.is_eeprom:
                self._twin.memories[servo].keep(register)

    def _reboot(self, who: str) -> None:
        for servo in _servos(who):
            self._twin.reboot(servo)

    def _hand(self, who: str, radians: str, duration: str = "0") -> None:
        goal, length, begin_ns = _number(radians), _number(duration, 0.0), self._now_ns
        for servo in _servos(who):
            start = float(self._twin.plant.positions[servo])

            def move(now_ns: int, servo: int = servo, start: float = start) -> bool:
                share = min(seconds(now_ns - begin_ns) / length, 1.0) if length else 1.0
                smooth = share * share * (3.0 - 2.0 * share)
                self._twin.plant.hold(servo, start + smooth * (goal - start))
                return share < 1.0

            self._begin("hand", servo, move)

    def _wave(self, who: str, radians: str, hertz: str) -> None:
        amplitude, rate, begin_ns = _number(radians), _number(hertz, 0.0), self._now_ns
        for servo in _servos(who):
            centre = float(self._twin.plant.positions[servo])

            def move(now_ns: int, servo: int = servo, centre: float = centre) -> bool:
                phase = 2.0 * math.pi * rate * seconds(now_ns - begin_ns)
                self._twin.plant.hold(servo, centre + amplitude * math.sin(phase))
                return True

            self._begin("hand", servo, move)

    def _release(self, who: str = "all") -> None:
        for servo in _servos(who):
            self._motions.pop(("hand", servo), None)
            self._twin.plant.hold(servo, math.nan)

    def _clear(self) -> None:
        twin = self._twin
        self._later.clear()
        self._motions.clear()
        self._bus.faults = BusFaults()
        self._socket.open()
        twin.missing.clear()
        twin.jumps[:], twin.frozen[:] = 0.0, math.nan
        twin.motors.forced_errors[:] = 0
        twin.motors.forced_temperature[:] = math.nan
        twin.motors.supply = twin.motors.nominal_supply
        self._release()

    def _begin(self, kind: str, servo: int, move: Callable[[int], bool]) -> None:
        """Start a motion, in the place of the last one of its kind."""
        self._motions.pop((kind, servo), None)
        if move(self._now_ns):
            self._motions[kind, servo] = move

    def _after(self, duration: str, act: Callable[[], None]) -> None:
        if duration:
            self._later.append((self._now_ns + nanoseconds(_number(duration, 0.0)), act))

    def _ids(self, who: str) -> list[int]:
        """Return the ids that servos answer with."""
        return [self._twin.memories[servo].get(reg.ID) for servo in _servos(who)]


def _servos(who: str) -> list[int]:
    if who == "all":
        return list(range(len(JOINTS)))
    if who in JOINTS:
        return [JOINTS.index(who)]
    if who.isdecimal() and 1 <= int(who) <= len(JOINTS):
        return [int(who) - 1]
    raise ConfigError(f"{who!r}: expected all, 1 to {len(JOINTS)}, or one of {', '.join(JOINTS)}")


def _number(text: str, lowest: float = -math.inf) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= lowest):
        least = "" if lowest == -math.inf else f" of at least {lowest:g}"
        raise ConfigError(f"{text!r}: expected a number{least}")
    return value


def _probability(text: str) -> float:
    value = _number(text)
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{text!r}: expected a probability, 0 to 1")
    return value


def _whole(text: str, lowest: int, highest: int) -> int:
    value = _number(text)
    if value != int(value) or not lowest <= value <= highest:
        raise ConfigError(f"{text!r}: expected a whole number, {lowest} to {highest}")
    return int(value)
