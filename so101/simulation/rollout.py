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
from so101.data.assembly import Recorded, assemble_episode
from so101.data.timeline import Sample, Timeline
from so101.episode import ControlSource, Episode, EpisodeFacts, EpisodeState, Outcome
from so101.events import ControlEvent, EpisodeEvent, RewardEvent
from so101.images import encode_jpeg
from so101.observation import Observation
from so101.rewards.rater import Rater, Verdict
from so101.robot import JOINTS
from so101.simulation.cell import CellTick, SimulatedCell
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


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How episodes are run.

    Attributes:
        time_limit_s: An episode without success is truncated after this [s].
        decision_ticks: Policy ticks from one chunk to the next.
        observation: What the planner sees.
        keeps_episode: Return the recorded episode, not only how it ended.
        jpeg_quality: Of the images, as the simulation node's.
    """

    time_limit_s: float = 12.0
    decision_ticks: int = 8
    observation: ObservationConfig = field(
        default_factory=lambda: ObservationConfig(uses_objects=True)
    )
    keeps_episode: bool = False
    jpeg_quality: int = 90


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How an episode went.

    Attributes:
        facts: Which episode.
        outcome: How it ended.
        duration_s: From its first tick to its end, simulated [s].
        kind: How it stood at the end, in one word.
        changed_ticks: Control ticks at which the gate changed the goal.
        episode: What was recorded, or None.
    """

    facts: EpisodeFacts
    outcome: Outcome
    duration_s: float
    kind: str
    changed_ticks: int
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
    ) -> Rollout:
        """Run one episode from its start to its end.

        Args:
            facts: Task, seed and start pose; ``source`` names who acts.
            planner: Who acts.
            on_tick: Called with every control tick, for pictures and statistics.
        """
        start_ns = self._cell.reset(start_of(facts))
        self._cell.loop.arm()
        self._rater.reset()
        planner.begin(facts)
        run = _Run(self._config, facts, start_ns)
        while run.verdict is None:
            tick = self._cell.tick(render=run.needs_images(self._cell.stamp_ns))
            if on_tick is not None:
                on_tick(tick)
            run.take(tick, self._rater)
            observation = run.acting.due()
            if observation is not None:
                trajectory = chunk_to_trajectory(planner.plan(observation), JOINTS)
                run.planned(trajectory)
                self._cell.follow(trajectory)
            self._cell.advance()
        return run.finish()


class _Run:
    """The bookkeeping of one episode: what a graph would have published."""

    def __init__(self, config: RolloutConfig, facts: EpisodeFacts, start_ns: int) -> None:
        self._config = config
        self._facts = facts
        self._start_ns = self._stamp_ns = start_ns
        self._timeline = Timeline(cameras=config.observation.cameras)
        self._changed = 0
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

    def take(self, tick: CellTick, rater: Rater) -> None:
        """Take what a control tick published."""
        stamp_ns, state = tick.stamp_ns, tick.arm.state
        self._stamp_ns = stamp_ns
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
