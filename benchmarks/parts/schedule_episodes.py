"""Episodes of the simulated pick with time-consuming inference, and how smoothly the arm moved."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from so101.arm import ArmState
from so101.arrays import FloatArray
from so101.clock import CONTROL_HZ
from so101.episode import Outcome
from so101.episode_plan import EpisodePlan
from so101.evaluation import rollout_config
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.policy import Policy
from so101.policies.policy_planner import PolicyPlanner
from so101.rewards.pick_rater import PickRater
from so101.robot import CAMERAS, JOINTS
from so101.simulation.build import make_cell
from so101.simulation.cell import CellTick, SimulatedCell
from so101.simulation.latency import SimulatedLatency
from so101.simulation.rollout import RolloutRunner


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What is compared: a schedule at a latency."""

    schedule: str
    latency_s: float
    jitter: float


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """One episode; sums instead of means, so that episodes can be pooled.

    Attributes:
        number: Of the episode; the same start, noise and draws of latency in every condition.
        is_success: It succeeded.
        duration_s: Simulated [s].
        followed_ticks: Control ticks (60 Hz) since the first chunk reached the arm.
        stalled_ticks: Those of them at which every point of the arm's plan was past.
        refused_chunks: Chunks that were past as a whole on arrival.
        changed_ticks: Control ticks at which the gate changed the goal.
        jerks: Third differences that the sums below are over, of one joint.
        jerk_before: Sum of squared jerk of the planned goal, mean over joints [rad²/s⁶].
        jerk_after: The same of what the gate let out.
        ticks: Control ticks that the sum below is over.
        error: Sum of the squared tracking error, mean over joints [rad²]: the measured position
            at a tick minus the goal that was in force until then.
    """

    number: int
    is_success: bool
    duration_s: float
    followed_ticks: int
    stalled_ticks: int
    refused_chunks: int
    changed_ticks: int
    jerks: int
    jerk_before: float
    jerk_after: float
    ticks: int
    error: float


@dataclass
class Probe:
    """Sees what enters the gate, as a filter before it, and what leaves it."""

    goal: FloatArray | None = None
    before: list[FloatArray] = field(default_factory=list)
    after: list[FloatArray] = field(default_factory=list)
    measured: list[FloatArray] = field(default_factory=list)

    def __call__(self, goal: FloatArray, state: ArmState, stamp_ns: int) -> FloatArray:
        """Let a goal pass."""
        self.goal = goal
        return goal

    def on_tick(self, tick: CellTick) -> None:
        """Keep a tick; without a goal to follow, what was planned is to stay at the command."""
        self.before.append(tick.arm.command if self.goal is None else self.goal)
        self.after.append(tick.arm.command)
        self.measured.append(tick.arm.state.positions)
        self.goal = None

    def clear(self) -> None:
        """Begin an episode."""
        self.goal = None
        self.before, self.after, self.measured = [], [], []


def squared_jerk(goals: list[FloatArray]) -> float:
    """Return the sum over ticks of the squared third difference, mean over joints [rad²/s⁶]."""
    jerk = np.diff(np.array(goals), n=3, axis=0) * CONTROL_HZ**3
    return float(np.square(jerk).mean(axis=1).sum())


class Bench:
    """One cell and policy; runs any episode in any condition."""

    def __init__(self, policy: Policy, seed: int, start: str = "std") -> None:
        """Build the cell."""
        self._policy, self._seed = policy, seed
        self._plan = EpisodePlan(seed=seed, start=start)
        self._probe = Probe()
        self._cell: SimulatedCell = make_cell(cameras=(), filters=(self._probe,))

    def run(self, condition: Condition, number: int) -> EpisodeResult:
        """Run one episode."""
        latency = SimulatedLatency(
            mean_s=condition.latency_s, jitter=condition.jitter, seed=self._seed
        )
        planner = PolicyPlanner(
            self._policy, self._seed, schedule=condition.schedule, latency=latency
        )
        config = replace(
            rollout_config(self._policy.spec),
            decision_ticks=planner.decision_ticks,
            latency=latency,
        )
        probe = self._probe
        probe.clear()
        rollout = RolloutRunner(self._cell, PickRater(), config).run(
            self._plan.trial(number), planner, probe.on_tick, arrivals=planner
        )
        off = np.array(probe.measured[1:]) - np.array(probe.after[:-1])
        return EpisodeResult(
            number=number,
            is_success=rollout.outcome is Outcome.SUCCESS,
            duration_s=rollout.duration_s,
            followed_ticks=rollout.followed_ticks,
            stalled_ticks=rollout.stalled_ticks,
            refused_chunks=rollout.refused_chunks,
            changed_ticks=rollout.changed_ticks,
            jerks=max(0, len(probe.after) - 3),
            jerk_before=squared_jerk(probe.before),
            jerk_after=squared_jerk(probe.after),
            ticks=len(off),
            error=float(np.square(off).mean(axis=1).sum()),
        )


@cache
def _bench(checkpoint: Path, seed: int) -> Bench:
    torch.set_num_threads(1)
    return Bench(load_policy(checkpoint, JOINTS, CAMERAS), seed)


def run_episodes(
    checkpoint: Path, seed: int, condition: Condition, numbers: range
) -> list[EpisodeResult]:
    """Run some episodes in this process, which keeps cell and policy for the next ones."""
    return [_bench(checkpoint, seed).run(condition, number) for number in numbers]
