"""What the servo twin's trace says about a stop: when goals and arm stood, and where. Pure.

The trace is true of the servos, whatever a driver reads or says, and its clock is the monotonic
one of the machine, in which the benchmark notes when it killed or asked.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.control.arm_loop import STILL_SPEED
from so101.robot import JOINTS

_N = len(JOINTS)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A part of a trace, one row per physics tick.

    Attributes:
        times_ns: Monotonic clock [ns]. Shape (rows,).
        positions: [rad]. Shape (rows, joints).
        velocities: [rad/s]. Shape (rows, joints).
        goals: What the servos are told [ticks]. Shape (rows, joints).
    """

    times_ns: IntArray
    positions: FloatArray
    velocities: FloatArray
    goals: IntArray

    def since(self, begin_ns: int) -> "Motion":
        """Return what was from a time on [ns]."""
        first = int(np.searchsorted(self.times_ns, begin_ns))
        return Motion(
            times_ns=self.times_ns[first:],
            positions=self.positions[first:],
            velocities=self.velocities[first:],
            goals=self.goals[first:],
        )

    def pose_at(self, at_ns: int) -> FloatArray:
        """Return where the arm was, between two rows on the line [rad]. Shape (joints,)."""
        columns = [np.interp(at_ns, self.times_ns, column) for column in self.positions.T]
        return np.array(columns)

    @property
    def told(self) -> "Motion":
        """What was from the first change of a goal on; nothing where there is none."""
        changed = np.flatnonzero((self.goals != self.goals[0]).any(axis=1))
        last = int(self.times_ns[-1])
        return self.since(int(self.times_ns[changed[0]]) if changed.size else last + 1)

    @property
    def commanded_still_ns(self) -> int:
        """From when on the goals stay what they are at the end [ns]."""
        moved = np.flatnonzero((self.goals != self.goals[-1]).any(axis=1))
        return int(self.times_ns[moved[-1] + 1 if moved.size else 0])

    @property
    def still_ns(self) -> int | None:
        """From when on every joint is as good as still, to the end [ns]; None: it never is."""
        moving = np.flatnonzero((np.abs(self.velocities) >= STILL_SPEED).any(axis=1))
        first = int(moving[-1]) + 1 if moving.size else 0
        return int(self.times_ns[first]) if first < len(self.times_ns) else None

    def near_ns(self, reach_rad: float) -> int:
        """From when on every joint is within a reach of where it ends [ns]."""
        far = np.flatnonzero((np.abs(self.positions - self.positions[-1]) > reach_rad).any(axis=1))
        return int(self.times_ns[far[-1] + 1 if far.size else 0])

    def written_ns(self, goals: IntArray) -> int | None:
        """Return when the servos were first told these goals [ticks]; None: never."""
        rows = np.flatnonzero((self.goals == goals).all(axis=1))
        return int(self.times_ns[rows[0]]) if rows.size else None


def read_motion(lines: list[str]) -> Motion:
    """Read rows of a trace, without its head."""
    table = np.array([line.split(",") for line in lines], dtype=object).reshape(-1, 1 + 3 * _N)
    numbers = table[:, 1:].astype(np.float64)
    return Motion(
        times_ns=table[:, 0].astype(np.int64),
        positions=numbers[:, :_N],
        velocities=numbers[:, _N : 2 * _N],
        goals=numbers[:, 2 * _N :].astype(np.int64),
    )


class TraceReader:
    """Reads a trace while it is written."""

    def __init__(self, path: Path) -> None:
        """Begin with what is there."""
        self._file = path.open(encoding="utf-8")
        self._file.readline()
        self._lines: list[str] = []
        self._part = ""

    def since(self, begin_ns: int) -> Motion:
        """Return every whole row from a time on [ns]; what was before it is forgotten."""
        *lines, self._part = (self._part + self._file.read()).split("\n")
        self._lines += lines
        self._lines = [one for one in self._lines if int(one.split(",", 1)[0]) >= begin_ns]
        return read_motion(self._lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
