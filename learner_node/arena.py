"""A simulated cell to demonstrate, roll out and try policies in, without ROS.

Observations, joins, safety gate and noise are those of the graph, so what is learned here holds
there. Everything follows from the run seed.
"""

from collections.abc import Iterator
from dataclasses import replace

from so101.action import ActionChunk
from so101.episode import Episode, EpisodeFacts, Outcome
from so101.episode_plan import EpisodePlan, Use
from so101.errors import SessionError
from so101.groups.rollout import RatedRollout
from so101.observation import Observation
from so101.policies.policy import Policy
from so101.policies.policy_planner import PolicyPlanner
from so101.rewards.pick_rater import PickRater
from so101.simulation.build import make_cell
from so101.simulation.demonstrator import ScriptedDemonstrator
from so101.simulation.rollout import Planner, Rollout, RolloutConfig, RolloutRunner
from so101.simulation.tasks.table import make_task
from so101.spec import PolicySpec
from so101.streams import ObservationConfig

_MOST_TRIES = 4
"""Demonstrations attempted per demonstration wanted before giving up."""


class Demonstrator:
    """The scripted, imperfect demonstrator as a `Planner`."""

    def __init__(self, plan: EpisodePlan) -> None:
        """Demonstrate the plan's task."""
        self._script = ScriptedDemonstrator(make_task(plan.task, plan.start))

    def begin(self, facts: EpisodeFacts) -> None:
        """Begin an episode."""
        self._script.reset(facts.seed)

    def plan(self, observation: Observation) -> ActionChunk:
        """Plan the next chunk."""
        return self._script.act(observation)


class Arena:
    """One simulated cell."""

    def __init__(
        self,
        plan: EpisodePlan,
        spec: PolicySpec,
        *,
        camera_size: tuple[int, int] = (240, 320),
        time_limit_s: float = 12.0,
    ) -> None:
        """Build the cell.

        Args:
            plan: Seed, task and starts.
            spec: What the policies see and do.
            camera_size: Height and width of the rendered images [px].
            time_limit_s: Of an episode [s].

        Raises:
            RenderError: The spec has cameras and no OpenGL back-end works.
        """
        self.plan, self.spec, self.time_limit_s = plan, spec, time_limit_s
        self._cell = make_cell(cameras=spec.cameras, camera_size=camera_size)
        self._rater = PickRater()

    def demonstrate(self, count: int) -> list[Episode]:
        """Return the first successful demonstrations of the plan.

        Raises:
            SessionError: The script fails most of the time.
        """
        # the script looks at object poses; images are recorded as the policy will see them
        seen = ObservationConfig(cameras=self.spec.cameras, uses_objects=True)
        planner = Demonstrator(self.plan)
        found: list[Episode] = []
        for number in range(_MOST_TRIES * count):
            if len(found) == count:
                return found
            rollout = self._run(self.plan.demonstration(number), planner, seen, keeps=True)
            if rollout.outcome is Outcome.SUCCESS and rollout.episode is not None:
                found.append(rollout.episode)
        if len(found) == count:
            return found
        raise SessionError(
            f"{len(found)} of {_MOST_TRIES * count} demonstrations succeeded, {count} are needed"
        )

    def roll_out(self, policy: Policy, facts: EpisodeFacts) -> Episode:
        """Return a recorded rollout of a policy.

        Raises:
            ConfigError: At the facts' speed a chunk would end before its successor takes over.
        """
        planner = PolicyPlanner(policy, self.plan.seed)
        rollout = self._run(facts, planner, self._seen(), keeps=True)
        assert rollout.episode is not None
        return rollout.episode

    def try_out(
        self, policy: Policy, use: Use, poses: int, *, speed: float = 1.0
    ) -> list[RatedRollout]:
        """Return how a policy does from fixed starts.

        Args:
            policy: The policy.
            use: ``evaluation`` or ``gate``: whose starts.
            poses: How many.
            speed: Playback factor of its chunks.
        """
        return list(self.tries(policy, use, poses, speed=speed))

    def tries(
        self, policy: Policy, use: Use, poses: int, *, speed: float = 1.0
    ) -> Iterator[RatedRollout]:
        """Yield what `try_out` returns, one after another: whoever asks may stop in between."""
        planner, seen = PolicyPlanner(policy, self.plan.seed), self._seen()
        for number in range(poses):
            facts = replace(self.plan.trial(number, use=use), speed=speed)
            yield _rated(self._run(facts, planner, seen, keeps=False))

    def close(self) -> None:
        """Give the cell back."""
        self._cell.world.close()

    def _seen(self) -> ObservationConfig:
        return ObservationConfig.for_policy(self.spec, is_lock_step=True)

    def _run(
        self, facts: EpisodeFacts, planner: Planner, seen: ObservationConfig, *, keeps: bool
    ) -> Rollout:
        config = RolloutConfig(
            time_limit_s=self.time_limit_s,
            decision_ticks=self.spec.action_space.decision_ticks,
            observation=seen,
            keeps_episode=keeps,
        )
        return RolloutRunner(self._cell, self._rater, config).run(facts, planner)


def _rated(rollout: Rollout) -> RatedRollout:
    return RatedRollout(
        episode=rollout.facts.id,
        group=rollout.facts.group,
        duration_s=rollout.duration_s,
        is_success=rollout.outcome is Outcome.SUCCESS,
    )
