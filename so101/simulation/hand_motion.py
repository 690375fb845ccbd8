"""How a hand moves an arm: min-jerk segments, played with human imperfections.

`HandMotion` turns a queue of segments into one commanded pose per policy tick. Its speed changes
smoothly, so hesitations and stops keep the arm's acceleration limits.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray
from so101.clock import POLICY_HZ
from so101.robot import GRIPPER, so101

_TICK_S = 1.0 / POLICY_HZ
_SLEW_PER_S = 5.0  # playback rate from standstill to full in 0.2 s
_MAX_VELOCITY_SHARE = 0.7
_MAX_ACCELERATION_SHARE = 0.5  # leaves room for the change of rate, the tremor, the interpolation
_TREMOR_TIME_S = 0.3
_TREMOR_SMOOTHING_S = 0.1
_SLEW = _SLEW_PER_S * _TICK_S


@dataclass(frozen=True, kw_only=True)
class Imperfection:
    """How far a demonstrator is from a perfect machine.

    Attributes:
        speed: Lowest and highest playback speed, drawn once per episode.
        hesitations: Mean number of hesitations in a segment.
        hesitation_s: Shortest and longest hesitation [s].
        position_error_m: Standard deviation of each coordinate of where it believes the cube [m].
        yaw_error_rad: Standard deviation of the cube's believed turn [rad].
        tremor_rad: Standard deviation of the tremor of each body joint [rad].
        recovery_share: Share of episodes that start off home.
        recovery_rad: How far off, at most, in each body joint [rad].
    """

    speed: tuple[float, float] = (0.4, 1.0)
    hesitations: float = 0.2
    hesitation_s: tuple[float, float] = (0.3, 1.0)
    position_error_m: float = 0.004
    yaw_error_rad: float = 0.05
    tremor_rad: float = 0.004
    recovery_share: float = 0.17
    recovery_rad: float = 0.08

    @classmethod
    def none(cls) -> "Imperfection":
        """Return the clean expert."""
        return cls(
            speed=(1.0, 1.0),
            hesitations=0.0,
            position_error_m=0.0,
            yaw_error_rad=0.0,
            tremor_rad=0.0,
            recovery_share=0.0,
        )

    def start_jitter(self, seed: int) -> float:
        """Return the ``jitter`` that an episode's start is drawn with [rad]."""
        draw = np.random.default_rng([seed, 0x72656376]).random()
        return self.recovery_rad if draw < self.recovery_share else 0.0


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One move in joint space, from rest to rest.

    Attributes:
        phase: What it is for.
        goal: Where it ends [rad]. Shape (joints,).
        duration_s: At speed 1; longer when the joint limits need it [s].
        via: Passed halfway [rad], shape (joints,); None for a straight line.
    """

    phase: str
    goal: FloatArray
    duration_s: float
    via: FloatArray | None = None

    def point(self, start: FloatArray, share: float) -> FloatArray:
        """Return the pose at a share of the way: a parabola through start, via and goal."""
        point: FloatArray = start + share * (self.goal - start)
        return point - 4.0 * share * (1.0 - share) * self._bend(start)

    def duration(self, start: FloatArray) -> float:
        """Return the time a min-jerk move needs within the joint limits [s]."""
        robot = so101()
        bend = np.abs(self._bend(start))
        slope = np.abs(self.goal - start) + 4.0 * bend
        # The share of a min-jerk move peaks at 1.875/T and 5.774/T^2; the bend's curvature is 8.
        by_velocity = 1.875 * slope / (_MAX_VELOCITY_SHARE * robot.max_velocity)
        curved = 5.774 * slope + 1.875**2 * 8.0 * bend
        by_acceleration = np.sqrt(curved / (_MAX_ACCELERATION_SHARE * robot.max_acceleration))
        return float(max(self.duration_s, by_velocity.max(), by_acceleration.max()))

    def _bend(self, start: FloatArray) -> FloatArray:
        """Return how far the chord's middle is from the point halfway. Shape (joints,)."""
        middle: FloatArray = 0.5 * (start + self.goal)
        return np.zeros_like(middle) if self.via is None else middle - self.via


class HandMotion:
    """Plays segments one policy tick at a time."""

    def __init__(
        self, *, start: FloatArray, imperfection: Imperfection, rng: np.random.Generator
    ) -> None:
        """Stand still at a pose.

        Args:
            start: Commanded pose [rad]. Shape (joints,).
            imperfection: Speed, hesitations and tremor.
            rng: Draws them.
        """
        self._imperfection = imperfection
        self._rng = rng
        self._speed = float(rng.uniform(*imperfection.speed))
        self._queue: deque[Segment] = deque()
        self._from = np.array(start, dtype=np.float64)
        self._segment: Segment | None = None
        self._elapsed_s = 0.0
        self._duration_s = 1.0
        self._rate = 0.0
        self._pauses: list[tuple[float, float]] = []
        self._pause_s = 0.0
        self._is_stopping = False
        self._shake = np.zeros((2, GRIPPER))  # raw and smoothed

    @property
    def phase(self) -> str:
        """What the hand is doing; empty when it stands still with nothing left to do."""
        return "" if self._segment is None else self._segment.phase

    @property
    def progress(self) -> float:
        """Played share of the present segment, 0 to 1."""
        return min(self._elapsed_s / self._duration_s, 1.0)

    @property
    def pose(self) -> FloatArray:
        """Present pose on the min-jerk path, without tremor [rad]. Shape (joints,)."""
        if self._segment is None:
            return self._from.copy()
        share = self.progress
        blend = share**3 * (10.0 - 15.0 * share + 6.0 * share**2)
        return self._segment.point(self._from, blend)

    @property
    def is_still(self) -> bool:
        """Tell whether the hand stands and stays where it is until new segments come."""
        return self._rate == 0.0 and (self._segment is None or self._is_stopping)

    def play(self, segments: list[Segment]) -> None:
        """Replace everything that is left by new segments, from standstill.

        Raises:
            ValueError: The hand is still moving; call `stop` and tick until `is_still`.
        """
        if not self.is_still:
            raise ValueError("the hand is still moving")
        self._from = self.pose
        self._elapsed_s = 0.0
        self._queue = deque(segments)
        self._segment, self._is_stopping, self._pause_s = None, False, 0.0
        self._next_segment()

    def drop_rest(self) -> None:
        """Finish the present segment and forget the others."""
        self._queue.clear()

    def stop(self) -> None:
        """Come to a stop soon, wherever that is, and forget everything that is left."""
        self._queue.clear()
        self._is_stopping = True

    def tick(self) -> FloatArray:
        """Advance by one policy tick and return the commanded pose [rad]. Shape (joints,)."""
        before = self._rate
        self._rate += float(np.clip(self._wanted_rate() - before, -_SLEW, _SLEW))
        moved_s = 0.5 * (before + self._rate) * _TICK_S
        self._elapsed_s += moved_s
        while self._segment is not None and self._elapsed_s >= self._duration_s:
            self._elapsed_s -= self._duration_s
            self._from = self._segment.goal
            self._next_segment()
        command = self.pose
        command[:GRIPPER] += self._tremor(moved_s)
        robot = so101()
        return np.clip(command, robot.lower, robot.upper)

    def _wanted_rate(self) -> float:
        if self._segment is None or self._is_stopping:
            return 0.0
        if self._pauses and self.progress >= self._pauses[0][0]:
            self._pause_s += self._pauses.pop(0)[1]
        if self._pause_s > 0.0:
            self._pause_s -= _TICK_S
            return 0.0
        return self._speed

    def _next_segment(self) -> None:
        if not self._queue:
            self._segment, self._elapsed_s, self._rate = None, 0.0, 0.0
            return
        self._segment = self._queue.popleft()
        self._duration_s = self._segment.duration(self._from)
        count = self._rng.poisson(self._imperfection.hesitations)
        places = np.sort(self._rng.random(count))
        lengths = self._rng.uniform(*self._imperfection.hesitation_s, count)
        self._pauses = list(zip(places.tolist(), lengths.tolist(), strict=True))

    def _tremor(self, moved_s: float) -> FloatArray:
        """Return the tremor; it stands still with the hand, so that stillness looks still."""
        raw, smooth = self._shake
        decay = np.exp(-moved_s / _TREMOR_TIME_S)
        noise = self._rng.standard_normal(GRIPPER)
        scale = self._imperfection.tremor_rad * np.sqrt(1.0 - decay**2)
        self._shake[0] = decay * raw + scale * noise
        self._shake[1] = smooth + (self._shake[0] - smooth) * min(
            1.0, moved_s / _TREMOR_SMOOTHING_S
        )
        tremor: FloatArray = self._shake[1]
        return tremor
