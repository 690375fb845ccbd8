"""The motion of `benchmarks/guarantees.py`: fast, and a function of the stamp alone. Pure.

So a command that is not what its stamp asks for shows at once, whoever planned it.
"""

from dataclasses import dataclass, replace

import numpy as np

from so101.action import ActionChunk
from so101.arrays import FloatArray
from so101.clock import CONTROL_GRID, CONTROL_HZ, NS_PER_S, POLICY_HZ
from so101.control.trajectory import JointTrajectory, chunk_to_trajectory
from so101.robot import JOINTS

CENTRE_RAD = np.array([0.0, -0.8, 0.6, 0.9, 0.0, 0.1])
AMPLITUDE_RAD = np.array([0.8, 0.2, 0.2, 0.3, 0.9, 0.0])
PHASE = np.array([0.0, 0.0, 0.25, 0.0, 0.25, 0.0])
"""Parts of a turn: at any time either the base or the wrist is fast."""

POINTS = 16
CHUNK_TICKS = 16
"""Control ticks from one chunk to the next: half of it is followed, as with the policy node."""

OFF_WAVE_RAD = 0.005
"""A command further from the wave does not follow it [rad]; the first braking step is 0.014."""


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Where the arm is wanted, by stamp.

    Attributes:
        period_ticks: Control ticks of one turn.
        sign: -1: the other way round, as somebody else wants it.
    """

    period_ticks: int = 120
    sign: float = 1.0

    def at(self, stamp_ns: int) -> FloatArray:
        """Return the pose at a stamp [ns] [rad]. Shape (joints,)."""
        index = CONTROL_GRID.floor(stamp_ns)
        whole = CONTROL_GRID.stamp(index) == stamp_ns
        ticks = float(index) if whole else stamp_ns * CONTROL_HZ / NS_PER_S
        turn = 2 * np.pi * (ticks / self.period_ticks % 1.0 + PHASE)
        return CENTRE_RAD + self.sign * np.sin(turn) * AMPLITUDE_RAD

    def off(self, stamp_ns: int, command: FloatArray) -> float:
        """Return how far a command is from what its stamp asks for [rad]."""
        return float(np.abs(command - self.at(stamp_ns)).max())

    def chunk(self, stamp_ns: int) -> JointTrajectory:
        """Return what a policy that saw a stamp [ns] plans."""
        empty = np.zeros((POINTS, len(JOINTS)))
        chunk = ActionChunk(stamp_ns=stamp_ns, positions=empty, rate_hz=POLICY_HZ)
        positions = np.array([self.at(due) for due in chunk.due_ns()])
        return chunk_to_trajectory(replace(chunk, positions=positions), JOINTS)


WAVES = {"fast": Wave(), "slow": Wave(period_ticks=360), "other": Wave(period_ticks=360, sign=-1)}
"""The fast one's most is 2.8 rad/s, near the limit; the slow one suits busy machines, too."""
