"""One serialized message as it arrived, and what is read of it without decoding it."""

import struct
from dataclasses import dataclass

from so101.clock import NS_PER_S
from so101.topics import FLOAT64, STRING, Topic

_HEADLESS = (STRING, FLOAT64)


@dataclass(frozen=True, kw_only=True)
class RawMessage:
    """One serialized message as it arrived.

    Attributes:
        topic: Its topic.
        data: CDR bytes.
        stamp_ns: Header stamp [ns]; None for messages without a header.
        arrival_ns: When it arrived [ns]; never decreases from one message to the next.
        lost_before: Messages of its publisher that did not arrive, right before it.
    """

    topic: Topic
    data: bytes
    stamp_ns: int | None
    arrival_ns: int
    lost_before: int = 0


def header_stamp_ns(topic: Topic, data: bytes) -> int | None:
    """Read the header stamp of a serialized message [ns]; None for types without a header.

    The header is the first member of every recorded type that has one, and its stamp the first
    member of the header: behind the four bytes that name the encoding.
    """
    if topic.type in _HEADLESS or len(data) < 12:
        return None
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", data, 4)
    return int(seconds * NS_PER_S + nanoseconds)
