"""Whole episodes in process: the graph's tick order without the graph.

What the policy sees goes through the same join, JPEG included, and what is recorded through the
same reader as a bag's messages, so a roll-out here is worth the same as one through the nodes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from so101.acting import ActingLoop
from so101.action import ActionChunk
from so101.clock import POLICY_GRID
from so101.control.trajectory import JointTrajectory, chunk_to_trajectory
from so101.data.episodes.assembly import Recorded, assemble_episode
from so101.data.episodes.timeline import Sample, Timeline
from so101.episode import ControlSource, Episode, EpisodeFacts, EpisodeState, Outcome
from so101.errors import TrajectoryError
from so101.events import ControlEvent, EpisodeEvent, RewardEvent
from so101.images import encode_jpeg
from so101.observation import Observation
from so101.rewards.rater import Rater, Verdict
from so101.robot import JOINTS
from so101.simulation.cell import CellTick, SimulatedCell
from so101.simulation.delivery import Delivery
from so101.simulation.latency import NO_LATENCY, SimulatedLatency
from so101.simulation.tasks.table import start_of
from so101.streams import JointSample, ObservationConfig
from so101.topics import (
    CONTROL_SOURCE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    POLICY_TRAJECTORY,
    REWARD,
    TELEOP_TRAJECTORY,
    image_topic,
)

_TRAJECTORIES = {"policy": POLICY_TRAJECTORY.name, "teleop": TELEOP_TRAJECTORY.name}


class Planner(Protocol):
    """Who acts: a policy or the script, seeded per episode."""

    def begin(self, facts: EpisodeFacts) -> None:
        """Begin an episode."""
        ...

    def plan(self, observation: Observation) -> ActionChunk:
        """Plan the next chunk."""
        ...


class Arrivals(Protocol):
    """What becomes of a chunk that took time to plan; see ``so101.policies.schedules``."""

    @property
    def free_ns(self) -> int:
        """Stamp before which no observation is worth an inference [ns]."""
        ...

    def arrive(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        """Return what is followed once a chunk has reached the arm at ``now_ns``."""
        ...


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How episodes are run.

    Attributes:
        time_limit_s: An episode without success is truncated after this [s].
        decision_ticks: Policy ticks from one chunk to the next.
        observation: What the planner sees.
        keeps_episode: Return the recorded episode, not only how it ended.
        jpeg_quality: Of the images, as the simulation node's.
        latency: Simulated time from an observation to its chunk.
    """

    time_limit_s: float = 12.0
    decision_ticks: int = 8
    observation: ObservationConfig = field(
        default_factory=lambda: ObservationConfig(uses_objects=True)
    )
    keeps_episode: bool = False
    jpeg_quality: int = 90
    latency: SimulatedLatency = NO_LATENCY


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How an episode went.

    Attributes:
        facts: Which episode.
        outcome: How it ended.
        duration_s: From its first tick to its end, simulated [s].
        kind: How it stood at the end, in one word.
        changed_ticks: Control ticks at which the gate changed the goal.
        followed_ticks: Control ticks since the first chunk reached the arm.
        stalled_ticks: Those of them at which every point of the arm's plan was past.
        refused_chunks: Chunks that were past as a whole when they reached the arm.
        episode: What was recorded, or None.
    """

    facts: EpisodeFacts
    outcome: Outcome
    duration_s: float
    kind: str
    changed_ticks: int
    followed_ticks: int = 0
    stalled_ticks: int = 0
    refused_chunks: int = 0
    episode: Episode | None = None


class RolloutRunner:
    """Runs episodes one after another in one cell."""

    def __init__(self, cell: SimulatedCell, rater: Rater, config: RolloutConfig) -> None:
        """Wire the parts."""
        self._cell = cell
        self._rater = rater
        self._config = config

    def run(
        self,
        facts: EpisodeFacts,
        planner: Planner,
        on_tick: Callable[[CellTick], None] | None = None,
        *,
        arrivals: Arrivals | None = None,
    ) -> Rollout:
        """Run one episode from its start to its end.

        While a chunk is under way time goes on, as in the graph with ``simulated_latency``: the
        chunk planned from the observation of t reaches the arm right after the first control tick
        at or after t + latency. One is under way at a time.

        Args:
            facts: Task, seed and start pose; ``source`` names who acts.
            planner: Who acts.
            on_tick: Called with every control tick, for pictures and statistics.
            arrivals: The planner's schedule; without one, chunks are followed as planned.

        Raises:
            TrajectoryError: The arm refuses a chunk although it is not past.
        """
        start_ns = self._cell.reset(start_of(facts), 1)  # a chunk of stamp 0 would mean now
        self._cell.loop.arm()
        self._rater.reset()
        planner.begin(facts)
        run = _Run(self._config, facts, start_ns)
        while run.verdict is None:
            tick = self._cell.tick(render=run.needs_images(self._cell.stamp_ns))
            if on_tick is not None:
                on_tick(tick)
            run.take(tick, self._rater)
            self._hand_over(run, arrivals)
            observation = run.due()
            if observation is not None:
                run.send(planner.plan(observation))
                self._hand_over(run, arrivals)
            self._cell.advance()
        return run.finish()

    def _hand_over(self, run: "_Run", arrivals: Arrivals | None) -> None:
        """Let the arm follow the chunk that has reached it by now, if there is one."""
        now_ns = self._cell.last_ns
        chunk = run.delivery.arrived(now_ns)
        if chunk is None:
            return
        if arrivals is not None:
            chunk = arrivals.arrive(chunk, now_ns)
            run.acting.clock.postpone(arrivals.free_ns)
        trajectory = chunk_to_trajectory(chunk, JOINTS)
        run.planned(trajectory)
        try:
            self._cell.follow(trajectory)
        except TrajectoryError:
            if trajectory.ends_ns > now_ns:
                raise
            run.delivery.refused += 1
        else:
            run.delivery.followed(trajectory.ends_ns)


class _Run:
    """The bookkeeping of one episode: what a graph would have published."""

    def __init__(self, config: RolloutConfig, facts: EpisodeFacts, start_ns: int) -> None:
        self._config = config
        self._facts = facts
        self._start_ns = self._stamp_ns = start_ns
        self._timeline = Timeline(cameras=config.observation.cameras)
        self._changed = 0
        self.delivery = Delivery(config.latency, facts.seed)
        self.verdict: Verdict | None = None
        self._outcome = Outcome.TRUNCATED
        source = ControlSource(facts.source)
        self.acting = ActingLoop(config.observation, facts.source, config.decision_ticks)
        self.acting.on_episode(
            EpisodeEvent(stamp_ns=start_ns, state=EpisodeState.RUNNING, facts=facts)
        )
        self._timeline.events[CONTROL_SOURCE.name].append(
            ControlEvent(stamp_ns=start_ns, source=source)
        )

    def needs_images(self, stamp_ns: int) -> bool:
        """Tell whether anybody looks at this tick's images."""
        return self._config.keeps_episode or stamp_ns == self.acting.clock.due_ns

    def due(self) -> Observation | None:
        """Return the observation that is due, unless a chunk is still under way."""
        return None if self.delivery.is_under_way else self.acting.due()

    def send(self, chunk: ActionChunk) -> None:
        """Send a chunk on its way to the arm; nobody decides before it is there."""
        self.acting.clock.postpone(self.delivery.send(chunk))

    def take(self, tick: CellTick, rater: Rater) -> None:
        """Take what a control tick published."""
        stamp_ns, state = tick.stamp_ns, tick.arm.state
        self._stamp_ns = stamp_ns
        self.delivery.on_tick(stamp_ns)
        self._changed += bool(tick.arm.reasons)
        sample = JointSample(
            positions=state.positions, velocities=state.velocities, effort=state.effort
        )
        self._feed(JOINT_STATES.name, sample, stamp_ns)
        self._feed(JOINT_COMMANDS.name, tick.arm.command, stamp_ns)
        for camera, image in tick.images.items():
            jpeg = encode_jpeg(image, self._config.jpeg_quality)
            self._feed(image_topic(camera).name, jpeg, stamp_ns)
        if tick.objects is None:
            return
        self._feed(OBJECTS.name, tick.objects, stamp_ns)
        self._rate(tick, rater)

    def planned(self, trajectory: JointTrajectory) -> None:
        """Keep what was planned."""
        self._timeline.trajectories[_TRAJECTORIES[self._facts.source]].append(trajectory)

    def finish(self) -> Rollout:
        """Say how it went."""
        duration_s = (self._stamp_ns - self._start_ns) * 1e-9
        return Rollout(
            facts=self._facts,
            outcome=self._outcome,
            duration_s=duration_s,
            kind="" if self.verdict is None else self.verdict.kind,
            changed_ticks=self._changed,
            followed_ticks=self.delivery.followed_ticks,
            stalled_ticks=self.delivery.stalled_ticks,
            refused_chunks=self.delivery.refused,
            episode=self._episode() if self._config.keeps_episode else None,
        )

    def _feed(self, topic: str, value: object, stamp_ns: int) -> None:
        if topic in self.acting.builder.topics:
            self.acting.feed(topic, value, stamp_ns, stamp_ns)
        if self._config.keeps_episode:
            self._timeline.samples.append(Sample(topic, value, stamp_ns, stamp_ns))

    def _rate(self, tick: CellTick, rater: Rater) -> None:
        state = tick.arm.state
        seen = Observation(
            stamp_ns=tick.stamp_ns,
            positions=state.positions,
            velocities=state.velocities,
            effort=state.effort,
            command=tick.arm.command,
            objects=tick.objects,
        )
        verdict = rater.update(seen)
        is_over = (tick.stamp_ns - self._start_ns) * 1e-9 >= self._config.time_limit_s
        is_end = verdict.is_success or verdict.is_failure
        event = RewardEvent(
            stamp_ns=tick.stamp_ns,
            reward=verdict.reward,
            success_probability=verdict.probability,
            terminated=is_end,
        )
        self._timeline.events[REWARD.name].append(event)
        if is_end or is_over:
            self.verdict = verdict
        if is_end:
            self._outcome = Outcome.SUCCESS if verdict.is_success else Outcome.FAILURE

    def _episode(self) -> Episode:
        return assemble_episode(
            self._timeline,
            Recorded(
                facts=self._facts,
                outcome=self._outcome,
                start_ns=self._start_ns,
                end_ns=POLICY_GRID.stamp(POLICY_GRID.floor(self._stamp_ns)),
            ),
            self._config.observation,
        )
