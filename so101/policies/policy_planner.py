"""Whoever acts in a roll-out, from a policy: seeded noise, playback speed and schedule."""

from so101.action import ActionChunk
from so101.clock import POLICY_GRID
from so101.episode import EpisodeFacts
from so101.observation import Observation
from so101.policies.policy import Policy
from so101.policies.schedules.latency import LatencyEstimate
from so101.policies.schedules.scheduling import Schedule, make_schedule
from so101.policies.wrappers.playback_speed import PlaybackSpeed
from so101.policies.wrappers.seeded_noise import SeededNoise
from so101.simulation.latency import NO_LATENCY, SimulatedLatency


class PolicyPlanner:
    """A policy as a `Planner`, as in the policy node: seeded noise, speed and schedule.

    It is also the `Arrivals` of a roll-out whose chunks take time.
    """

    def __init__(
        self,
        policy: Policy,
        run_seed: int,
        *,
        schedule: str = "async",
        latency: SimulatedLatency = NO_LATENCY,
    ) -> None:
        """Wrap a policy.

        Args:
            policy: The policy.
            run_seed: Of its noise.
            schedule: See `so101.policies.schedules.scheduling`.
            latency: What the roll-outs simulate; its mean is declared to the schedule.
        """
        self._noisy = SeededNoise(policy, run_seed)
        self._name, self._latency = schedule, latency
        self._schedule = self._scheduled(self._noisy, 1.0)

    @property
    def decision_ticks(self) -> int:
        """Policy ticks from one chunk to the next at speed 1."""
        return self._scheduled(self._noisy, 1.0).decision_ticks

    @property
    def free_ns(self) -> int:
        """Stamp before which no observation is worth an inference [ns]."""
        return self._schedule.free_ns

    def begin(self, facts: EpisodeFacts) -> None:
        """Begin an episode.

        Raises:
            ConfigError: At its speed a chunk would end before its successor takes over.
        """
        self._noisy.start(facts.seed)
        playing: Policy = self._noisy
        if facts.speed != 1.0:
            late_ticks = POLICY_GRID.ceil(self._latency.longest_ns)
            playing = PlaybackSpeed(self._noisy, facts.speed, late_ticks)
        self._schedule = self._scheduled(playing, facts.speed)

    def plan(self, observation: Observation) -> ActionChunk:
        """Plan the next chunk."""
        return self._schedule.infer(observation).chunk

    def arrive(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        """Return what is followed once a chunk has reached the arm."""
        return self._schedule.arrive(chunk, now_ns)

    def _scheduled(self, policy: Policy, speed: float) -> Schedule:
        known = LatencyEstimate(self._latency.mean_ns)
        return make_schedule(self._name, policy, latency=known, speed=speed)
