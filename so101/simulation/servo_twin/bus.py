"""The wire and the adapter between a host and the servos: when bytes arrive, and which."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from so101.errors import HardwareError
from so101.servos.packets import PacketParser
from so101.simulation.servo_twin.twin import ServoTwin

BYTE_NS = 10_000
"""One byte at 1 Mbaud, with start and stop bit."""
SERVO_NS = 20_000
"""From the end of a request to a servo's reply, beside its return delay."""


@dataclass(kw_only=True)
class BusFaults:
    """What goes wrong on the way, by id of the servo that answers.

    Attributes:
        drop: Probability that a reply is lost.
        corrupt: Probability that a byte of it changes.
        delay: Probability and length of a delay [ns].
        is_silent: Nobody answers anybody.
    """

    drop: dict[int, float] = field(default_factory=dict)
    corrupt: dict[int, float] = field(default_factory=dict)
    delay: dict[int, tuple[float, int]] = field(default_factory=dict)
    is_silent: bool = False


class TwinBus:
    """Half a serial port: takes what the host writes, gives what it reads, at the right time.

    Attributes:
        faults: What goes wrong; may be changed at any time.
        requests: Requests so far.
        replies: Replies that were sent so far, broken ones included.
    """

    def __init__(self, twin: ServoTwin, *, adapter_ns: int, rng: np.random.Generator) -> None:
        """Connect.

        Args:
            twin: The servos.
            adapter_ns: What the USB adapter adds to each exchange [ns].
            rng: For the faults.
        """
        self.twin = twin
        self.faults = BusFaults()
        self.requests = self.replies = 0
        self._adapter_ns = adapter_ns
        self._rng = rng
        self._parser = PacketParser()
        self._outgoing: deque[tuple[int, bytes]] = deque()

    @property
    def next_due_ns(self) -> int | None:
        """When the next bytes arrive at the host; None: there are none."""
        return self._outgoing[0][0] if self._outgoing else None

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take what the host wrote; physics goes on until now [ns]."""
        self.twin.advance(now_ns)
        for packet in self._parser.feed(data):
            self.requests += 1
            size = len(packet.parameters) + 6
            due_ns = now_ns + self._adapter_ns + size * BYTE_NS
            try:
                answers = self.twin.handle(packet)
            except HardwareError:
                continue  # servos do not answer what they do not understand
            self._send([] if self.faults.is_silent else answers, due_ns)

    def take(self, now_ns: int) -> bytes:
        """Return the bytes that have arrived at the host by now."""
        arrived = []
        while self._outgoing and self._outgoing[0][0] <= now_ns:
            arrived.append(self._outgoing.popleft()[1])
        return b"".join(arrived)

    def forget(self) -> None:
        """Lose what is on the way, as when the adapter is unplugged."""
        self._parser.reset()
        self._outgoing.clear()

    def _send(self, answers: list[tuple[int, list[bytes]]], due_ns: int) -> None:
        """Put replies on the wire, one after the other; the adapter hands them over together."""
        whole = []
        for servo_id, replies in answers:
            due_ns += self._delay(servo_id)
            if replies and not self._happens(self.faults.drop.get(servo_id, 0.0)):
                reply = self._spoil(servo_id, self._collide(replies))
                due_ns += SERVO_NS + len(reply) * BYTE_NS
                whole.append(reply)
                self.replies += 1
        if whole:
            last_ns = self._outgoing[-1][0] if self._outgoing else due_ns
            self._outgoing.append((max(due_ns, last_ns), b"".join(whole)))

    def _collide(self, replies: list[bytes]) -> bytes:
        """Return what is on the wire when several servos answer at once: low bits win."""
        wire = replies[0]
        for other in replies[1:]:
            late = b"\xff" * int(self._rng.integers(0, 2)) + other
            padded = wire.ljust(len(late), b"\xff")
            late = late.ljust(len(padded), b"\xff")
            wire = bytes(a & b for a, b in zip(padded, late, strict=True))
        return wire

    def _spoil(self, servo_id: int, reply: bytes) -> bytes:
        if not self._happens(self.faults.corrupt.get(servo_id, 0.0)):
            return reply
        spoilt = bytearray(reply)
        spoilt[int(self._rng.integers(len(reply)))] ^= int(self._rng.integers(1, 256))
        return bytes(spoilt)

    def _delay(self, servo_id: int) -> int:
        probability, length_ns = self.faults.delay.get(servo_id, (0.0, 0))
        return length_ns if self._happens(probability) else 0

    def _happens(self, probability: float) -> bool:
        return probability > 0.0 and self._rng.random() < probability
