"""Guides a person who gives an arm's servos their ids: one plugged in at a time, gripper first.

The servos and the terminal are arguments, so that a test can be both.
"""

from so101.errors import HardwareError, PortLostError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.servo_ids import give_id, only_servo
from so101_bringup.calibrate_job import IDS, Terminal, signals_held_back

KEYS = "Enter: done   s: leave this one as it is   q: end here"


def set_ids(bus: ServoBus, terminal: Terminal) -> tuple[str, ...]:
    """Ask for one servo after the other and give each its id.

    Args:
        bus: Nobody else's meanwhile.
        terminal: Where the person is.

    Returns:
        Joints whose servos have their ids now, as far as they were plugged in.

    Raises:
        PortLostError: The adapter is gone.
    """
    done: dict[int, str] = {}
    for servo, joint in sorted(zip(IDS, JOINTS, strict=True), reverse=True):
        try:
            is_done = _one(bus, terminal, joint, servo, done)
        except (_Leave, EOFError):
            break
        if is_done:
            done[servo] = joint
    return tuple(done.values())


class _Leave(Exception):  # noqa: N818 -- no error: the person wants to
    """The person has had enough."""


def _one(bus: ServoBus, terminal: Terminal, joint: str, wanted: int, done: dict[int, str]) -> bool:
    """Give one joint's servo its id; False when the person leaves it as it is."""
    problem, accepted = "", reg.ID.default
    number = len(IDS) - IDS.index(wanted)
    asked = f"{number} of {len(IDS)}  Plug in the servo of {joint}, and no other. Power on."
    while True:
        said = [f"  ! {problem}"] if problem else []
        terminal.show([asked, *said, f"  {KEYS}"], [])
        word = _word(terminal)
        if word != "":
            return False
        try:
            found = only_servo(bus)
            if found in done:
                problem = f"this is id {found}, of {done[found]}, done before: plug in {joint}"
            elif found not in (wanted, accepted):
                accepted = found
                problem = f"it has id {found} already. If it is {joint}'s, Enter makes it {wanted}"
            else:
                _give(bus, found, wanted)
                _tell(terminal, joint, found, wanted)
                return True
        except PortLostError:
            raise
        except HardwareError as error:
            problem = str(error)


def _give(bus: ServoBus, found: int, wanted: int) -> None:
    if found != wanted:
        with signals_held_back():
            give_id(bus, found, wanted)


def _tell(terminal: Terminal, joint: str, found: int, wanted: int) -> None:
    how = "had it already" if found == wanted else f"id {found} before; read back"
    terminal.say(f"  {joint:<14} id {wanted} ({how}). Power off before you unplug it.")


def _word(terminal: Terminal) -> str:
    """Return "" for go on, "s" for leave this one; anything else is asked for again."""
    while True:
        line = terminal.line(None)
        word = "" if line is None else line.strip().lower()
        if word == "q":
            raise _Leave
        if word in ("", "s"):
            return word
