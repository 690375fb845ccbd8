"""What becomes of a chunk: when it arrives, what is refused, and when the plan is forgotten."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.policy_factories import make_observation, make_policy

from policy_node.params import PolicyParams
from policy_node.part import Part, PartConfig
from so101.action import ActionChunk, ActionSpace
from so101.clock import CONTROL_GRID, POLICY_GRID, nanoseconds
from so101.episode import ControlSource, EpisodeFacts
from so101.errors import ConfigError, TrajectoryError
from so101.events import ControlEvent
from so101.policies.hold_policy import HoldPolicy
from so101.policies.policy_planner import PolicyPlanner
from so101.policies.schedules.latency import LatencyEstimate
from so101.simulation.latency import SimulatedLatency
from so101.spec import PolicySpec

START = POLICY_GRID.stamp(90)
LATENCY_S = 0.1


class Told(HoldPolicy):
    """A policy that keeps what it is told of the plan in force."""

    def __init__(self):
        super().__init__()
        self.prefixes = []

    def infer(self, observation, **options):
        self.prefixes.append(options.get("prefix"))
        return super().infer(observation, **options)


def config_of(**params):
    return PartConfig.of(PolicyParams(**{"latency": LATENCY_S, **params}))


def part_of(policy=None, *, facts=None, **params):
    config = config_of(**params)
    facts = facts or EpisodeFacts(id="e", source="policy")
    return Part(policy or Told(), config, facts, LatencyEstimate(config.latency_ns))


def decide(part, tick, newest_ns=None):
    """Infer from a policy tick, and let the chunk arrive."""
    stamp_ns = POLICY_GRID.stamp(tick)
    chunk = part.schedule.infer(make_observation(stamp_ns=stamp_ns)).chunk
    return part.arrive(chunk, stamp_ns if newest_ns is None else newest_ns)


def control(source, stamp_ns):
    return ControlEvent(stamp_ns=stamp_ns, source=source)


def test_where_time_waits_every_chunk_takes_the_declared_latency_whatever_was_heard():
    for newest_ns in (START, START + nanoseconds(0.05), START + nanoseconds(LATENCY_S)):
        part = part_of(schedule="sync", decision_ticks=19)
        assert part.schedule.decision_ticks == 19
        trajectory = decide(part, 90, newest_ns)
        assert trajectory.stamp_ns == START
        assert trajectory.times_ns[0] == pytest.approx(nanoseconds(LATENCY_S + 1 / 30), abs=1)


def test_where_time_did_not_wait_a_chunk_is_followed_from_the_next_control_tick_on():
    part = part_of(schedule="sync", latency=0.05)
    newest_ns = CONTROL_GRID.stamp(185)
    trajectory = decide(part, 90, newest_ns)
    begins_ns = trajectory.stamp_ns + trajectory.times_ns[0]
    assert begins_ns == pytest.approx(CONTROL_GRID.stamp(186) + nanoseconds(1 / 30), abs=1)
    assert part.schedule.latency.last_ns == CONTROL_GRID.stamp(186) - START


@pytest.mark.parametrize("schedule", ["sync", "async", "rtc", "ensemble"])
def test_it_plans_what_is_planned_without_ros(schedule):
    """The other half of the law through the nodes: the same chunks for the same observations."""
    latency = SimulatedLatency(mean_s=LATENCY_S)
    planner = PolicyPlanner(make_policy(), 5, schedule=schedule, latency=latency)
    facts = EpisodeFacts(id="e", source="policy", seed=7, speed=1.25)
    part = part_of(
        make_policy(),
        facts=facts,
        schedule=schedule,
        seed=5,
        decision_ticks=part_ticks(schedule, facts.speed),
    )
    planner.begin(facts)
    tick = 90
    for number in range(4):
        observation = make_observation(stamp_ns=POLICY_GRID.stamp(tick), seed=number)
        chunk = planner.plan(observation)
        arrival = CONTROL_GRID.ceil(chunk.stamp_ns + nanoseconds(LATENCY_S))
        chunk = planner.arrive(chunk, CONTROL_GRID.stamp(arrival))
        trajectory = part.arrive(part.schedule.infer(observation).chunk, observation.stamp_ns)
        np.testing.assert_array_equal(trajectory.positions, chunk.positions)
        assert [trajectory.stamp_ns + t for t in trajectory.times_ns] == chunk.due_ns()
        assert part.schedule.free_ns == planner.free_ns
        tick += 8


def part_ticks(schedule, speed):
    config = config_of(schedule=schedule)
    with pytest.raises(ConfigError) as refused:
        replace(config, decision_ticks=299).check(make_policy(), "here", speed)
    return int(str(refused.value).rsplit(" ", 1)[-1])


@pytest.mark.parametrize(
    ("schedule", "ticks"), [("sync", 19), ("async", 8), ("rtc", 8), ("ensemble", 4)]
)
def test_a_policy_of_another_rhythm_is_refused_and_the_right_one_is_named(schedule, ticks):
    config = config_of(schedule=schedule, decision_ticks=ticks)
    config.check(HoldPolicy(), "here")
    others = HoldPolicy(PolicySpec(action_space=ActionSpace(horizon=7, execute_steps=5)))
    expected = {"sync": 10, "async": 5, "rtc": 5, "ensemble": 4}[schedule]
    if expected == ticks:
        config.check(others, "here")
        return
    with pytest.raises(
        ConfigError, match=f"^here: decides every {expected} .* graph every {ticks}"
    ):
        config.check(others, "here")


def test_an_episode_whose_speed_changes_the_rhythm_is_refused():
    facts = EpisodeFacts(id="fast", source="policy", speed=1.25)
    with pytest.raises(ConfigError, match="episode fast: decides every"):
        part_of(facts=facts, schedule="sync", decision_ticks=19)
    with pytest.raises(ConfigError, match="speed"):
        part_of(facts=replace(facts, speed=9.0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_is_no_plan(value):
    policy = Told()
    part = part_of(policy, schedule="rtc")
    good = decide(part, 90)
    broken = np.array(good.positions)
    broken[3, 2] = value
    chunk = ActionChunk(stamp_ns=POLICY_GRID.stamp(98), positions=broken)
    with pytest.raises(TrajectoryError, match="not finite"):
        part.arrive(chunk, chunk.stamp_ns)
    decide(part, 98)
    np.testing.assert_array_equal(policy.prefixes[-1].positions, good.positions[8:])
    with pytest.raises(TrajectoryError, match=r"shape \(16, 5\)"):
        part.arrive(replace(chunk, positions=broken[:, :5]), chunk.stamp_ns)


def test_the_plan_is_forgotten_when_the_arm_no_longer_follows_it():
    policy = Told()
    part = part_of(policy, schedule="rtc")
    decide(part, 90)
    part.on_control(control(ControlSource.POLICY, START))
    part.on_control(control(ControlSource.HOLD, START))  # older than the chunk: before it
    decide(part, 98)
    assert policy.prefixes[-1] is not None
    part.on_control(control(ControlSource.HOLD, POLICY_GRID.stamp(100)))
    decide(part, 106)
    assert policy.prefixes[-1] is None
    decide(part, 114)
    assert policy.prefixes[-1] is not None


def test_nothing_that_is_planned_while_a_person_has_the_arm_is_a_plan():
    policy = Told()
    part = part_of(policy, schedule="rtc")
    decide(part, 90)
    part.on_control(control(ControlSource.TELEOP, POLICY_GRID.stamp(93)))
    for tick in (98, 106):
        decide(part, tick)
        assert policy.prefixes[-1] is None
    part.on_control(control(ControlSource.HOLD, POLICY_GRID.stamp(108)))
    decide(part, 114)
    assert policy.prefixes[-1] is None
    decide(part, 122)
    assert policy.prefixes[-1] is not None
