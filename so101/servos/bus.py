"""Asks servos over a port: ping, read, write, all of one register at once, and again if need be.

A reply may be lost or garbled. The bus asks again until a deadline that the caller sets, so that a
control tick can never be late for it, and counts what it did. It judges no error bits: every reply
carries them. One thread at a time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from so101.clock import nanoseconds, seconds
from so101.errors import HardwareError
from so101.servos import packets
from so101.servos.packets import BROADCAST_ID, OVERHEAD, Packet, PacketParser
from so101.servos.registers import Register

REPLY_S = 0.006
"""Six replies of 15 bytes take 1 ms on the wire, a USB adapter up to 4 ms more [s]."""

PATIENT_S = 0.05
"""A busy computer still hears a reply then, and servos confirm what they have to remember [s]."""

TRIES = 3
"""How often is asked when the caller sets no deadline."""

_LONGEST_REPLY = 64
_MOST_CHUNKS = 16


class Port(Protocol):
    """Carries bytes, see `so101.servos.port.SerialPort`."""

    name: str

    def write(self, data: bytes) -> None:
        """Send bytes."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """Return what has come, or comes within so long [s]."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@dataclass(kw_only=True)
class BusCounts:
    """What happened on a bus so far.

    Attributes:
        requests: Packets sent, repeated ones included.
        repeated: Requests that were sent again.
        lost: Replies that did not come in time.
        corrupt: Packets whose checksum did not fit.
        foreign: Replies that nobody had asked for.
        noise: Bytes that belong to no packet, those of corrupt ones included.
    """

    requests: int = 0
    repeated: int = 0
    lost: int = 0
    corrupt: int = 0
    foreign: int = 0
    noise: int = 0


class ServoBus:
    """The servos behind one port.

    Attributes:
        counts: What happened so far.
    """

    def __init__(
        self,
        port: Port,
        *,
        reply_s: float = REPLY_S,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take a port over.

        Args:
            port: Open, and nobody else's.
            reply_s: A request is unanswered after so long [s].
            now_ns: The clock that deadlines are of [ns].
        """
        self.counts = BusCounts()
        self._port = port
        self._reply_ns = nanoseconds(reply_s)
        self._now_ns = now_ns
        self._parser = PacketParser(_LONGEST_REPLY)

    @property
    def name(self) -> str:
        """The port's."""
        return self._port.name

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    @contextmanager
    def patient(self, reply_s: float = PATIENT_S) -> Iterator[None]:
        """Wait longer for each reply, where no control loop waits for it [s]."""
        before, self._reply_ns = self._reply_ns, nanoseconds(reply_s)
        try:
            yield
        finally:
            self._reply_ns = before

    def ping(self, servo: int, deadline_ns: int | None = None) -> Packet:
        """Return the reply of a servo that is there.

        Args:
            servo: Its id.
            deadline_ns: Until when is asked again [ns]; None asks `TRIES` times.

        Raises:
            HardwareError: It does not answer in time.
        """
        return self._ask(packets.ping(servo), servo, 0, "ping", deadline_ns)

    def scan(self) -> tuple[int, ...]:
        """Return the ids that answer to everybody's ping, one per reply, in their order.

        Two servos of one id are there twice, or garble each other and are not there at all.
        """
        self._send(packets.ping(BROADCAST_ID))
        found: list[int] = []
        end_ns = self._now_ns() + 20 * self._reply_ns
        while (left_ns := end_ns - self._now_ns()) > 0:
            found += (packet.id for packet in self._receive(left_ns))
        return tuple(found)

    def read_block(
        self, servo: int, address: int, size: int, deadline_ns: int | None = None
    ) -> Packet:
        """Return a servo's bytes from an address on, with its error bits.

        Args:
            servo: Its id.
            address: Of the first byte.
            size: How many.
            deadline_ns: As in `ping`.

        Raises:
            HardwareError: It does not answer in time.
        """
        request = packets.read(servo, address, size)
        return self._ask(request, servo, size, f"read {size} at {address}", deadline_ns)

    def try_read(
        self, servo: int, address: int, size: int, deadline_ns: int | None = None
    ) -> Packet | None:
        """Return a servo's bytes, or None when they do not come at the first request."""
        request = packets.read(servo, address, size)
        return self._exchange(request, (servo,), size, deadline_ns).get(servo)

    def read(self, servo: int, register: Register, deadline_ns: int | None = None) -> int:
        """Return a register's number.

        Raises:
            HardwareError: The servo does not answer in time.
        """
        request = packets.read(servo, register.address, register.size)
        what = f"read {register.name}"
        reply = self._ask(request, servo, register.size, what, deadline_ns)
        return register.decode(reply.parameters)

    def write(
        self, servo: int, register: Register, value: int, deadline_ns: int | None = None
    ) -> None:
        """Write a register and wait until the servo has confirmed it.

        Raises:
            HardwareError: The number does not fit, or the servo does not confirm in time.
        """
        request = packets.write(servo, register.address, register.encode(value))
        self._ask(request, servo, 0, f"write {register.name}={value}", deadline_ns)

    def sync_read(
        self, address: int, size: int, servos: Sequence[int], deadline_ns: int | None = None
    ) -> dict[int, Packet]:
        """Return the same bytes of several servos, for one request; only the missing are repeated.

        Raises:
            HardwareError: Somebody does not answer in time.
        """
        replies: dict[int, Packet] = {}
        missing: Sequence[int] = servos
        for tries in self._tries(deadline_ns):
            request = packets.sync_read(address, size, missing)
            self.counts.repeated += tries > 0
            replies |= self._exchange(request, missing, size, deadline_ns)
            missing = [servo for servo in servos if servo not in replies]
            if not missing:
                return replies
        raise self._silent(missing, f"sync read {size} at {address}")

    def sync_write(self, register: Register, values: Mapping[int, int]) -> None:
        """Write the same register of several servos at once. Nobody confirms it."""
        rows = {servo: register.encode(value) for servo, value in values.items()}
        self._send(packets.sync_write(register.address, rows))

    def _ask(
        self, request: bytes, servo: int, size: int, what: str, deadline_ns: int | None
    ) -> Packet:
        for tries in self._tries(deadline_ns):
            self.counts.repeated += tries > 0
            replies = self._exchange(request, (servo,), size, deadline_ns)
            if replies:
                return replies[servo]
        raise self._silent((servo,), what)

    def _tries(self, deadline_ns: int | None) -> Iterable[int]:
        """Count tries, at least one, while there is time for another."""
        tries = 0
        while tries == 0 or (
            tries < TRIES if deadline_ns is None else self._now_ns() < deadline_ns
        ):
            yield tries
            tries += 1

    def _exchange(
        self, request: bytes, servos: Sequence[int], size: int, deadline_ns: int | None
    ) -> dict[int, Packet]:
        """Send a request and return the replies that came in time and fit."""
        self._send(request)
        end_ns = self._now_ns() + self._reply_ns
        if deadline_ns is not None:
            end_ns = min(end_ns, deadline_ns)
        replies: dict[int, Packet] = {}
        corrupt, skipped = self._parser.corrupt, self._parser.skipped
        is_late = False
        while len(replies) < len(servos) and not is_late:
            left_ns = end_ns - self._now_ns()
            is_late = left_ns <= 0  # what came while this process slept is there all the same
            for packet in self._receive(max(0, left_ns)):
                if packet.id in servos and len(packet.parameters) == size:
                    replies[packet.id] = packet
                else:
                    self.counts.foreign += 1
            garbage = self._parser.skipped - skipped + self._parser.pending
            if garbage >= (len(servos) - len(replies)) * (size + OVERHEAD):
                break  # all has come, and some of it is unreadable: waiting brings nothing
        self._parser.reset()
        self.counts.noise = self._parser.skipped
        now_corrupt = self._parser.corrupt - corrupt
        self.counts.corrupt += now_corrupt
        self.counts.lost += max(0, len(servos) - len(replies) - now_corrupt)
        return replies

    def _send(self, request: bytes) -> None:
        for _ in range(_MOST_CHUNKS):  # late replies to an earlier request
            if not self._port.read(0.0):
                break
        self._parser.reset()
        self._port.write(request)
        self.counts.requests += 1

    def _receive(self, left_ns: int) -> list[Packet]:
        data = self._port.read(seconds(left_ns))
        return self._parser.feed(data) if data else []

    def _silent(self, servos: Sequence[int], what: str) -> HardwareError:
        ids = ", ".join(map(str, servos))
        return HardwareError(f"{self.name}: no answer from servo {ids} to {what}")
