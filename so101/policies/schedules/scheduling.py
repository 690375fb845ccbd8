"""When a policy looks, and what becomes of a chunk that took time to plan: four schedules.

A schedule wraps a policy and is one. Beyond `infer` it is told when each chunk has arrived, and
says what is followed from then on and when the next observation is worth its inference. One
inference is under way at a time:

    inference = schedule.infer(observation)             # may run in another thread
    chunk = schedule.arrive(inference.chunk, now_ns)    # to be followed from now on
    clock.postpone(schedule.free_ns)                    # no decision before this stamp

`SyncSchedule` lets the arm stand while the policy thinks; the others let it go on with the last
chunk. They own neither a clock nor a thread: time is passed in. Points that are past on arrival
are left out, and a chunk that is past as a whole is refused and counted, by whoever follows it
(``so101.control.follower``); past the end of its last chunk the arm holds.
"""

import math
from dataclasses import replace
from typing import Protocol

import numpy as np

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import Float32Array, frozen
from so101.clock import NS_PER_S, POLICY_GRID, POLICY_HZ
from so101.errors import ConfigError
from so101.observation import Observation
from so101.policies.policy import Inference, Policy
from so101.policies.schedules.latency import LatencyEstimate
from so101.policies.wrappers.wrapped import WrappedPolicy

ENSEMBLE_DECAY = 0.01
"""How much less each newer chunk counts (Zhao et al. 2023, arXiv:2304.13705: m = 0.01)."""


class Schedule(Policy, Protocol):
    """A policy that knows what the arm does while it thinks.

    Attributes:
        latency: Of its inferences; `arrive` measures it.
    """

    latency: LatencyEstimate

    @property
    def decision_ticks(self) -> int:
        """Policy ticks from one observation to the next while every latency is as declared."""
        ...

    @property
    def free_ns(self) -> int:
        """Stamp before which no observation is worth an inference [ns]; 0 before the first."""
        ...

    def arrive(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        """Take note of a chunk that is there; return what is to be followed from now on.

        Args:
            chunk: What `infer` planned last.
            now_ns: When it reached the arm, in the time of the observations [ns].

        Returns:
            The chunk, still with the stamp of its observation. Whoever follows it leaves out its
            past points.
        """
        ...

    def let_go(self) -> None:
        """Forget what the arm follows: somebody else has it. The episode goes on."""
        ...


class AsyncSchedule(WrappedPolicy):
    """Plan while the last chunk runs; splice by time stamp.

    Point i of the new chunk is due when the policy meant it to be. The arm leaves the old chunk
    for the first point of the new one that is still to come.
    """

    def __init__(
        self, policy: Policy, latency: LatencyEstimate | None = None, *, speed: float = 1.0
    ) -> None:
        """Wrap a policy.

        Args:
            policy: Plans the chunks.
            latency: What is known of its latency; nothing if None. Outlives an episode.
            speed: Playback factor of the chunks that the policy returns.
        """
        super().__init__(policy)
        self._speed = speed
        self._free_ns = 0
        self.latency = LatencyEstimate() if latency is None else latency

    @property
    def decision_ticks(self) -> int:
        """Policy ticks from one observation to the next; see `Schedule`."""
        return self.spec.action_space.decision_ticks

    @property
    def free_ns(self) -> int:
        """Stamp before which no observation is worth an inference; see `Schedule`."""
        return self._free_ns

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Plan a chunk; a prefix that is given is passed on."""
        if prefix is None:
            prefix = self._prefix(observation.stamp_ns)
        return self._policy.infer(
            observation, noise=noise, indicator=indicator, guidance=guidance, prefix=prefix
        )

    def arrive(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        """Return what is followed from now on; see `Schedule.arrive`."""
        self.latency.measured(now_ns - chunk.stamp_ns)
        chunk = self._followed(chunk, now_ns)
        self._free_ns = self._until(chunk, now_ns)
        return chunk

    def reset(self) -> None:
        """Forget the episode, and what the arm follows."""
        self._free_ns = 0
        self._policy.reset()

    def let_go(self) -> None:
        """Forget what the arm follows; see `Schedule.let_go`."""

    def _prefix(self, stamp_ns: int) -> ChunkPrefix | None:
        """Return what a chunk planned from an observation is told of the plan in force."""
        return None

    def _followed(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        return chunk

    def _until(self, chunk: ActionChunk, now_ns: int) -> int:
        return now_ns


class SyncSchedule(AsyncSchedule):
    """Execute a chunk to its end, look, and stand still while the next one is planned.

    As the source report does (Qiu 2025). The chunk starts when it arrives: no point is left out,
    and the arm has stood where the policy saw it.
    """

    @property
    def decision_ticks(self) -> int:
        """Policy ticks from one observation to the next; see `Schedule`."""
        space = self.spec.action_space
        lasts_ns = math.floor(space.horizon * NS_PER_S / space.rate_hz / self._speed)
        return POLICY_GRID.ceil(lasts_ns + self.latency.declared_ns)

    def _followed(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        return replace(chunk, delay_ns=max(0, now_ns - chunk.stamp_ns))

    def _until(self, chunk: ActionChunk, now_ns: int) -> int:
        return chunk.due_ns()[-1]


class RtcSchedule(AsyncSchedule):
    """Real-time chunking: as async, and the policy is told what the arm does meanwhile.

    Black et al. (2025), "Real-time execution of action chunking flow policies",
    arXiv:2506.07339, algorithm 1. The plan in force, at the stamps of the new chunk's points, is
    the prefix. Those that are due before the chunk can arrive, and the one the arm is on its way
    to then, are decided; the policy keeps them and lets the rest pull on what follows.
    """

    _plan: ActionChunk | None = None

    def reset(self) -> None:
        """Forget the episode, and what the arm follows."""
        self.let_go()
        super().reset()

    def let_go(self) -> None:
        """Forget what the arm follows."""
        self._plan = None

    def _prefix(self, stamp_ns: int) -> ChunkPrefix | None:
        if self._plan is None:
            return None
        space = self.spec.action_space
        coming = ActionChunk(
            stamp_ns=stamp_ns,
            positions=np.empty((space.horizon, 0)),
            rate_hz=space.rate_hz,
            speed=self._speed,
        )
        ends_ns = self._plan.due_ns()[-1]
        shared = [due_ns for due_ns in coming.due_ns() if due_ns <= ends_ns]
        if not shared:
            return None
        passed = math.floor(self.latency.expected_ns / coming.period_ns + _ROUNDING) + 1
        return ChunkPrefix(
            positions=frozen(self._plan.at(shared)), decided=min(passed, len(shared))
        )

    def _followed(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        if chunk.due_ns()[-1] > now_ns:
            self._plan = chunk
        return chunk


_ROUNDING = 1e-6
"""Of a latency in periods: stamps are whole nanoseconds, so three periods may be a bit more."""


class EnsembleSchedule(AsyncSchedule):
    """Temporal ensembling: look as often as one can, follow the mean of all overlapping chunks.

    Zhao et al. (2023), "Learning fine-grained bimanual manipulation with low-cost hardware" (ACT),
    arXiv:2304.13705, section IV-B: what is followed at a stamp is the mean of what all chunks
    that reach so far want there, with weights exp(-m i), i = 0 for the oldest chunk.
    """

    def __init__(
        self,
        policy: Policy,
        latency: LatencyEstimate | None = None,
        *,
        speed: float = 1.0,
        decay: float = ENSEMBLE_DECAY,
    ) -> None:
        """Wrap a policy; ``decay`` is m, at 0 all chunks count alike.

        Raises:
            ConfigError: The decay is negative or not finite.
        """
        if not 0.0 <= decay < math.inf:
            raise ConfigError(f"ensemble: decay={decay} must be at least 0 and finite")
        super().__init__(policy, latency, speed=speed)
        self._decay = decay
        self._chunks: list[ActionChunk] = []

    @property
    def decision_ticks(self) -> int:
        """Policy ticks from one observation to the next: the first one after a chunk arrived."""
        ticks = POLICY_GRID.floor(self.latency.declared_ns) + 1
        return max(ticks, POLICY_HZ // self.spec.action_space.rate_hz)

    def reset(self) -> None:
        """Forget the episode, and what the arm follows."""
        self.let_go()
        super().reset()

    def let_go(self) -> None:
        """Forget what the arm follows."""
        self._chunks = []

    def _followed(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        due = chunk.due_ns()
        kept = [older for older in self._chunks if older.due_ns()[-1] >= due[0]]
        self._chunks = [*kept, chunk]
        total = np.zeros_like(chunk.positions)
        weights = np.zeros((len(due), 1))
        for i, one in enumerate(self._chunks):
            reaches = np.array(due)[:, None] <= one.due_ns()[-1]
            weight = math.exp(-self._decay * i) * reaches
            total, weights = total + weight * one.at(due), weights + weight
        return replace(chunk, positions=frozen(total / weights))


SCHEDULES: dict[str, type[AsyncSchedule]] = {
    "sync": SyncSchedule,
    "async": AsyncSchedule,
    "rtc": RtcSchedule,
    "ensemble": EnsembleSchedule,
}


def check_schedule(name: str) -> None:
    """Refuse the name of a schedule that there is not.

    Raises:
        ConfigError: There is no such schedule.
    """
    if name not in SCHEDULES:
        raise ConfigError(f"no schedule {name!r}: choose one of {', '.join(SCHEDULES)}")


def make_schedule(
    name: str,
    policy: Policy,
    *,
    latency: LatencyEstimate | None = None,
    speed: float = 1.0,
) -> Schedule:
    """Return a policy on a schedule, for one episode.

    Args:
        name: ``sync``, ``async``, ``rtc`` or ``ensemble``.
        policy: Plans the chunks, noise and playback speed included.
        latency: What is known of its latency; pass the same one to the next episode.
        speed: Playback factor of its chunks.

    Raises:
        ConfigError: There is no such schedule.
    """
    check_schedule(name)
    return SCHEDULES[name](policy, latency, speed=speed)
