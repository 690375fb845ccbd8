"""Evaluation: how often and how fast a policy succeeds from fixed starts. No ROS.

The starts and the noise are those of the session's evaluation, so that the same checkpoint meets
the same episodes in process and through the nodes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from so101.episode import EpisodeFacts, Outcome
from so101.episode_plan import EpisodePlan
from so101.errors import ConfigError
from so101.policies.policy import Policy
from so101.policies.policy_planner import PolicyPlanner
from so101.policies.schedules.scheduling import check_schedule
from so101.rewards.pick_rater import PickRater
from so101.simulation.build import make_cell
from so101.simulation.latency import NO_LATENCY, SimulatedLatency
from so101.simulation.rollout import Rollout, RolloutConfig, RolloutRunner
from so101.simulation.tasks.table import make_task
from so101.spec import PolicySpec
from so101.statistics import median, wilson_interval
from so101.streams import ObservationConfig

PHASE = "evaluation"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Which episodes are run.

    Attributes:
        episodes: How many.
        seed: Run seed: of the starts and of the policy's noise.
        start: Start region.
        task: Name of the task.
        camera_size: Height and width of the rendered images [px].
        schedule: When the policy looks, and what becomes of its chunks; see
            `so101.policies.schedules.scheduling`.
        latency: Simulated time from an observation to its chunk.
    """

    episodes: int = 20
    seed: int = 0
    start: str = "std"
    task: str = "pick"
    camera_size: tuple[int, int] = (240, 320)
    schedule: str = "async"
    latency: SimulatedLatency = NO_LATENCY

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ConfigError: There is no episode to run, or the seed, task, region or schedule is
                unusable.
        """
        if self.episodes < 1 or self.seed < 0:
            raise ConfigError(
                f"evaluation: episodes={self.episodes} must be at least 1 and "
                f"seed={self.seed} at least 0"
            )
        make_task(self.task, self.start)
        check_schedule(self.schedule)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How one episode of an evaluation went.

    Attributes:
        seed: Of its start and noise.
        outcome: How it ended.
        duration_s: From its first tick to its end, simulated [s].
        kind: What went wrong, in one word; empty after a success.
        followed_ticks: Control ticks since the first chunk reached the arm.
        stalled_ticks: Those of them at which the arm had nothing left to follow.
        refused_chunks: Chunks that reached the arm when all their points were past.
    """

    seed: int
    outcome: Outcome
    duration_s: float
    kind: str = ""
    followed_ticks: int = 0
    stalled_ticks: int = 0
    refused_chunks: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        trials: Its episodes, in the order of their seeds.
    """

    trials: tuple[Trial, ...]

    @property
    def successes(self) -> int:
        """Number of episodes that succeeded."""
        return sum(trial.outcome is Outcome.SUCCESS for trial in self.trials)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the success probability, 95 %."""
        return wilson_interval(self.successes, len(self.trials))

    @property
    def median_s(self) -> float | None:
        """Median duration of the successes [s]; None without any."""
        return median([t.duration_s for t in self.trials if t.outcome is Outcome.SUCCESS])

    @property
    def failures(self) -> dict[str, int]:
        """Number of the other episodes by what went wrong, the commonest first."""
        kinds = Counter(
            t.kind or t.outcome.value for t in self.trials if t.outcome is not Outcome.SUCCESS
        )
        return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))

    @property
    def stalled(self) -> float | None:
        """Share of the time, from the first chunk on, that the arm had nothing to follow.

        None where nobody counted it, as in what the graph recorded.
        """
        ticks = sum(t.followed_ticks for t in self.trials)
        return sum(t.stalled_ticks for t in self.trials) / ticks if ticks else None

    def lines(self) -> list[str]:
        """Say it in a few lines for a person."""
        low, high = self.interval
        typical_s = self.median_s
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.failures.items())
        share = f"{self.successes / len(self.trials):.2f}" if self.trials else "none"
        late = sum(t.refused_chunks for t in self.trials)
        lines = [
            f"success   {self.successes}/{len(self.trials)} = {share} "
            f"(95 % interval {low:.2f}-{high:.2f})",
            f"duration  {'none' if typical_s is None else f'{typical_s:.2f} s'} "
            "(median of the successes)",
            f"failures  {kinds or 'none'}",
        ]
        if self.stalled is not None:
            stalled = f"{100.0 * self.stalled:.1f} % of the time"
            lines.append(f"stalled   {stalled}, {late} chunks came too late")
        return lines

    def to_mapping(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "episodes": len(self.trials),
            "successes": self.successes,
            "interval": list(self.interval),
            "median_s": self.median_s,
            "failures": self.failures,
            "stalled": self.stalled,
            "trials": [
                {
                    "seed": t.seed,
                    "outcome": t.outcome.value,
                    "duration_s": t.duration_s,
                    "kind": t.kind,
                    "followed_ticks": t.followed_ticks,
                    "stalled_ticks": t.stalled_ticks,
                    "refused_chunks": t.refused_chunks,
                }
                for t in self.trials
            ],
        }


def trial_facts(config: EvaluationConfig, number: int, checkpoint: str = "") -> EpisodeFacts:
    """Return the facts of one episode, as the session's own evaluation has them.

    Args:
        config: The evaluation.
        number: Of the episode, from 0.
        checkpoint: sha256 of the policy's weights.
    """
    words = make_task(config.task, config.start).instruction
    plan = EpisodePlan(seed=config.seed, task=config.task, instruction=words, start=config.start)
    return plan.trial(number, checkpoint)


def rollout_config(spec: PolicySpec, *, keeps_episode: bool = False) -> RolloutConfig:
    """Return how episodes of a policy are run in process."""
    return RolloutConfig(
        decision_ticks=spec.action_space.decision_ticks,
        observation=ObservationConfig.for_policy(spec, is_lock_step=True),
        keeps_episode=keeps_episode,
    )


def evaluate(
    policy: Policy,
    config: EvaluationConfig,
    *,
    checkpoint: str = "",
    on_trial: Callable[[Trial], None] | None = None,
) -> Evaluation:
    """Run a policy from every start in a simulated cell.

    Args:
        policy: What is evaluated; its spec says what it sees.
        config: Which episodes.
        checkpoint: sha256 of its weights, for the episodes' facts.
        on_trial: Called after every episode.

    Raises:
        RenderError: It looks at cameras and no OpenGL back-end works.
        ObservationError: It needs what this simulation does not show.
    """
    cell = make_cell(cameras=policy.spec.cameras, camera_size=config.camera_size)
    try:
        planner = PolicyPlanner(
            policy, config.seed, schedule=config.schedule, latency=config.latency
        )
        timed = replace(
            rollout_config(policy.spec),
            decision_ticks=planner.decision_ticks,
            latency=config.latency,
        )
        runner = RolloutRunner(cell, PickRater(), timed)
        trials: list[Trial] = []
        for number in range(config.episodes):
            facts = trial_facts(config, number, checkpoint)
            trials.append(_to_trial(runner.run(facts, planner, arrivals=planner)))
            if on_trial is not None:
                on_trial(trials[-1])
    finally:
        cell.world.close()
    return Evaluation(trials=tuple(trials))


def in_seed_order(trials: Sequence[Trial]) -> Evaluation:
    """Return the evaluation of trials that were gathered in any order."""
    return Evaluation(trials=tuple(sorted(trials, key=lambda trial: trial.seed)))


def _to_trial(rollout: Rollout) -> Trial:
    return Trial(
        seed=rollout.facts.seed,
        outcome=rollout.outcome,
        duration_s=rollout.duration_s,
        kind="" if rollout.outcome is Outcome.SUCCESS else rollout.kind,
        followed_ticks=rollout.followed_ticks,
        stalled_ticks=rollout.stalled_ticks,
        refused_chunks=rollout.refused_chunks,
    )
