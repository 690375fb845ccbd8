"""Laws of real-time chunking's guidance: true gradients, the decided kept, the rest pulled."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.policy_factories import CAMERAS, make_observation, make_policy
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ActionSpace, ChunkPrefix
from so101.errors import ConfigError
from so101.policies.flow.config import FlowConfig
from so101.policies.flow.guidance import (
    KnownPlan,
    PrefixGuidance,
    guided,
    kept_shares,
    pull_weights,
)

ONLY_PULL = PrefixGuidance(blend=0.0)
marks = st.integers(1, 20).flatmap(
    lambda points: st.tuples(st.integers(0, points), st.just(points), st.integers(1, 24))
)


def noise_of(policy, seed=0):
    return np.random.default_rng(seed).standard_normal(policy.noise_shape, dtype=np.float32)


def make_sure(policy, monkeypatch, spread):
    """Let the network be exact for chunks that are normal around 0; untrained, it is no mean."""

    def clean(features, noisy, time):
        now = time[:, :, None, None]
        return noisy * now * spread**2 / (now**2 * spread**2 + (1 - now) ** 2)

    monkeypatch.setattr(policy._network, "forward", clean)


def prefix_beside(chunk, *, points, decided, off=0.05):
    """The chunk itself, moved: what the arm was about to do instead."""
    return ChunkPrefix(positions=chunk.positions[:points] + off, decided=decided)


@given(marks)
def test_weights_are_one_where_decided_then_fall_to_nothing(values):
    decided, points, horizon = values
    for weights in (pull_weights(*values), kept_shares(*values)):
        assert weights.shape == (horizon,)
        assert (weights[:decided] == 1.0).all()
        assert (weights[points:] == 0.0).all()
        undecided = weights[decided:points]
        assert ((undecided > 0.0) & (undecided < 1.0)).all()
        assert (undecided.diff() < 0.0).all()


def test_the_weights_are_those_of_the_paper():
    """Equation 5 with d = 2 and H - s = 5 of H = 8."""
    c = [(5 - i) / (5 - 2 + 1) for i in (2, 3, 4)]
    want = [1, 1, *(x * (math.exp(x) - 1) / (math.e - 1) for x in c), 0, 0, 0]
    np.testing.assert_allclose(pull_weights(2, 5, 8).numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("time", [0.0, 0.125, 0.5, 0.875])
def test_the_gain_is_the_papers_for_the_velocity(time):
    """Equations 2 and 4 for the velocity, times 1 - t for the clean chunk it implies."""
    r2 = (1 - time) ** 2 / (time**2 + (1 - time) ** 2)
    velocity = min(5.0, (1 - time) / (time * r2)) if time else 5.0
    assert PrefixGuidance(most=5.0).gain(time) == pytest.approx((1 - time) * velocity)


@pytest.mark.parametrize("time", [0.0, 0.375, 0.875])
def test_the_pull_is_the_gradient_that_finite_differences_find(time):
    """J' W e is the gradient of <W e, a_hat(x)> with e held fixed."""
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Linear(24, 16), torch.nn.SiLU(), torch.nn.Linear(16, 24))
    body.double()

    def clean_chunk(noisy, now):
        return body(noisy.flatten(1) + now).reshape(noisy.shape)

    noisy, values = torch.randn(2, 8, 3).double(), torch.randn(2, 8, 3).double()
    known = KnownPlan(values=values, points=6, decided=2)
    with torch.no_grad():
        got = guided(clean_chunk, noisy, time, known, ONLY_PULL)
        clean = clean_chunk(noisy, time)
        error = pull_weights(2, 6, 8)[:, None].double() * (values - clean)
        want = torch.empty_like(noisy)
        for index in np.ndindex(*noisy.shape):
            step = torch.zeros_like(noisy)
            step[index] = 1e-6
            change = clean_chunk(noisy + step, time) - clean_chunk(noisy - step, time)
            want[index] = (error * change).sum() / 2e-6
    pulled = (clean + ONLY_PULL.gain(time) * want)[:, 2:]
    torch.testing.assert_close(got[:, 2:], pulled, rtol=1e-6, atol=1e-8)
    assert torch.equal(got[:, :2], values[:, :2])
    assert not got.requires_grad


def test_guidance_of_a_normal_posterior_is_the_posterior_of_the_plan_seen_through_noise():
    """J = t / (1 - t)² C with C the posterior covariance, so the correction is C e / r²."""
    time, data = 0.5, torch.tensor([0.05, 0.2, 0.4])  # spread of the data, per number
    variance = (data**2 * (1 - time) ** 2) / (time**2 * data**2 + (1 - time) ** 2)

    def clean_chunk(noisy, now):
        return noisy * now * data**2 / (now**2 * data**2 + (1 - now) ** 2)

    noisy, plan = torch.zeros(1, 4, 3), torch.ones(1, 4, 3)
    known = KnownPlan(values=plan, points=4, decided=0)
    got = guided(clean_chunk, noisy, time, known, PrefixGuidance(most=100.0, blend=0.0))
    r2 = (1 - time) ** 2 / (time**2 + (1 - time) ** 2)
    want = pull_weights(0, 4, 4)[:, None] * variance / r2
    torch.testing.assert_close(got[0], want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("guidance", [PrefixGuidance(), ONLY_PULL])
@pytest.mark.parametrize("decided", [0, 3])
def test_the_undecided_part_is_pulled_towards_the_plan(monkeypatch, guidance, decided):
    policy, observation = make_policy(), make_observation()
    make_sure(policy, monkeypatch, spread=0.3)
    policy.prefix_guidance = guidance
    noise = noise_of(policy)
    free = policy.infer(observation, noise=noise).chunk
    prefix = prefix_beside(free, points=10, decided=decided)
    pulled = policy.infer(observation, noise=noise, prefix=prefix).chunk.positions
    soft = slice(decided, 10)
    before = np.abs(free.positions[soft] - prefix.positions[soft]).mean()
    after = np.abs(pulled[soft] - prefix.positions[soft]).mean()
    assert after < 0.99 * before
    np.testing.assert_allclose(pulled[:decided], prefix.positions[:decided], atol=1e-5)


def test_the_pull_alone_is_felt_and_grows_with_its_bound(monkeypatch):
    policy, observation = make_policy(), make_observation()
    make_sure(policy, monkeypatch, spread=0.3)
    noise = noise_of(policy)
    free = policy.infer(observation, noise=noise).chunk
    prefix = prefix_beside(free, points=10, decided=2, off=0.1)
    gaps = []
    for most in (0.0, 1.0, 5.0):
        policy.prefix_guidance = PrefixGuidance(most=most, blend=0.0)
        chunk = policy.infer(observation, noise=noise, prefix=prefix).chunk
        gaps.append(np.abs(chunk.positions[2:10] - prefix.positions[2:10]).mean())
    assert gaps[0] > gaps[1] > gaps[2]


def test_a_sure_policy_leaves_the_plan_without_a_jolt(monkeypatch):
    policy, observation = make_policy(), make_observation()
    make_sure(policy, monkeypatch, spread=0.03)
    noise = noise_of(policy)
    free = policy.infer(observation, noise=noise).chunk
    prefix = prefix_beside(free, points=12, decided=4, off=0.05)
    jolts = []
    for blend in (0.0, 1.0):
        policy.prefix_guidance = PrefixGuidance(most=0.0, blend=blend)
        chunk = policy.infer(observation, noise=noise, prefix=prefix).chunk
        off = chunk.positions - free.positions
        jolts.append(np.abs(np.diff(off[3:], axis=0)).max())
    assert jolts[1] < 0.5 * jolts[0]


@pytest.mark.parametrize("cameras", [(), CAMERAS])
def test_one_and_many_observations_are_guided_alike(cameras):
    policy = make_policy(cameras=cameras)
    observations = [make_observation(cameras=cameras, seed=i) for i in range(3)]
    noises = np.stack([noise_of(policy, seed=i) for i in range(3)])
    plan = np.tile(observations[0].positions, (9, 1)) + 0.02
    prefix = ChunkPrefix(positions=plan, decided=3)
    together = policy.infer_batch(observations, noises, prefix=prefix)
    for observation, noise, batched in zip(observations, noises, together, strict=True):
        alone = policy.infer(observation, noise=noise, prefix=prefix)
        np.testing.assert_allclose(alone.chunk.positions, batched.chunk.positions, atol=1e-5)


@pytest.mark.parametrize(
    "space",
    [
        ActionSpace(kind="joint_delta", reference="commanded"),
        ActionSpace(gripper="ternary"),
        ActionSpace(horizon=4, execute_steps=2),
        ActionSpace(horizon=1, execute_steps=1),
    ],
)
def test_a_plan_of_any_length_guides_any_action_space(space):
    policy, observation = make_policy(space=space), make_observation()
    for points in (1, space.horizon, space.horizon + 5):
        prefix = ChunkPrefix(
            positions=np.tile(observation.command, (points, 1)), decided=points - 1
        )
        chunk = policy.infer(observation, noise=noise_of(policy), prefix=prefix).chunk
        assert np.isfinite(chunk.positions).all()
        assert chunk.positions.shape == (space.horizon, 6)


def test_an_empty_prefix_changes_nothing():
    policy, observation = make_policy(), make_observation()
    free = policy.infer(observation, noise=noise_of(policy)).chunk.positions
    none = ChunkPrefix(positions=np.empty((0, 6)), decided=0)
    same = policy.infer(observation, noise=noise_of(policy), prefix=none).chunk.positions
    assert np.array_equal(free, same)


def test_guidance_leaves_the_weights_and_their_gradients_alone():
    policy, observation = make_policy(), make_observation()
    before = [item.detach().clone() for item in policy.parameters()]
    prefix = ChunkPrefix(positions=np.tile(observation.command, (8, 1)), decided=3)
    policy.infer(observation, noise=noise_of(policy), prefix=prefix)
    for item, old in zip(policy.parameters(), before, strict=True):
        assert item.grad is None
        assert torch.equal(item, old)


def test_the_indicator_is_guided_as_well():
    policy = make_policy(config=FlowConfig(width=32, depth=2, uses_indicator=True))
    observation = make_observation()
    prefix = ChunkPrefix(positions=np.tile(observation.command, (8, 1)), decided=3)

    def plan(**wish):
        return policy.infer(
            observation, noise=noise_of(policy), prefix=prefix, **wish
        ).chunk.positions

    assert not np.allclose(plan(indicator=1, guidance=2.0), plan(indicator=1))
    np.testing.assert_allclose(plan(indicator=1, guidance=0.0), plan(), atol=1e-5)


@pytest.mark.parametrize("bad", [{"most": -1.0}, {"most": math.inf}, {"blend": 1.5}])
def test_guidance_that_is_none_is_refused(bad):
    with pytest.raises(ConfigError, match="prefix guidance"):
        replace(PrefixGuidance(), **bad)
