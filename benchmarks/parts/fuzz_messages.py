"""Trajectory messages of every temper, as bytes: good ones, and whatever else a topic may carry.

Written field by field, not by the code under test, so that a message can be wrong in any place.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from so101.arrays import FloatArray
from so101.robot import JOINTS, so101

SPEC = so101()
_NS = 1_000_000_000
_CDR = b"\x00\x01\x00\x00"
_WORST = (np.nan, np.inf, -np.inf, 1e9, -1e9, 1e308, -1e308, 5e-324, 2.0**31, 2.0**63, 7.0, -7.0)
_LONGEST_BYTES = 400


@dataclass(frozen=True, kw_only=True)
class Message:
    """A trajectory_msgs/JointTrajectory, nothing of it checked.

    Attributes:
        stamp_ns: Of the header [ns].
        frame: Of the header.
        names: Joints.
        positions: [rad], one row per point; rows may differ in length.
        times_ns: One per point [ns].
        others: Velocities, accelerations and efforts of each point, in this order.
    """

    stamp_ns: int
    frame: str = "fuzz 1"
    names: Sequence[str] = JOINTS
    positions: Sequence[Sequence[float]] = ()
    times_ns: Sequence[int] = ()
    others: tuple[Sequence[Sequence[float]], ...] = ((), (), ())

    def to_bytes(self) -> bytes:
        """Return it as the middleware would hand it over."""
        sec, nanosec = divmod(self.stamp_ns, _NS)
        out = bytearray(_CDR) + struct.pack("<II", sec & 0xFFFFFFFF, nanosec)
        _text(out, self.frame)
        _count(out, len(self.names))
        for name in self.names:
            _text(out, name)
        _count(out, len(self.positions))
        for k, row in enumerate(self.positions):
            for values in (row, *(rows[k] if k < len(rows) else () for rows in self.others)):
                _count(out, len(values))
                if len(values):
                    out += bytes(-(len(out) - 4) % 8) + struct.pack(f"<{len(values)}d", *values)
            sec, nanosec = divmod(self.times_ns[k], _NS)
            out += bytes(-len(out) % 4) + struct.pack("<II", sec & 0xFFFFFFFF, nanosec)
        return bytes(out)


@dataclass
class Present:
    """What a message may refer to.

    Attributes:
        now_ns: Stamp of the newest command [ns].
        command: It [rad]. Shape (joints,).
        sent: Newest messages that were sent before, at most `MEMORY`.
    """

    now_ns: int
    command: FloatArray
    sent: list[bytes] = field(default_factory=list)


MEMORY = 64
Rng = np.random.Generator
Drawn = Callable[[Rng, Present], "Message | bytes"]


def good(rng: Rng, present: Present) -> Message:
    """A chunk as a policy sends it: from the command on, smooth, observed a moment ago."""
    points = int(rng.integers(1, 17))
    goal = rng.uniform(SPEC.lower, SPEC.upper)
    share = np.minimum(rng.uniform(0.02, 0.2) * np.arange(1, points + 1), 1.0)[:, None]
    late_ns = int(rng.integers(0, 4)) * 16_666_667
    return Message(
        stamp_ns=max(1, present.now_ns - late_ns),
        positions=(present.command + share * (goal - present.command)).tolist(),
        times_ns=[(k + 1) * _NS // 30 for k in range(points)],
    )


def near(rng: Rng, present: Present) -> Message:
    """One that begins where the arm is, as a person's must."""
    message = good(rng, present)
    return _with(message, 0, present.command + rng.uniform(-0.02, 0.02, 6))


def fast(rng: Rng, present: Present) -> Message:
    """The same way up to 100 times too fast."""
    message, factor = good(rng, present), float(rng.uniform(2, 100))
    return replace(message, times_ns=[int(t / factor) + k for k, t in enumerate(message.times_ns)])


def jumping(rng: Rng, present: Present) -> Message:
    """From end to end of the range at every point."""
    message = good(rng, present)
    ends = np.where(rng.integers(0, 2, (len(message.positions), 6)), SPEC.upper, SPEC.lower)
    return replace(message, positions=ends.tolist())


def beyond(rng: Rng, present: Present) -> Message:
    """Out of range by a little or much."""
    message = good(rng, present)
    wide = 10.0 ** rng.uniform(-3, 3)
    noise = rng.normal(0.0, wide, (len(message.positions), 6))
    return replace(message, positions=(np.array(message.positions) + noise).tolist())


def spoiled(rng: Rng, present: Present) -> Message:
    """One number is none, or huge."""
    message = good(rng, present)
    rows = np.array(message.positions)
    rows[rng.integers(len(rows)), rng.integers(6)] = _WORST[rng.integers(len(_WORST))]
    return replace(message, positions=rows.tolist())


def any_numbers(rng: Rng, present: Present) -> Message:
    """Positions from 64 random bits each."""
    message = good(rng, present)
    rows = np.frombuffer(rng.bytes(48 * len(message.positions)), dtype="<f8").reshape(-1, 6)
    return replace(message, positions=rows.tolist())


def misnamed(rng: Rng, present: Present) -> Message:
    """Joints that are shuffled, missing, doubled, unknown, or somebody else's."""
    names = list(JOINTS)
    kind = rng.integers(5)
    if kind == 0:
        names = list(rng.permutation(names))
    elif kind == 1:
        names = names[: rng.integers(6)]
    elif kind == 2:
        names[rng.integers(6)] = names[rng.integers(6)]
    elif kind == 3:
        names[rng.integers(6)] = "".join(chr(c) for c in rng.integers(1, 0x250, 9))
    else:
        names.append("seventh")
    return replace(good(rng, present), names=[str(name) for name in names])


def ragged(rng: Rng, present: Present) -> Message:
    """Rows of any length, or none at all."""
    message = good(rng, present)
    rows = [list(row)[: rng.integers(9)] + [0.1] * rng.integers(3) for row in message.positions]
    return replace(message, positions=rows if rng.random() < 0.9 else [])


def mistimed(rng: Rng, present: Present) -> Message:
    """Due times that stand still, go back, are negative, or lie a nanosecond or years apart."""
    message, kind = good(rng, present), rng.integers(5)
    times = np.array(message.times_ns)
    if kind == 0:
        times = rng.permutation(times)
    elif kind == 1:
        times[:] = times[0]
    elif kind == 2:
        times -= int(rng.integers(1, _NS))
    elif kind == 3:
        times = np.arange(len(times)) + int(rng.integers(0, 2))
    else:
        times = np.sort(rng.integers(0, 2**31 * _NS, len(times)))
    return replace(message, times_ns=times.tolist())


def misdated(rng: Rng, present: Present) -> Message:
    """A stamp of the past, the future, another clock, or 0, which means now."""
    off_ns = int(rng.normal(0.0, 1.0) * 10.0 ** rng.uniform(6, 19))
    stamp_ns = 0 if rng.random() < 0.2 else present.now_ns + off_ns
    return replace(good(rng, present), stamp_ns=int(np.clip(stamp_ns, -(2**31) * _NS, 2**62)))


def moving(rng: Rng, present: Present) -> Message:
    """With velocities, and accelerations and efforts that nobody asked for, good or bad."""
    message = good(rng, present)
    rows = rng.normal(0.0, 10.0 ** rng.uniform(-2, 4), (3, len(message.positions), 6))
    if rng.random() < 0.3:
        rows[0, -1, rng.integers(6)] = _WORST[rng.integers(len(_WORST))]
    others = [part.tolist() if rng.random() < 0.8 else () for part in rows]
    return replace(message, others=tuple(others))


def of_another(rng: Rng, present: Present) -> Message:
    """Good, but somebody else says it."""
    name = ("", "fuzz 2", "policy", "teleop", "x" * 300, "\u00e9\u00df")[rng.integers(6)]
    return replace(good(rng, present), frame=name)


def replayed(rng: Rng, present: Present) -> bytes:
    """Something that was sent before, the last thing or a much older one."""
    if not present.sent:
        return b""
    return present.sent[-1 - int(rng.integers(len(present.sent)))]


def damaged(rng: Rng, present: Present) -> bytes:
    """A good message with bytes changed, cut off or added."""
    data = bytearray(good(rng, present).to_bytes())
    for _ in range(rng.integers(1, 6)):
        data[rng.integers(len(data))] = rng.integers(256)
    end = len(data) - int(rng.integers(len(data))) * int(rng.integers(0, 2))
    return bytes(data[:end]) + rng.bytes(int(rng.integers(0, 9)))


def any_bytes(rng: Rng, present: Present) -> bytes:
    """Bytes that were never a message; half of them begin like one."""
    data = rng.bytes(int(rng.integers(0, _LONGEST_BYTES)))
    return _CDR + data if rng.random() < 0.5 else data


def long(rng: Rng, present: Present) -> Message:
    """Some hundred points, a nanosecond to a second apart."""
    message = good(rng, present)
    points = int(rng.integers(100, 400))
    walk = present.command + np.cumsum(rng.normal(0, 0.02, (points, 6)), axis=0)
    gap_ns = int(10.0 ** rng.uniform(0, 9))
    times = [(k + 1) * gap_ns for k in range(points)]
    return replace(message, positions=walk.tolist(), times_ns=times)


KINDS: dict[str, tuple[float, Drawn]] = {
    "good": (6.0, good),
    "near": (2.0, near),
    "fast": (2.0, fast),
    "jumping": (2.0, jumping),
    "beyond": (1.5, beyond),
    "spoiled": (1.5, spoiled),
    "any numbers": (1.0, any_numbers),
    "misnamed": (1.0, misnamed),
    "ragged": (1.0, ragged),
    "mistimed": (1.5, mistimed),
    "misdated": (1.5, misdated),
    "moving": (1.5, moving),
    "of another": (1.0, of_another),
    "replayed": (1.5, replayed),
    "damaged": (1.5, damaged),
    "any bytes": (1.0, any_bytes),
    "long": (0.2, long),
}
"""How each kind is made, and how often it comes relative to the others."""

_NAMES = tuple(KINDS)
_SHARES = np.array([weight for weight, _ in KINDS.values()]) / sum(w for w, _ in KINDS.values())


def draw(rng: Rng, present: Present) -> tuple[str, bytes]:
    """Return the kind and the bytes of the next message, and remember them."""
    kind = _NAMES[int(rng.choice(len(_NAMES), p=_SHARES))]
    made: Any = KINDS[kind][1](rng, present)
    data = made.to_bytes() if isinstance(made, Message) else made
    present.sent.append(data)
    del present.sent[:-MEMORY]
    return kind, data


def _with(message: Message, at: int, row: FloatArray) -> Message:
    rows = [list(one) for one in message.positions]
    rows[at] = row.tolist()
    return replace(message, positions=rows)


def _count(out: bytearray, count: int) -> None:
    out += bytes(-len(out) % 4) + struct.pack("<I", count)


def _text(out: bytearray, text: str) -> None:
    raw = text.encode() + b"\x00"
    _count(out, len(raw))
    out += raw
