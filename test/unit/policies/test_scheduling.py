"""Laws of chunk schedules: what is told to the policy, what is followed, when to look again."""

import math

import numpy as np
import pytest
from contracts.policy_contract import PolicyContract
from contracts.policy_factories import make_observation, make_policy, make_spec
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ActionChunk, ActionSpace
from so101.clock import CONTROL_GRID, POLICY_GRID, nanoseconds
from so101.errors import ConfigError
from so101.policies.hold_policy import HoldPolicy
from so101.policies.policy import Inference
from so101.policies.schedules.latency import WINDOW, LatencyEstimate
from so101.policies.schedules.scheduling import (
    SCHEDULES,
    AsyncSchedule,
    EnsembleSchedule,
    RtcSchedule,
    SyncSchedule,
    make_schedule,
)
from so101.policies.wrappers.playback_speed import PlaybackSpeed

PERIOD_NS = 1e9 / 30


class Ramp:
    """Plans chunk k as a ramp of its own, and remembers what it was told."""

    def __init__(self, space=None):
        self.spec = make_spec(space=space)
        self.noise_shape = ()
        self.told = []
        self.resets = 0

    def infer(self, observation, *, noise=None, indicator=None, guidance=None, prefix=None):
        self.told.append(prefix)
        space = self.spec.action_space
        rise = np.linspace(0.0, 0.1, space.horizon)[:, None] * np.ones(6)
        chunk = ActionChunk(
            stamp_ns=observation.stamp_ns,
            positions=rise + 0.01 * len(self.told),
            rate_hz=space.rate_hz,
        )
        return Inference(chunk=chunk, native_action=rise)

    def reset(self):
        self.resets += 1


def seen_at(tick):
    return make_observation(stamp_ns=POLICY_GRID.stamp(tick))


def step(schedule, tick, latency_ns):
    """Plan from one tick and hand the chunk over after a latency."""
    chunk = schedule.infer(seen_at(tick)).chunk
    return chunk, schedule.arrive(chunk, chunk.stamp_ns + latency_ns)


@pytest.mark.parametrize("name", SCHEDULES)
class TestEverySchedule(PolicyContract):
    @pytest.fixture
    def policy(self, name):
        return make_schedule(name, make_policy())

    def test_what_arrives_is_followed_and_its_latency_measured(self, policy, name):
        _, followed = step(policy, 30, nanoseconds(0.1))
        assert followed.positions.shape == (16, 6)
        assert np.isfinite(followed.positions).all()
        assert followed.stamp_ns == POLICY_GRID.stamp(30)
        assert policy.latency.expected_ns == nanoseconds(0.1)
        assert policy.free_ns >= followed.stamp_ns + nanoseconds(0.1)

    def test_a_reset_forgets_the_episode(self, policy, name):
        noise = self.noise(policy)
        fresh = policy.infer(seen_at(30), noise=noise).chunk
        first = policy.arrive(fresh, fresh.stamp_ns).positions
        for tick in (34, 38):
            step(policy, tick, 0)
        policy.reset()
        assert policy.free_ns == 0
        again = policy.infer(seen_at(30), noise=noise).chunk
        assert np.array_equal(policy.arrive(again, again.stamp_ns).positions, first)

    def test_a_prefix_that_is_given_wins(self, policy, name):
        step(policy, 30, 0)
        self.test_what_is_decided_is_kept(policy, make_observation(stamp_ns=POLICY_GRID.stamp(34)))


def test_an_unknown_schedule_is_refused_by_name():
    with pytest.raises(ConfigError, match="no schedule 'eager': choose one of sync, async, rtc"):
        make_schedule("eager", HoldPolicy())


def test_async_follows_what_was_planned_and_tells_nothing():
    schedule = AsyncSchedule(Ramp())
    for tick in (30, 38):
        planned, followed = step(schedule, tick, nanoseconds(0.1))
        assert followed is planned
    assert schedule._policy.told == [None, None]
    assert schedule.free_ns == POLICY_GRID.stamp(38) + nanoseconds(0.1)
    assert schedule.decision_ticks == 8


@given(st.integers(0, 60))
def test_a_sync_chunk_starts_when_it_arrives_and_runs_to_its_end(control_ticks):
    schedule = SyncSchedule(Ramp())
    start_ns = CONTROL_GRID.stamp(60 + control_ticks)
    chunk = schedule.infer(seen_at(30)).chunk
    followed = schedule.arrive(chunk, start_ns)
    due = followed.due_ns()
    assert np.array_equal(followed.positions, chunk.positions)
    assert abs(due[0] - start_ns - PERIOD_NS) <= 1
    assert abs(due[-1] - start_ns - 16 * PERIOD_NS) <= 1
    assert schedule.free_ns == due[-1]  # the next look is at the end of it


@given(st.floats(0.0, 0.5), st.sampled_from([0.5, 1.0, 1.3]))
def test_declared_latency_gives_the_rhythm_of_decisions(latency_s, speed):
    """In lock-step, where every latency is the declared one, nobody waits for nothing."""
    ns = nanoseconds(latency_s)
    for name in SCHEDULES:
        policy = PlaybackSpeed(Ramp(), speed)
        schedule = make_schedule(name, policy, latency=LatencyEstimate(ns), speed=speed)
        if name in ("async", "rtc"):
            assert schedule.decision_ticks == 8
            continue
        chunk = schedule.infer(seen_at(300)).chunk
        schedule.arrive(chunk, chunk.stamp_ns + ns)
        ticks = (schedule.free_ns - POLICY_GRID.stamp(300)) / PERIOD_NS
        assert ticks - 1e-6 <= schedule.decision_ticks <= ticks + 1 + 1e-6


@given(st.integers(1, 15), st.integers(0, 600_000_000))
def test_rtc_tells_the_plan_in_force_at_the_stamps_of_the_new_points(ticks, latency_ns):
    policy = Ramp()
    schedule = RtcSchedule(policy, LatencyEstimate(latency_ns))
    old = schedule.infer(seen_at(30)).chunk
    schedule.arrive(old, old.stamp_ns + latency_ns)
    is_over = old.due_ns()[-1] <= old.stamp_ns + latency_ns
    new = schedule.infer(seen_at(30 + ticks)).chunk
    prefix = policy.told[-1]
    if is_over:
        assert prefix is None
        return
    np.testing.assert_allclose(prefix.positions, old.positions[ticks:], atol=1e-12)
    assert new.due_ns()[: 16 - ticks] == old.due_ns()[ticks:]
    passed = sum(due <= new.stamp_ns + latency_ns for due in new.due_ns())
    if abs(latency_ns / PERIOD_NS - round(latency_ns / PERIOD_NS)) > 1e-4:
        assert prefix.decided == min(passed + 1, 16 - ticks)


@pytest.mark.parametrize("speed", [0.5, 1.6])
def test_rtc_finds_its_plan_at_any_speed(speed):
    """Both chunks lie on one line in time, so the plan at the new stamps is the new chunk."""
    policy = Ramp()
    schedule = RtcSchedule(PlaybackSpeed(policy, speed), speed=speed)
    old = schedule.infer(seen_at(30)).chunk
    schedule.arrive(old, old.stamp_ns)
    new = schedule.infer(seen_at(34)).chunk
    prefix = policy.told[-1]
    due, known = np.array(new.due_ns()), np.array(old.due_ns())
    shared = due[due <= known[-1]]
    want = np.interp(shared - known[0], known - known[0], old.positions[:, 0])
    np.testing.assert_allclose(prefix.positions[:, 0], want, atol=1e-9)
    assert len(prefix.positions) == len(shared)


def test_rtc_does_not_build_on_a_chunk_that_came_too_late():
    policy = Ramp()
    schedule = RtcSchedule(policy)
    old, _ = step(schedule, 30, 0)
    step(schedule, 38, nanoseconds(0.9))  # all its points are past: the arm refuses it
    schedule.infer(seen_at(44))
    np.testing.assert_allclose(policy.told[-1].positions, old.positions[14:], atol=1e-12)


def test_rtc_starts_afresh_when_the_plan_has_ended():
    policy = Ramp()
    schedule = RtcSchedule(policy)
    step(schedule, 30, 0)
    schedule.infer(seen_at(46))
    assert policy.told == [None, None]


@pytest.mark.parametrize("decay", [0.0, 0.01, 1.0])
def test_an_ensemble_is_the_weighted_mean_of_all_chunks_that_reach_so_far(decay):
    schedule = EnsembleSchedule(Ramp(), decay=decay)
    planned = []
    for tick in (30, 33, 40):
        chunk, followed = step(schedule, tick, 0)
        planned.append((tick, chunk.positions))
    for i in range(16):
        there = [(t, p[40 + i - t]) for t, p in planned if 40 + i - t < 16]
        weights = np.array([math.exp(-decay * k) for k in range(len(there))])
        if len(there) == 3:  # the oldest of all is weight 0 of the exponent
            want = np.average([p for _, p in there], axis=0, weights=weights)
            np.testing.assert_allclose(followed.positions[i], want, atol=1e-12)
        if len(there) == 1:
            np.testing.assert_allclose(followed.positions[i], there[0][1], atol=1e-12)


def test_chunks_that_agree_are_their_own_ensemble():
    schedule = EnsembleSchedule(HoldPolicy(make_spec()))
    for tick in (30, 31, 32):
        chunk, followed = step(schedule, tick, 0)
    np.testing.assert_allclose(followed.positions, chunk.positions, atol=1e-12)


def test_an_ensemble_looks_at_the_first_tick_after_an_arrival():
    for latency_s, ticks in ((0.0, 1), (0.01, 1), (0.05, 2), (0.1, 4), (0.2, 7)):
        latency = LatencyEstimate(nanoseconds(latency_s))
        assert EnsembleSchedule(Ramp(), latency).decision_ticks == ticks
    slow = Ramp(ActionSpace(rate_hz=10))
    assert EnsembleSchedule(slow).decision_ticks == 3


@pytest.mark.parametrize("decay", [-0.1, math.nan, math.inf])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ConfigError, match="decay"):
        EnsembleSchedule(Ramp(), decay=decay)


@given(st.lists(st.integers(-(10**8), 10**9), max_size=30), st.integers(0, 10**9))
def test_the_latency_expected_is_the_longest_of_the_last(measured, declared_ns):
    estimate = LatencyEstimate(declared_ns)
    assert (estimate.expected_ns, estimate.last_ns) == (declared_ns, None)
    for latency_ns in measured:
        estimate.measured(latency_ns)
    if measured:
        assert estimate.expected_ns == max(0, *measured[-WINDOW:], 0)
        assert estimate.last_ns == max(0, measured[-1])
    assert estimate.declared_ns == declared_ns


def test_a_declared_latency_is_not_negative():
    with pytest.raises(ConfigError, match="declared_ns=-1"):
        LatencyEstimate(-1)
