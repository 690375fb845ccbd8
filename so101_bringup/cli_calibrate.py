"""The verb that makes an arm of servos, a person's hands helping: calibrate. No ROS."""

import argparse
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import wrap
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from so101.servos.bus import ServoBus
    from so101.servos.calibration import Calibration
    from so101.servos.wanted import Difference

_INDENT = "        "
_UP_AND_CLEAR = "\x1b[{}F\x1b[J"
BROKEN_OFF = 130


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    text = "teach an arm's servos where zero and the ends are"
    calibrate = verbs.add_parser("calibrate", help=text, description=text)
    add = calibrate.add_argument
    add("--arm", choices=("follower", "leader"), default="follower", help="which (follower)")
    add("--port", required=True, metavar="DEVICE", help="such as /dev/serial/by-id/...")
    add("--id", default="", metavar="NAME", help="name of the arm and of its file")
    other = calibrate.add_mutually_exclusive_group()
    add = other.add_argument
    add("--restore", action="store_true", help="write its file to the servos, move nothing")
    add("--set-ids", action="store_true", help="before all else: give new servos their ids")
    calibrate.set_defaults(run=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    from so101.data.durable import write_text
    from so101.errors import ConfigError
    from so101.servos.calibration_files import calibration_path, calibration_root
    from so101_bringup.calibrate_job import calibrate

    if arguments.set_ids:
        return _set_ids(arguments)
    if not arguments.id:
        raise ConfigError("calibrate: --id names the arm, such as blue; its file gets that name")
    root = calibration_root(os.environ, Path.home())
    path = calibration_path(root, arguments.arm, arguments.id)

    def keep(calibration: "Calibration") -> None:
        write_text(path, calibration.to_text())

    if arguments.restore:
        return _restore(arguments, root)
    make_folder(path)
    try:
        with _signals_interrupt(), closing(open_bus(arguments.port)) as bus:
            changes = calibrate(bus, LiveTerminal(sys.stdin.fileno(), sys.stdout), keep)
    except KeyboardInterrupt:
        changes = None
    if changes is None:
        print("so101 calibrate: broken off; servos and file are as they were")
        return BROKEN_OFF
    _report(changes)
    print(f"written to {path}")
    print(f"next: so101 doctor --arm {arguments.arm} --port {arguments.port} --id {arguments.id}")
    return 0


def _set_ids(arguments: argparse.Namespace) -> int:
    from so101.robot import JOINTS
    from so101_bringup.set_ids_job import set_ids

    try:
        with _signals_interrupt(), closing(open_bus(arguments.port)) as bus:
            done = set_ids(bus, LiveTerminal(sys.stdin.fileno(), sys.stdout))
    except KeyboardInterrupt:
        print("so101 calibrate: broken off; servos that were named above have their ids")
        return BROKEN_OFF
    print(f"{len(done)} of {len(JOINTS)} servos have their ids")
    if len(done) < len(JOINTS):
        return BROKEN_OFF
    print("plug all of them in, one to the next; then: so101 doctor --port " + arguments.port)
    return 0


def _restore(arguments: argparse.Namespace, root: Path) -> int:
    from so101.errors import ConfigError
    from so101.servos.calibration import read_calibration
    from so101.servos.calibration_files import find_calibration
    from so101.servos.calibration_store import check_models, store
    from so101.servos.torque import holding
    from so101_bringup.calibrate_job import signals_held_back

    calibration = read_calibration(find_calibration(root, arguments.arm, arguments.id))
    with closing(open_bus(arguments.port)) as bus:
        check_models(bus, calibration.ids)
        if holding(bus, calibration.ids):
            raise ConfigError(
                "calibrate: the arm holds itself, and would move when its offsets change; lay it "
                "down and switch its power off and on"
            )
        with signals_held_back():
            _report(store(bus, calibration, lambda: None))
    print(f"the servos have what {calibration.where} says")
    return 0


def open_bus(name: str) -> "ServoBus":
    """Return the servos behind a port that no other program has.

    Raises:
        HardwareError: Another program has it, as a driver of a running graph, or it is not there.
    """
    from so101.errors import HardwareError
    from so101.servos.bus import PATIENT_S, ServoBus
    from so101.servos.port import SerialPort
    from so101.servos.port_users import port_users

    users = port_users(name)
    if users:
        raise HardwareError(f"{name}: in use by {', '.join(users)}; end that first")
    return ServoBus(SerialPort(name), reply_s=PATIENT_S)


def make_folder(path: Path) -> None:
    """Make the directory of a file, before anybody moves an arm for it.

    Raises:
        StoreError: It cannot be made.
    """
    from so101.data.durable import store_error

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(path, error) from error


def _report(changes: Sequence["Difference"]) -> None:
    for change in changes:
        name, values = change.want.register.name, f"{change.found} → {change.mended}"
        print(f"  {change.joint} (id {change.servo}) {name} {values}")
    if not changes:
        print("  the servos had it already; nothing was written to them")


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Make a closed terminal and kill break off as Ctrl-C does: torque is put back."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class LiveTerminal:
    """A terminal whose last lines are drawn anew; anything else gets a line where tasks change."""

    def __init__(self, source: int, target: TextIO) -> None:
        """Begin below what is there.

        Args:
            source: File descriptor that lines come from.
            target: What is shown goes there.
        """
        self._source, self._target = source, target
        self._is_live = target.isatty()
        self._pending = b""
        self._drawn = 0
        self._task: list[str] = []

    def show(self, task: Sequence[str], table: Sequence[str]) -> None:
        """Show what to do, and below it what changes all the time."""
        if not self._is_live and list(task) == self._task:
            return
        lines = self._fitting(task, table) if self._is_live else list(task)
        up = _UP_AND_CLEAR.format(self._drawn) if self._is_live and self._drawn else ""
        self._target.write(up + "".join(f"{line}\n" for line in lines))
        self._target.flush()
        self._drawn, self._task = len(lines), list(task)

    def line(self, timeout_s: float | None) -> str | None:
        """Return the next line, or None when none comes in time [s].

        Raises:
            EOFError: None will come any more.
        """
        if b"\n" not in self._pending:
            if not select.select([self._source], [], [], timeout_s)[0]:
                return None
            data = os.read(self._source, 4096)
            if not data:
                raise EOFError
            self._pending += data
            if b"\n" not in self._pending:
                return None
        line, self._pending = self._pending.split(b"\n", 1)
        self._drawn += self._is_live  # the terminal has moved on by a line
        return line.decode(errors="replace")

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._target.write(text + "\n")
        self._target.flush()
        self._drawn = 0

    def _fitting(self, task: Sequence[str], table: Sequence[str]) -> list[str]:
        """Break what is to be done, and cut the table, at the terminal's width.

        A line that the terminal itself breaks could not be drawn anew.
        """
        width = (os.get_terminal_size(self._target.fileno()).columns or 80) - 1
        lines: list[str] = []
        for line in task:
            lines += wrap(line, width, subsequent_indent=_INDENT)
        return [*lines, *(line[:width] for line in table)]
