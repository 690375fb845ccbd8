"""Guides a person through a calibration: reads encoders, shows them, waits for words.

The servos and the terminal are arguments, so that a test can be both.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from so101.errors import HardwareError
from so101.robot import JOINTS
from so101.servos.calibrating import Calibrating, Stage
from so101.servos.calibration import Calibration
from so101.servos.calibration_store import Encoders, Servos, check_models, store
from so101.servos.torque import hold, holding, release
from so101.servos.wanted import Difference
from so101_bringup.calibrate_screen import table, task

IDS = (1, 2, 3, 4, 5, 6)
"""Servos of an SO-101, in the order of the joints, as LeRobot numbers them."""
READING_S = 0.03
"""Pause between two readings [s]; a quick hand turns a joint by 0.3 rad in it."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminal(Protocol):
    """Where the person is."""

    def show(self, task: Sequence[str], table: Sequence[str]) -> None:
        """Show what to do, and below it what changes all the time."""
        ...

    def line(self, timeout_s: float | None) -> str | None:
        """Return the next line, or None when none comes in time [s]; raises EOFError."""
        ...

    def say(self, text: str) -> None:
        """Show a line that stays."""
        ...


class _Leave(Exception):  # noqa: N818 -- no error: the person wants to
    """The person breaks off."""


def calibrate(
    servos: Servos, terminal: Terminal, keep: Callable[[Calibration], None]
) -> tuple[Difference, ...] | None:
    """Calibrate an arm whose joints a person moves.

    Args:
        servos: Of one arm, nobody else's meanwhile.
        terminal: Where the person is.
        keep: Writes the file; called once, when the servos have it.

    Returns:
        What was changed in the servos; None when the person broke off: then nothing was.

    Raises:
        HardwareError: A servo does not answer or does not take its calibration.
        StoreError: The file cannot be written; the servos are as before then.
    """
    check_models(servos, IDS)
    held = holding(servos, IDS)
    try:
        if held:
            _wait_for_hands(terminal, held)
        with _released(servos, terminal, held):
            calibration = _guide(servos, terminal)
            with signals_held_back():
                return store(servos, calibration, lambda: keep(calibration))
    except (_Leave, EOFError):
        return None


def _wait_for_hands(terminal: Terminal, held: Sequence[int]) -> None:
    names = ", ".join(JOINTS[IDS.index(servo)] for servo in held)
    asked = f"Take the arm in your hands, then press Enter: {names} will go limp. (q: leave it)"
    terminal.show([asked], [])
    if _word(terminal, None) != "":
        raise _Leave


@contextmanager
def _released(servos: Servos, terminal: Terminal, held: Sequence[int]) -> Iterator[None]:
    """Let go meanwhile; hold afterwards what was held, where it is then."""
    try:
        release(servos, held)
        yield
    finally:
        try:
            left = hold(servos, held)
        except HardwareError as error:
            terminal.say(f"the arm may be limp now: {error}")
        else:
            for servo in left:
                terminal.say(f"{JOINTS[IDS.index(servo)]} is limp now: it is outside its limits")


def _guide(servos: Servos, terminal: Terminal) -> Calibration:
    encoders, machine = Encoders(servos, IDS), Calibrating(IDS)
    while machine.stage is not Stage.DONE:
        machine.see(encoders.read())
        terminal.show(task(machine), table(machine))
        word = _word(terminal, READING_S)
        if word == "":
            machine.confirm()
        elif word == "a":
            machine.begin_again()
        elif word == "q":
            raise _Leave
    if machine.calibration is None:
        raise HardwareError("the calibration ended without a result")
    return machine.calibration


def _word(terminal: Terminal, timeout_s: float | None) -> str | None:
    line = terminal.line(timeout_s)
    return None if line is None else line.strip().lower()


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Let Ctrl-C, a closed terminal and kill wait until the servos are written; that is short."""
    held: list[int] = []
    before = {one: signal.signal(one, lambda number, _: held.append(number)) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in held[:1]:
            signal.raise_signal(number)
