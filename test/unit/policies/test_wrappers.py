"""Wrappers keep a policy's promises and change one thing each."""

import numpy as np
import pytest
from contracts.policy_contract import PolicyContract
from contracts.policy_factories import make_observation, make_policy
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ActionSpace
from so101.errors import ConfigError
from so101.policies.hold_policy import HoldPolicy
from so101.policies.wrappers.playback_speed import PlaybackSpeed
from so101.policies.wrappers.seeded_noise import SeededNoise, chunk_noise


class TestHoldPolicy(PolicyContract):
    @pytest.fixture
    def policy(self):
        return HoldPolicy()


class TestSeededNoise(PolicyContract):
    @pytest.fixture
    def policy(self):
        return SeededNoise(make_policy(), run_seed=1)


class TestPlaybackSpeed(PolicyContract):
    @pytest.fixture
    def policy(self):
        return PlaybackSpeed(make_policy(), 1.25)


def test_the_null_policy_stays_where_it_is():
    observation = make_observation()
    chunk = HoldPolicy().infer(observation).chunk
    assert np.array_equal(chunk.positions, np.tile(observation.command, (16, 1)))


def test_an_episode_repeats_and_others_differ():
    policy = SeededNoise(make_policy(), run_seed=7)

    def episode(seed):
        policy.start(seed)
        return [policy.infer(make_observation()).chunk.positions for _ in range(3)]

    first = episode(4)
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(first, episode(4))
    assert not np.array_equal(first, episode(5))


@given(st.tuples(*[st.integers(0, 2**40)] * 3), st.tuples(*[st.integers(0, 2**40)] * 3))
def test_noise_is_the_seeds_and_nothing_else(one, other):
    first = chunk_noise(*one, (16, 6))
    assert np.array_equal(first, chunk_noise(*one, (16, 6)))
    assert np.array_equal(first, chunk_noise(*other, (16, 6))) == (one == other)


def test_faster_playback_keeps_the_points_and_brings_them_forward():
    policy, observation = make_policy(), make_observation()
    noise = chunk_noise(0, 0, 0, policy.noise_shape)
    plain = policy.infer(observation, noise=noise).chunk
    fast = PlaybackSpeed(policy, 2.0).infer(observation, noise=noise).chunk
    assert np.array_equal(plain.positions, fast.positions)
    for slow_ns, fast_ns in zip(plain.due_ns(), fast.due_ns(), strict=True):
        assert abs((slow_ns - plain.stamp_ns) - 2 * (fast_ns - plain.stamp_ns)) <= 2


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([1, 10, 15, 30]),
    st.integers(0, 4),
    st.floats(0.1, 5.0),
)
def test_a_chunk_always_reaches_to_its_successor(horizon, execute, rate_hz, latency, factor):
    if execute > horizon:
        horizon, execute = execute, horizon
    space = ActionSpace(horizon=horizon, execute_steps=execute, rate_hz=rate_hz)
    reach = horizon * 30 // rate_hz
    fits = factor * (space.decision_ticks + latency) <= reach
    assert (factor <= space.highest_speed(latency) + 1e-12) == fits or abs(
        factor * (space.decision_ticks + latency) - reach
    ) < 1e-9


def test_latency_lowers_the_factor_that_is_allowed():
    PlaybackSpeed(make_policy(), 1.4, latency_ticks=3)
    with pytest.raises(ConfigError, match=r"outside \(0, 1\.45455\]: with 3 ticks of latency"):
        PlaybackSpeed(make_policy(), 1.5, latency_ticks=3)


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.01, float("nan")])
def test_a_factor_that_breaks_the_chain_is_refused(factor):
    with pytest.raises(ConfigError, match="playback speed"):
        PlaybackSpeed(make_policy(), factor)
