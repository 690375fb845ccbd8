"""What a policy asks for: a chunk of joint positions, and the space its network works in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from so101.arrays import FloatArray
from so101.clock import NS_PER_S, POLICY_GRID, POLICY_HZ
from so101.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ActionChunk:
    """Joint positions planned from one observation.

    Point ``i`` is due at ``stamp_ns + delay_ns + (i + 1) * period``, where period is
    1 / (rate_hz * speed).

    Attributes:
        stamp_ns: Stamp of the observation the chunk was planned from [ns].
        positions: Planned joint positions [rad]. Shape (horizon, joints).
        rate_hz: Points per second at speed 1; divides the policy rate.
        speed: Playback factor; speed exploration plays chunks faster than they were planned.
        delay_ns: Time from the observation to the start of the chunk [ns]. At 0 the time the
            inference took is made up for: points that are past when the chunk arrives are left
            out. An arm that stood still meanwhile starts when the chunk arrives.
    """

    stamp_ns: int
    positions: FloatArray
    rate_hz: int = POLICY_HZ
    speed: float = 1.0
    delay_ns: int = 0

    def __post_init__(self) -> None:
        """Reject chunks whose points would not be due one after the other."""
        _check_rate("action chunk", self.rate_hz)
        if not (math.isfinite(self.speed) and self.speed > 0.0):
            raise ConfigError(f"action chunk: speed={self.speed} must be positive")
        if self.delay_ns < 0:
            raise ConfigError(f"action chunk: delay_ns={self.delay_ns} must be at least 0")

    def due_ns(self) -> list[int]:
        """Return the stamp at which each point is due [ns].

        At speed 1 and a start on the policy grid the points fall exactly on the grid, so that a
        recorded command of the same stamp is the planned point to the last bit.
        """
        ticks = POLICY_HZ // self.rate_hz
        start_ns = self.stamp_ns + self.delay_ns
        if self.speed == 1.0 and POLICY_GRID.is_tick(start_ns):
            first = POLICY_GRID.floor(start_ns)
            return [POLICY_GRID.stamp(first + (i + 1) * ticks) for i in range(len(self.positions))]
        period_ns = self.period_ns
        return [start_ns + round((i + 1) * period_ns) for i in range(len(self.positions))]

    @property
    def period_ns(self) -> float:
        """Time from one point to the next [ns]."""
        return NS_PER_S / self.rate_hz / self.speed

    def at(self, stamps_ns: Sequence[int]) -> FloatArray:
        """Return where the chunk is at some stamps, on straight lines between its points.

        Args:
            stamps_ns: Before the first point the chunk is at its first, after its last at its
                last [ns].

        Returns:
            [rad]. Shape (stamps, joints).
        """
        due = self.due_ns()
        # counted from the first point, since a stamp of today has more digits than a float
        known = [float(stamp - due[0]) for stamp in due]
        asked = [float(stamp - due[0]) for stamp in stamps_ns]
        columns = [np.interp(asked, known, column) for column in self.positions.T]
        return np.stack(columns, axis=1)


@dataclass(frozen=True, kw_only=True)
class ChunkPrefix:
    """What the arm does while a chunk is planned, and what it was about to do after that.

    Row ``i`` is the previous plan at the stamp at which point ``i`` of the new chunk is due.

    Attributes:
        positions: The previous plan from there to its end [rad]. Shape (points, joints).
        decided: How many of them the arm has executed, or is on its way to, when the new chunk
            can arrive: its first points must be these. Those behind are what it should not depart
            from without need.
    """

    positions: FloatArray
    decided: int

    def __post_init__(self) -> None:
        """Refuse to decide more points than there are."""
        if not 0 <= self.decided <= len(self.positions):
            raise ConfigError(
                f"chunk prefix: decided={self.decided} of {len(self.positions)} points"
            )


@dataclass(frozen=True, kw_only=True)
class ActionSpace:
    """How the numbers of a policy's network relate to joint positions. Part of policy.json.

    Attributes:
        kind: ``joint_absolute`` [rad], ``joint_delta`` (difference to the reference, [rad]) or
            ``ee_delta`` (translation [m] and rotation vector [rad] of the gripper frame relative
            to the reference pose, then the gripper).
        reference: Pose that deltas are taken from: ``measured`` or ``commanded`` joint positions.
        gripper: ``continuous`` [rad] or ``ternary`` (-1 close, 0 stay, 1 open).
        rate_hz: Chunk points per second.
        horizon: Points in a chunk; 1 is legal (single-step algorithms at 10 Hz).
        execute_steps: Points executed before the next chunk takes over.
    """

    kind: Literal["joint_absolute", "joint_delta", "ee_delta"] = "joint_absolute"
    reference: Literal["measured", "commanded"] = "measured"
    gripper: Literal["continuous", "ternary"] = "continuous"
    rate_hz: int = POLICY_HZ
    horizon: int = 16
    execute_steps: int = 8

    def __post_init__(self) -> None:
        """Reject spaces that could not be executed."""
        if self.horizon < 1 or not 1 <= self.execute_steps <= self.horizon:
            raise ConfigError(
                f"action space: need 1 <= execute_steps <= horizon, got execute_steps="
                f"{self.execute_steps}, horizon={self.horizon}"
            )
        _check_rate("action space", self.rate_hz)

    @property
    def decision_ticks(self) -> int:
        """Policy ticks (30 Hz) from one chunk to the next."""
        return self.execute_steps * (POLICY_HZ // self.rate_hz)

    def highest_speed(self, latency_ticks: int = 0) -> float:
        """Return the largest factor at which a chunk still reaches to its successor.

        The successor is there when factor x (executed + latency) <= horizon; below 1, it comes
        too late even for a chunk that is played as planned.

        Args:
            latency_ticks: Policy ticks (30 Hz) from an observation to its chunk.
        """
        ticks = POLICY_HZ // self.rate_hz
        return self.horizon * ticks / (self.decision_ticks + latency_ticks)


def _check_rate(what: str, rate_hz: int) -> None:
    if rate_hz < 1 or POLICY_HZ % rate_hz:
        raise ConfigError(f"{what}: rate_hz={rate_hz} must divide the policy rate {POLICY_HZ} Hz")


def is_finite_chunk(chunk: ActionChunk, joints: int) -> bool:
    """Tell whether a chunk is a finite (horizon, joints) array with at least one point."""
    positions = chunk.positions
    return (
        positions.ndim == 2
        and positions.shape[0] >= 1
        and positions.shape[1] == joints
        and bool(np.isfinite(positions).all())
    )
