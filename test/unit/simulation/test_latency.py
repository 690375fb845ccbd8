"""Inference that takes simulated time: arrivals, one at a time, stalls and refusals counted."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.policy_factories import make_policy, make_spec
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ActionChunk
from so101.clock import CONTROL_GRID, POLICY_GRID, nanoseconds
from so101.episode import EpisodeFacts, Outcome
from so101.errors import ConfigError
from so101.evaluation import EvaluationConfig, evaluate, rollout_config
from so101.policies.hold_policy import HoldPolicy
from so101.policies.policy_planner import PolicyPlanner
from so101.rewards.pick_rater import PickRater
from so101.simulation.build import make_cell
from so101.simulation.delivery import Delivery
from so101.simulation.latency import NO_LATENCY, SimulatedLatency
from so101.simulation.rollout import RolloutRunner
from so101.spec import PolicySpec

FACTS = EpisodeFacts(id="rollout-1", task="pick", source="policy", seed=5, start_pose="std")
SPEC = PolicySpec(uses_objects=True)
SHORT = replace(rollout_config(SPEC, keeps_episode=True), time_limit_s=2.0)


@pytest.fixture(scope="module")
def cell():
    return make_cell(cameras=())


class Recorded:
    """A planner that remembers when it was asked and when its chunks were there."""

    def __init__(self, inner):
        self.inner, self.asked, self.there, self.followed = inner, [], [], []

    def begin(self, facts):
        self.inner.begin(facts)

    def plan(self, observation):
        self.asked.append(observation.stamp_ns)
        return self.inner.plan(observation)

    @property
    def free_ns(self):
        return self.inner.free_ns

    def arrive(self, chunk, now_ns):
        self.there.append(now_ns)
        self.followed.append(self.inner.arrive(chunk, now_ns))
        return self.followed[-1]


def run(cell, schedule, latency, *, policy=None, config=SHORT):
    planner = PolicyPlanner(policy or make_policy(), 3, schedule=schedule, latency=latency)
    config = replace(config, decision_ticks=planner.decision_ticks, latency=latency)
    seen = Recorded(planner)
    rollout = RolloutRunner(cell, PickRater(), config).run(FACTS, seen, arrivals=seen)
    return rollout, seen


@given(st.floats(0.001, 1.0), st.floats(0.0, 1.0), st.integers(0, 2**40), st.integers(0, 500))
def test_latencies_are_the_seeds_and_within_their_bounds(mean_s, jitter, seed, index):
    latency = SimulatedLatency(mean_s=mean_s, jitter=jitter, seed=seed)
    drawn = latency.draw_ns(7, index)
    assert drawn == SimulatedLatency(mean_s=mean_s, jitter=jitter, seed=seed).draw_ns(7, index)
    assert latency.mean_ns * (1 - jitter) - 2 <= drawn <= latency.longest_ns + 1
    if jitter == 0.0:
        assert drawn == latency.mean_ns


def test_jitter_is_uniform_about_the_mean():
    latency = SimulatedLatency(mean_s=0.1, jitter=0.3)
    drawn = np.array([latency.draw_ns(1, k) for k in range(2000)]) * 1e-9
    assert abs(drawn.mean() - 0.1) < 0.002
    assert drawn.min() < 0.072 and drawn.max() > 0.128
    assert abs(drawn.std() - 0.06 / np.sqrt(12)) < 0.001
    twice = np.array([SimulatedLatency(mean_s=0.2, jitter=0.3).draw_ns(1, k) for k in range(9)])
    np.testing.assert_allclose(twice * 1e-9, 2 * drawn[:9], atol=1e-8)  # paired across means


@pytest.mark.parametrize("bad", [{"mean_s": -0.1}, {"mean_s": 2.0}, {"jitter": 1.5}])
def test_a_latency_that_cannot_be_is_refused(bad):
    with pytest.raises(ConfigError, match="simulated latency"):
        SimulatedLatency(**bad)


@given(st.integers(0, 10**6), st.floats(0.0, 0.5))
def test_a_chunk_is_there_right_after_the_tick_that_the_graph_would_take(tick, latency_s):
    """The simulation node's rule: followed from the first tick with stamp + latency <= tick."""
    latency = SimulatedLatency(mean_s=latency_s)
    delivery = Delivery(latency, 0)
    chunk = ActionChunk(stamp_ns=POLICY_GRID.stamp(tick), positions=np.zeros((4, 6)))
    there_ns = delivery.send(chunk)
    assert delivery.is_under_way
    first = next(
        stamp
        for stamp in (CONTROL_GRID.stamp(2 * tick + k) for k in range(40))
        if chunk.stamp_ns + latency.mean_ns <= stamp
    )
    assert there_ns == first
    assert delivery.arrived(there_ns - 1) is None
    assert delivery.arrived(there_ns) is chunk
    assert delivery.arrived(there_ns) is None and not delivery.is_under_way


def test_ticks_are_stalled_from_the_one_after_the_last_point_on():
    delivery = Delivery(NO_LATENCY, 0)
    delivery.on_tick(CONTROL_GRID.stamp(1))
    delivery.followed(CONTROL_GRID.stamp(4))
    for k in range(2, 8):
        delivery.on_tick(CONTROL_GRID.stamp(k))
    assert (delivery.followed_ticks, delivery.stalled_ticks) == (6, 3)


def test_without_latency_async_is_what_it_always_was(cell):
    """With and without arrivals, to the bit."""
    policy = make_policy()
    plain = RolloutRunner(cell, PickRater(), SHORT).run(FACTS, PolicyPlanner(policy, 3))
    scheduled, _ = run(cell, "async", NO_LATENCY, policy=policy)
    np.testing.assert_array_equal(plain.episode.commands, scheduled.episode.commands)
    assert plain.changed_ticks == scheduled.changed_ticks
    assert scheduled.stalled_ticks == scheduled.refused_chunks == 0


@pytest.mark.parametrize("schedule", ["sync", "async", "rtc", "ensemble"])
def test_one_chunk_is_under_way_at_a_time_and_the_arm_waits_for_the_first(cell, schedule):
    latency = SimulatedLatency(mean_s=0.1, jitter=0.3, seed=2)
    rollout, seen = run(cell, schedule, latency)
    assert len(seen.there) >= 3
    for k, (asked, there) in enumerate(zip(seen.asked, seen.there, strict=False)):
        due = asked + latency.draw_ns(FACTS.seed, k)
        assert there == CONTROL_GRID.stamp(CONTROL_GRID.ceil(due))
    for there, asked in zip(seen.there, seen.asked[1:], strict=False):
        assert asked >= there  # nobody looks while a chunk is under way
    stood = [
        stamp for stamp in rollout.episode.stamps_ns.tolist() if stamp < seen.there[0] - 40_000_000
    ]
    commands = rollout.episode.commands[: len(stood)]
    assert len(stood) >= 1 and np.array_equal(commands, np.tile(commands[0], (len(stood), 1)))


def test_async_and_rtc_keep_their_rhythm_and_never_stall(cell):
    for schedule in ("async", "rtc"):
        for mean_s in (0.05, 0.2):
            latency = SimulatedLatency(mean_s=mean_s, jitter=0.3)
            rollout, seen = run(cell, schedule, latency)
            ticks = np.diff([POLICY_GRID.floor(stamp) for stamp in seen.asked])
            assert (ticks == 8).all()
            assert rollout.followed_ticks > 60 and rollout.stalled_ticks == 0


def test_sync_stands_for_as_long_as_its_inference_takes(cell):
    latency = SimulatedLatency(mean_s=0.1)
    rollout, seen = run(cell, "sync", latency)
    for followed, there, asked in zip(seen.followed, seen.there, seen.asked[1:], strict=False):
        assert followed.due_ns()[-1] <= asked < followed.due_ns()[-1] + 34_000_000
        assert abs(followed.due_ns()[0] - there - 1e9 / 30) <= 1
    stood = rollout.stalled_ticks / rollout.followed_ticks
    assert 0.10 < stood < 0.25  # 6 of 38 ticks; the last chunk may not be over


def test_an_ensemble_looks_as_often_as_it_can(cell):
    _, seen = run(cell, "ensemble", NO_LATENCY, config=replace(SHORT, time_limit_s=0.5))
    assert (np.diff([POLICY_GRID.floor(stamp) for stamp in seen.asked]) == 1).all()
    _, seen = run(cell, "ensemble", SimulatedLatency(mean_s=0.1))
    assert (np.diff([POLICY_GRID.floor(stamp) for stamp in seen.asked]) == 4).all()


def test_a_chunk_that_is_past_on_arrival_is_refused_and_counted(cell):
    rollout, seen = run(cell, "async", SimulatedLatency(mean_s=0.6))
    assert rollout.refused_chunks == len(seen.there) >= 2
    assert rollout.followed_ticks == 0  # nothing was ever followed
    commands = rollout.episode.commands
    assert np.array_equal(commands, np.tile(commands[0], (len(commands), 1)))


def test_a_jittery_episode_repeats_to_the_bit(cell):
    latency = SimulatedLatency(mean_s=0.1, jitter=0.3, seed=4)
    first, _ = run(cell, "rtc", latency)
    second, _ = run(cell, "rtc", latency)
    np.testing.assert_array_equal(first.episode.commands, second.episode.commands)
    np.testing.assert_array_equal(first.episode.positions, second.episode.positions)


def test_an_evaluation_says_what_stalled():
    config = EvaluationConfig(
        episodes=1, schedule="sync", latency=SimulatedLatency(mean_s=0.2, jitter=0.3, seed=1)
    )
    evaluation = evaluate(HoldPolicy(make_spec()), config)
    assert evaluation.trials[0].outcome is Outcome.TRUNCATED
    assert 0.2 < evaluation.stalled < 0.35
    assert "stalled" in evaluation.lines()[3]
    values = evaluation.to_mapping()
    assert values["stalled"] == evaluation.stalled
    assert values["trials"][0]["stalled_ticks"] > 0
    with pytest.raises(ConfigError, match="no schedule 'eager'"):
        EvaluationConfig(schedule="eager")


def test_latency_is_known_in_nanoseconds():
    assert SimulatedLatency(mean_s=0.1, jitter=0.3).longest_ns == nanoseconds(0.13)
