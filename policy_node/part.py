"""The policy's part in one episode: its schedule, and what becomes of each chunk. Pure."""

from dataclasses import dataclass

from policy_node.params import PolicyParams
from so101.action import ActionChunk, is_finite_chunk
from so101.clock import CONTROL_GRID, POLICY_GRID, nanoseconds
from so101.control.trajectory import JointTrajectory, chunk_to_trajectory
from so101.episode import ControlSource, EpisodeFacts
from so101.errors import ConfigError, TrajectoryError
from so101.events import ControlEvent
from so101.policies.policy import Policy
from so101.policies.schedules.latency import LatencyEstimate
from so101.policies.schedules.scheduling import Schedule, make_schedule
from so101.policies.wrappers.playback_speed import PlaybackSpeed
from so101.policies.wrappers.seeded_noise import SeededNoise
from so101.robot import JOINTS


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """How a policy acts in every episode.

    Attributes:
        schedule: Name in `so101.policies.schedules.scheduling.SCHEDULES`.
        decision_ticks: Policy ticks from one chunk to the next that the graph is set to.
        latency_ns: Declared time from an observation to its chunk [ns].
        seed: Run seed of the noise.
        hangs_after_s: An inference that runs longer hangs [s].
    """

    schedule: str
    decision_ticks: int
    latency_ns: int
    seed: int
    hangs_after_s: float

    @classmethod
    def of(cls, params: PolicyParams) -> "PartConfig":
        """Return what the node's parameters say of it.

        Whoever asks a server keeps a deadline, and hangs only where even that does not help.
        """
        return cls(
            schedule=params.schedule,
            decision_ticks=params.decision_ticks,
            latency_ns=nanoseconds(params.latency),
            seed=params.seed,
            hangs_after_s=params.inference_timeout * (2.0 if params.server else 1.0),
        )

    def check(self, policy: Policy, where: str, speed: float = 1.0) -> None:
        """Refuse a policy that decides in another rhythm than the graph.

        Args:
            policy: Who is to act.
            where: Its name, for the message.
            speed: Playback factor of its chunks.

        Raises:
            ConfigError: The message says what to set.
        """
        latency = LatencyEstimate(self.latency_ns)
        ticks = make_schedule(self.schedule, policy, latency=latency, speed=speed).decision_ticks
        if ticks != self.decision_ticks:
            raise ConfigError(
                f"{where}: decides every {ticks} ticks, the graph every {self.decision_ticks} "
                f"(schedule {self.schedule}); set decision_ticks to {ticks}"
            )


class Part:
    """What a policy does in one episode.

    Attributes:
        schedule: The policy as it is to be asked: seeded noise, playback speed, schedule.
        overtaken: Decisions that were due while an inference was in flight.
        refused: Inferences that gave no chunk that may be followed.
    """

    def __init__(
        self, policy: Policy, config: PartConfig, facts: EpisodeFacts, latency: LatencyEstimate
    ) -> None:
        """Begin an episode.

        Args:
            policy: Who acts.
            config: How.
            facts: Of the episode: its seed and playback speed.
            latency: What is known of the policy's latency from earlier episodes.

        Raises:
            ConfigError: At this speed a chunk would end before its successor takes over, or the
                seed is negative.
        """
        noisy: Policy = SeededNoise(policy, config.seed, facts.drawn_from)
        if facts.speed != 1.0:
            latency_ticks = POLICY_GRID.ceil(config.latency_ns)
            noisy = PlaybackSpeed(noisy, facts.speed, latency_ticks)
            config.check(policy, f"episode {facts.id}", facts.speed)
        self.schedule: Schedule = make_schedule(
            config.schedule, noisy, latency=latency, speed=facts.speed
        )
        self.overtaken = self.refused = 0
        self._config = config
        self._last_ns = -1
        self._is_let_through = True

    def arrive(self, chunk: ActionChunk, newest_ns: int) -> JointTrajectory:
        """Return what is to be followed from now on.

        Args:
            chunk: What was inferred.
            newest_ns: Stamp of the newest sample that was heard [ns].

        Raises:
            TrajectoryError: The chunk is not finite, or not made for these joints.
        """
        if not is_finite_chunk(chunk, len(JOINTS)):
            shape = chunk.positions.shape
            raise TrajectoryError(f"the policy plans what is not finite, or of shape {shape}")
        followed = self.schedule.arrive(chunk, self._arrival_ns(chunk, newest_ns))
        self._last_ns = chunk.stamp_ns
        if not self._is_let_through:
            self.schedule.let_go()
        return chunk_to_trajectory(followed, JOINTS)

    def on_control(self, event: ControlEvent) -> None:
        """Forget the plan when the arm no longer follows it.

        Words on control and on observations may arrive in any order. One that is older than the
        last chunk says nothing about it; a person who has taken over lets no chunk through.
        """
        self._is_let_through = event.source not in (ControlSource.TELEOP, ControlSource.ESTOP)
        if event.source is not ControlSource.POLICY and event.stamp_ns > self._last_ns:
            self.schedule.let_go()

    def _arrival_ns(self, chunk: ActionChunk, newest_ns: int) -> int:
        """Return the first control tick at which the arm can follow a chunk [ns].

        Where time waits for the chunk it never passes the declared latency, so that nothing
        depends on the machine. What was heard later says that time did not wait.
        """
        tick = CONTROL_GRID.ceil(chunk.stamp_ns + self._config.latency_ns)
        if newest_ns > CONTROL_GRID.stamp(tick):
            tick = CONTROL_GRID.floor(newest_ns) + 1
        return CONTROL_GRID.stamp(tick)
