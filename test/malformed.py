"""Bytes that are no message, or nearly one: what anybody on the network may publish."""

import random
import struct

COUNTS = (2**32 - 1, 2**31, 2**20, 65536, 0, 1, 2, 3, 4, 5, 6, 7, 8)
ENCAPSULATIONS = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 255)

DEADLY = (b"\x00\x01\x00\x00" + b"\xff\xff\xff\xf0" * 20, b"\x00\x01\x00\x03")
"""One after the other: the middleware's reader takes the second's padding off its end, reads what
the first left behind as the length of a text, and the process dies of it (decision 40)."""


def malformed(good, rng):
    """Return a message with some of its lengths, bytes, encapsulation and size changed."""
    data = bytearray(good)
    for _ in range(rng.randrange(4)):
        at = 4 * rng.randrange(1, max(2, len(data) // 4))
        data[at : at + 4] = struct.pack("<I", rng.choice((*COUNTS, len(data), len(data) - at)))
    for _ in range(rng.randrange(4)):
        data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
    if rng.random() < 0.4:
        data[:4] = (0, rng.choice(ENCAPSULATIONS), rng.randrange(256), rng.randrange(256))
    if rng.random() < 0.5:
        del data[rng.randrange(len(data) + 1) :]
    if rng.random() < 0.2:
        data += rng.randbytes(rng.randrange(9))
    return bytes(data)


def attacks(good, count, seed=0):
    """Return the deadly ones, some malformed ones, and bytes that never were a message.

    Each of them has four bytes or more: RTPS itself refuses shorter ones, again and again.
    """
    rng = random.Random(seed)
    noise = [rng.randbytes(rng.randrange(4, 64)) for _ in range(count)]
    changed = [malformed(good, rng) for _ in range(count)]
    return [one for one in (*DEADLY * count, *changed, *noise) if len(one) >= 4]
