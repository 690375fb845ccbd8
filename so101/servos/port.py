"""A serial port as the bus needs it: bytes in, bytes out, a bounded wait, and a clear end.

Opens a device by pyserial, for this process alone, with the short latency that USB adapters have
only on request. Knows no packets.
"""

import os
import select
import termios
from contextlib import suppress
from pathlib import Path

import serial

from so101.errors import HardwareError, PortLostError

BAUD = 1_000_000
BY_ID = Path("/dev/serial/by-id")
"""Names that stay when the computer counts its USB ports anew."""

_CHUNK = 4096


def ports(folder: Path = BY_ID) -> tuple[str, ...]:
    """Return the serial adapters that are plugged in, by their lasting names."""
    return tuple(sorted(str(path) for path in folder.iterdir())) if folder.is_dir() else ()


class SerialPort:
    """An open serial port. One thread at a time.

    Attributes:
        name: The device, for messages.
    """

    def __init__(self, name: str, baud: int = BAUD) -> None:
        """Open the device.

        Args:
            name: Path of the device; one below `BY_ID` names the same adapter tomorrow.
            baud: Bits per second.

        Raises:
            HardwareError: It is not named, not there, not ours to open, or in use.
        """
        self.name = name
        if not name:
            raise HardwareError(f"port: name the adapter of the servos; {_offer()}")
        try:
            self._device = serial.Serial(name, baud, timeout=0, write_timeout=0, exclusive=True)
        except (serial.SerialException, ValueError, termios.error) as error:
            raise HardwareError(f"{name}: {_reason(name, error)}") from None
        with suppress(OSError, ValueError):  # a pty, or a driver that knows no latency
            self._device.set_low_latency_mode(True)
        self._file = self._device.fileno()
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            PortLostError: The device is gone, or takes nothing.
        """
        try:
            sent = os.write(self._file, data)
        except OSError as error:
            raise self._lost(error) from None
        if sent != len(data):
            raise PortLostError(f"{self.name}: took {sent} of {len(data)} bytes")

    def read(self, timeout_s: float) -> bytes:
        """Return what has come, or what comes first; empty when nothing does in time.

        Args:
            timeout_s: Longest wait [s].

        Raises:
            PortLostError: The device is gone.
        """
        try:
            if not self._poll.poll(max(0.0, timeout_s) * 1e3):
                return b""
            data = os.read(self._file, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from None
        if not data:
            raise PortLostError(f"{self.name}: the device is gone")
        return data

    def close(self) -> None:
        """Close it. What was lost already is closed, too."""
        with suppress(OSError, termios.error):
            self._poll.unregister(self._file)
        with suppress(OSError, termios.error):
            self._device.close()

    def _lost(self, error: OSError) -> PortLostError:
        return PortLostError(f"{self.name}: {error.strerror or error}")


def _offer() -> str:
    found = ports()
    return f"there are: {', '.join(found)}" if found else f"there is none in {BY_ID}"


def _reason(name: str, error: Exception) -> str:
    """Return in words why a device did not open."""
    if not os.path.exists(name):
        return f"there is no such device; {_offer()}"
    if not os.access(name, os.R_OK | os.W_OK):
        return "no permission; add yourself to the group that owns it (ls -l says which)"
    if "lock" in str(error):
        return "another program uses it"
    return f"cannot be opened: {error}"
