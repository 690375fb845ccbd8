"""A pseudo-terminal that stands for the USB adapter's serial port."""

import os
import termios
import tty
from contextlib import suppress
from pathlib import Path

from so101.errors import ConfigError

_OUTPUT_SPEED = 5
_CHUNK = 4096


class Port:
    """One serial port; while it is closed the host gets the errors of an unplugged adapter.

    Attributes:
        fd: The twin's side, to wait on; -1 while it is closed.
        path: The host's side, a new one whenever the port is opened.
    """

    def __init__(self, link: Path | None = None) -> None:
        """Open the port.

        Args:
            link: A symbolic link that always leads to it.

        Raises:
            ConfigError: There is something else where the link should be.
        """
        if link is not None and link.exists() and not link.is_symlink():
            raise ConfigError(f"{link}: is there already, and is not a symbolic link")
        self.fd = self._host = -1
        self.path = ""  # the last one, while it is closed
        self._link = link
        self.open()

    def open(self) -> None:
        """Plug in; nothing happens when it is."""
        if self.fd >= 0:
            return
        # The host's side stays open here: a host that closes it does not hang up the terminal.
        self.fd, self._host = os.openpty()
        tty.setraw(self._host)
        os.set_blocking(self.fd, False)
        self.path = os.ttyname(self._host)
        if self._link is not None:
            new = self._link.with_name(f"{self._link.name}.{os.getpid()}")
            new.symlink_to(self.path)
            new.replace(self._link)

    def close(self) -> None:
        """Unplug; nothing happens when it is."""
        if self.fd < 0:
            return
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        os.close(self._host)
        os.close(self.fd)
        self.fd = self._host = -1

    def read(self) -> bytes:
        """Return what the host wrote; at another rate than 1 Mbaud it is noise, and dropped."""
        with suppress(BlockingIOError):
            data = os.read(self.fd, _CHUNK)
            is_heard = termios.tcgetattr(self._host)[_OUTPUT_SPEED] == termios.B1000000
            return data if is_heard else b""
        return b""

    def write(self, data: bytes) -> None:
        """Give the host bytes to read; what a host that never reads has no room for is lost."""
        with suppress(BlockingIOError):
            os.write(self.fd, data)
