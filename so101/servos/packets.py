"""The bytes on a bus of Feetech STS servos: packets, and a parser that finds them in any noise.

Requests and replies look alike: ``FF FF id length code parameters checksum``. The code is the
instruction in a request and the error bits in a reply; the length counts code, parameters and
checksum. Knows neither ports nor time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from so101.errors import HardwareError

HEADER = b"\xff\xff"
BROADCAST_ID = 0xFE
"""Every servo obeys it; only a ping to it is answered."""
MAX_ID = 0xFD
MAX_PARAMETERS = 250
OVERHEAD = 6
"""Bytes of a packet beside its parameters."""


class Instruction(IntEnum):
    """What a request asks for."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    RECOVERY = 0x06
    REBOOT = 0x08
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


class ServoErrors(IntFlag):
    """What a servo complains of, in every reply and in its status register."""

    VOLTAGE = 1
    ENCODER = 2
    TEMPERATURE = 4
    CURRENT = 8
    OVERLOAD = 32


@dataclass(frozen=True, slots=True)
class Packet:
    """One request or reply.

    Attributes:
        id: The servo that is asked or answers; `BROADCAST_ID` asks all.
        code: The `Instruction` of a request, the `ServoErrors` of a reply.
        parameters: What follows.
    """

    id: int
    code: int
    parameters: bytes = b""


def checksum(body: bytes) -> int:
    """Return the checksum of everything between the header and the checksum."""
    return ~sum(body) & 0xFF


def encode(packet: Packet) -> bytes:
    """Return a packet's bytes.

    Raises:
        HardwareError: The id, the code or the number of parameters does not fit a packet.
    """
    if not 0 <= packet.id <= BROADCAST_ID:
        raise HardwareError(f"servo id {packet.id}: expected 0 to {MAX_ID} or {BROADCAST_ID}")
    if not 0 <= packet.code <= 0xFF:
        raise HardwareError(f"servo {packet.id}: code {packet.code}: expected one byte")
    if len(packet.parameters) > MAX_PARAMETERS:
        raise HardwareError(
            f"servo {packet.id}: {len(packet.parameters)} parameters: "
            f"expected at most {MAX_PARAMETERS}"
        )
    body = bytes((packet.id, len(packet.parameters) + 2, packet.code)) + packet.parameters
    return HEADER + body + bytes((checksum(body),))


def ping(servo: int) -> bytes:
    """Return the bytes that ask whether a servo is there."""
    return encode(Packet(servo, Instruction.PING))


def read(servo: int, address: int, size: int) -> bytes:
    """Return the bytes that ask a servo for its registers from an address on."""
    return encode(Packet(servo, Instruction.READ, _bytes(servo, address, size)))


def write(servo: int, address: int, data: bytes) -> bytes:
    """Return the bytes that write registers from an address on; the servo acknowledges."""
    return encode(Packet(servo, Instruction.WRITE, _bytes(servo, address) + data))


def reg_write(servo: int, address: int, data: bytes) -> bytes:
    """Return the bytes of a write that waits for `action`."""
    return encode(Packet(servo, Instruction.REG_WRITE, _bytes(servo, address) + data))


def action(servo: int = BROADCAST_ID) -> bytes:
    """Return the bytes that carry out what `reg_write` prepared."""
    return encode(Packet(servo, Instruction.ACTION))


def sync_read(address: int, size: int, servos: Sequence[int]) -> bytes:
    """Return the bytes that ask several servos at once; each answers, in this order."""
    return encode(
        Packet(BROADCAST_ID, Instruction.SYNC_READ, _bytes(BROADCAST_ID, address, size, *servos))
    )


def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Return the bytes that write the same registers of several servos; none acknowledges.

    Raises:
        HardwareError: There is no servo, or the data differ in length.
    """
    sizes = {len(values) for values in data.values()}
    if len(sizes) != 1:
        raise HardwareError(
            f"sync write to address {address}: data of {sorted(sizes)} bytes: expected one size"
        )
    rows = b"".join(_bytes(servo, servo) + values for servo, values in data.items())
    head = _bytes(BROADCAST_ID, address, sizes.pop())
    return encode(Packet(BROADCAST_ID, Instruction.SYNC_WRITE, head + rows))


def split_sync_write(parameters: bytes) -> tuple[int, dict[int, bytes]]:
    """Return the address and each servo's data of a sync write's parameters.

    Raises:
        HardwareError: The parameters are not whole rows of an id and its data.
    """
    if len(parameters) < 2 or (len(parameters) - 2) % (parameters[1] + 1):
        raise HardwareError(
            f"sync write of {len(parameters)} parameters: expected an address, a size n and rows "
            "of an id and n bytes"
        )
    address, size = parameters[0], parameters[1]
    starts = range(2, len(parameters), size + 1)
    return address, {parameters[at]: parameters[at + 1 : at + 1 + size] for at in starts}


def status(servo: int, errors: int, data: bytes = b"") -> bytes:
    """Return the bytes of a reply."""
    return encode(Packet(servo, errors, data))


def check_reply(reply: Packet, servo: int, size: int) -> bytes:
    """Return a reply's data; its error bits are for the caller to judge.

    Raises:
        HardwareError: Another servo answers, or with another number of bytes.
    """
    if reply.id != servo:
        raise HardwareError(f"servo {servo}: expected its reply, got one of servo {reply.id}")
    if len(reply.parameters) != size:
        raise HardwareError(f"servo {servo}: expected {size} bytes, got {len(reply.parameters)}")
    return reply.parameters


def _bytes(servo: int, *values: int) -> bytes:
    """Return values as bytes; ``servo`` is for the message of the error."""
    try:
        return bytes(values)
    except ValueError:
        raise HardwareError(
            f"servo {servo}: {list(values)}: expected addresses, sizes and ids of one byte"
        ) from None


class PacketParser:
    """Finds packets in the bytes of a port, however they are cut, and finds back after noise.

    A false start costs nothing: when a checksum does not fit, the search goes on at the next byte.
    It may wait for bytes that never come, though: whoever waits for a reply calls `reset` before
    the next request.

    Attributes:
        corrupt: Packets whose checksum did not fit, so far; noise may look like one.
        skipped: Bytes that belong to no packet, so far.
    """

    def __init__(self, max_parameters: int = MAX_PARAMETERS) -> None:
        """Start with nothing.

        Args:
            max_parameters: A packet that claims more is noise; less than the protocol's limit
                makes the parser find back sooner.
        """
        self.corrupt = 0
        self.skipped = 0
        self._max_length = max_parameters + 2
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        """Bytes that may still become a packet."""
        return len(self._pending)

    def reset(self) -> None:
        """Forget the beginning of a packet, if any."""
        self.skipped += len(self._pending)
        self._pending.clear()

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes of the port and return the packets that are complete now."""
        self._pending += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def _next(self) -> Packet | None:
        pending = self._pending
        while self._find_header():
            length = pending[3]
            if len(pending) < length + 4:
                return None
            body = bytes(pending[2 : length + 3])
            if checksum(body) == pending[length + 3]:
                del pending[: length + 4]
                return Packet(body[0], body[2], body[3:])
            self.corrupt += 1
            self._skip(1)
        return None

    def _find_header(self) -> bool:
        """Drop what cannot begin a packet; tell whether a header with its length is there."""
        pending = self._pending
        while True:
            start = pending.find(HEADER)
            if start < 0:
                # The last byte may be the first half of a header.
                self._skip(len(pending) - pending.endswith(b"\xff"))
                return False
            self._skip(start)
            if len(pending) < 4:
                return False
            if pending[2] != 0xFF and 2 <= pending[3] <= self._max_length:
                return True
            self._skip(1)

    def _skip(self, count: int) -> None:
        self.skipped += count
        del self._pending[:count]
