"""The keyboard as the poor man's gamepad: keys to sticks, and a terminal that tells keys at once.

A terminal tells presses and repeats, never releases. So a key counts as held for a moment after
each of its bytes: that time-out is the dead man's button. The repeat of most systems begins after
half a second, so a press moves the arm a little, and holding the key then moves it on.
"""

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from so101.devices.sticks import Sticks

HELD_S = 0.12
"""A key counts as held so long after its last byte [s]; repeats come every 0.03 to 0.05 s."""

AXES = (("w", "s"), ("a", "d"), ("r", "f"), ("i", "k"), ("j", "l"), ("o", "p"))
"""Keys of each axis of the ``keyboard`` layout: positive, negative."""

TAKE_OVER, RELEASE, END = "t", "g", "q"

HELP = (
    "w/s away and back   a/d left and right   r/f up and down   i/k fingertips up and down\n"
    "j/l turn   o/p open and close   t take over   g give back   q end\n"
    "Hold a key to move; let go and the arm stops."
)


class Keys:
    """Remembers when which key was heard of last."""

    def __init__(self) -> None:
        """Begin with none."""
        self._heard_s: dict[str, float] = {}

    def press(self, data: bytes, now_s: float) -> None:
        """Take note of bytes from the terminal.

        Args:
            data: One byte per press or repeat; bytes that mean nothing are ignored.
            now_s: When they came, on a clock that only runs forward [s].
        """
        for key in data.decode("ascii", errors="ignore"):
            self._heard_s[key] = now_s

    def is_held(self, key: str, now_s: float) -> bool:
        """Tell whether a key counts as held."""
        return now_s - self._heard_s.get(key, -HELD_S) < HELD_S

    def sticks(self, now_s: float) -> Sticks:
        """Return the sticks of the ``keyboard`` layout; its dead-man button is any held key."""
        axes = [
            float(self.is_held(plus, now_s)) - float(self.is_held(minus, now_s))
            for plus, minus in AXES
        ]
        buttons = (any(axes), self.is_held(TAKE_OVER, now_s), self.is_held(RELEASE, now_s))
        return Sticks(axes=tuple(axes), buttons=buttons)


@contextmanager
def single_keys(descriptor: int) -> Iterator[None]:
    """Make a terminal tell every key at once and unseen; it is as before in the end, always.

    Ctrl-C stays what it is. Ctrl-Z does nothing meanwhile: nobody would put the terminal right.
    """
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        now = termios.tcgetattr(descriptor)
        now[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(descriptor, termios.TCSANOW, now)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def read_keys(descriptor: int, wait_s: float) -> bytes | None:
    """Return the bytes that come within a time [s], none, or None where the terminal is gone."""
    if not select.select([descriptor], [], [], wait_s)[0]:
        return b""
    try:
        return os.read(descriptor, 64) or None
    except OSError:
        return None
