"""Episodes in process: the same episode whenever it starts, recorded like through the graph."""

from dataclasses import replace

import numpy as np
import pytest

from so101.action import ActionChunk
from so101.clock import POLICY_GRID
from so101.episode import EpisodeFacts, Outcome
from so101.evaluation import rollout_config
from so101.policies.hold_policy import HoldPolicy
from so101.policies.policy_planner import PolicyPlanner
from so101.rewards.pick_rater import PickRater
from so101.simulation.build import make_cell
from so101.simulation.cell import SimulatedCell
from so101.simulation.demonstrator import Imperfection, ScriptedDemonstrator
from so101.simulation.rollout import RolloutConfig, RolloutRunner
from so101.simulation.tasks.table import make_task, start_of
from so101.spec import PolicySpec

FACTS = EpisodeFacts(id="rollout-1", task="pick", source="policy", seed=5, start_pose="std")
CONFIG = rollout_config(PolicySpec(uses_objects=True), keeps_episode=True)


class Script:
    """The clean expert as a planner."""

    def __init__(self):
        self._expert = ScriptedDemonstrator(make_task("pick"), Imperfection.none())

    def begin(self, facts):
        self._expert.reset(facts.seed)

    def plan(self, observation):
        return self._expert.act(observation)


class Wobble:
    """Plans points that no two chunks agree on: the follower and the gate have work to do."""

    def begin(self, facts):
        self._rng = np.random.default_rng(facts.seed)

    def plan(self, observation):
        points = observation.command + self._rng.normal(0.0, 0.05, (16, 6)).cumsum(axis=0)
        return ActionChunk(stamp_ns=observation.stamp_ns, positions=points)


@pytest.fixture(scope="module")
def cell():
    return make_cell(cameras=())


def begun_at(cell, tick):
    """The same parts, with time starting at another policy tick."""
    return SimulatedCell(cell.world, cell.loop, (), POLICY_GRID.stamp(tick))


def run(cell, planner, facts=FACTS, config=CONFIG):
    return RolloutRunner(cell, PickRater(), config).run(facts, planner)


def assert_same(first, second):
    for name in ("positions", "velocities", "effort", "commands", "actions", "objects", "rewards"):
        one, other = getattr(first.episode, name), getattr(second.episode, name)
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert (first.outcome, first.kind) == (second.outcome, second.kind)
    assert first.duration_s == pytest.approx(second.duration_s, abs=1e-8)
    assert first.changed_ticks == second.changed_ticks


def test_the_same_seed_gives_the_same_episode_to_the_bit(cell):
    config = replace(CONFIG, time_limit_s=2.0)
    assert_same(run(cell, Wobble(), config=config), run(cell, Wobble(), config=config))


@pytest.mark.parametrize("tick", [1, 2, 1000, 123_457])
def test_an_episode_does_not_depend_on_when_it_starts(cell, tick):
    """Nanosecond stamps of a 60 Hz grid are rounded; nothing may be computed from the rounding."""
    config = replace(CONFIG, time_limit_s=2.0)
    first = run(begun_at(cell, 0), Wobble(), config=config)
    second = run(begun_at(cell, tick), Wobble(), config=config)
    assert_same(first, second)


def test_the_expert_succeeds_and_its_episode_says_so(cell):
    rollout = run(cell, Script())
    assert rollout.outcome is Outcome.SUCCESS
    episode = rollout.episode
    assert episode.outcome is Outcome.SUCCESS
    assert episode.rewards.sum() == pytest.approx(1.0)
    assert episode.terminated[-1] and not episode.truncated.any()
    assert not episode.is_gap.any()


def test_what_the_gate_left_alone_is_what_was_planned(cell):
    """The law of the time grid: action k of a decision is point k of its chunk."""
    rollout = run(cell, Script())
    assert rollout.changed_ticks == 0
    episode = rollout.episode
    index = {stamp: i for i, stamp in enumerate(episode.stamps_ns.tolist())}
    checked = 0
    for stamp, chunk in episode.planned.items():
        first = index[stamp]
        steps = min(CONFIG.decision_ticks, len(episode) - first)
        np.testing.assert_allclose(
            episode.actions[first : first + steps], chunk[:steps], rtol=0.0, atol=1e-9
        )
        checked += steps
    assert checked >= len(episode) - CONFIG.decision_ticks


def test_the_null_policy_is_truncated_and_scores_nothing(cell):
    planner = PolicyPlanner(HoldPolicy(PolicySpec(uses_objects=True)), run_seed=0)
    rollout = run(cell, planner)
    assert rollout.outcome is Outcome.TRUNCATED
    assert rollout.kind == "never_touched"
    assert rollout.duration_s == pytest.approx(RolloutConfig().time_limit_s)
    assert rollout.episode.rewards.sum() == 0.0
    assert rollout.episode.truncated[-1] and not rollout.episode.terminated.any()


def test_an_episode_starts_where_its_facts_say(cell):
    facts = replace(FACTS, start_pose="std+recovery", seed=9)
    rollout = run(cell, Wobble(), facts, replace(CONFIG, time_limit_s=0.3))
    start = start_of(facts)
    np.testing.assert_allclose(rollout.episode.positions[0], start.positions, atol=1e-9)
    np.testing.assert_allclose(rollout.episode.objects[0], start.objects, atol=1e-6)
