"""Supervised fine-tuning keeps the algorithm contract and does what its docstring says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.algorithm_contract import AlgorithmContract
from contracts.policy_factories import CAMERAS, make_batch, make_policy
from hypothesis import given
from hypothesis import strategies as st

from learner_node.algorithm_table import ALGORITHMS
from learner_node.algorithms.imitation import imitation_loss
from learner_node.algorithms.sft import Sft, SftConfig, learning_rate
from so101.action import ActionSpace
from so101.errors import ConfigError

SMALL = SftConfig(steps=40, batch_size=6, draws=2, warmup_steps=4)


class TestStateMode(AlgorithmContract):
    @pytest.fixture
    def make_algorithm(self):
        return lambda: Sft(make_policy(), SMALL, seed=1)

    @pytest.fixture
    def make_batch(self):
        return lambda seed: make_batch(np.random.default_rng(seed))


class TestCameraMode(AlgorithmContract):
    @pytest.fixture
    def make_algorithm(self):
        config = replace(SMALL, shift_px=2, joint_noise_rad=0.02)
        return lambda: Sft(make_policy(cameras=CAMERAS), config, seed=1)

    @pytest.fixture
    def make_batch(self):
        return lambda seed: make_batch(np.random.default_rng(seed), cameras=CAMERAS)


@given(st.integers(2, 500), st.integers(0, 100))
def test_the_learning_rate_rises_then_falls_to_zero(steps, warmup):
    config = SftConfig(steps=steps, warmup_steps=min(warmup, steps - 1))
    rates = [learning_rate(config, step) for step in range(steps + 1)]
    top = int(np.argmax(rates))
    assert max(rates) <= config.learning_rate + 1e-12
    assert np.all(np.diff(rates[: top + 1]) >= -1e-15)
    assert np.all(np.diff(rates[top:]) <= 1e-15)
    assert rates[-1] < 1e-9


def test_the_loss_weighs_rows():
    policy, batch = make_policy(), make_batch(np.random.default_rng(0), rows=3)
    noise, time = torch.randn(3, 16, 6), torch.rand(3)
    rows = policy.loss(batch, noise=noise, time=time)
    weighted = replace(batch, weight=np.array([2.0, 0.0, -0.5], dtype=np.float32))
    want = (2.0 * rows[0] - 0.5 * rows[2]) / 3.0
    torch.testing.assert_close(imitation_loss(policy, weighted, noise, time), want)


def test_the_loss_falls():
    algorithm = Sft(make_policy(), replace(SMALL, steps=120, learning_rate=1e-2), seed=0)
    batch = make_batch(np.random.default_rng(0), rows=32)
    losses = [algorithm.update(batch).loss for _ in range(120)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_the_acting_weights_are_the_average_of_the_trained_ones():
    policy = make_policy()
    algorithm = Sft(policy, SMALL, seed=0)
    average = [item.detach().clone() for item in policy.parameters()]
    for step in range(1, 6):
        algorithm.update(make_batch(np.random.default_rng(step)))
        decay = min(SMALL.ema_decay, step / (step + 10.0))
        average = [
            decay * old + (1 - decay) * new.detach()
            for old, new in zip(average, policy.parameters(), strict=True)
        ]
    for want, have in zip(average, algorithm.policy().parameters(), strict=True):
        torch.testing.assert_close(have.detach(), want)


def test_joints_that_actions_are_relative_to_are_not_blurred():
    policy = make_policy(space=ActionSpace(kind="joint_delta"))
    with pytest.raises(ConfigError, match="joint_noise_rad"):
        Sft(policy, replace(SMALL, joint_noise_rad=0.01), seed=0)


def test_the_seed_decides_the_noise():
    def loss(seed):
        return (
            Sft(make_policy(), SMALL, seed=seed).update(make_batch(np.random.default_rng(0))).loss
        )

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_every_algorithm_has_its_config():
    for name, algorithm in ALGORITHMS.items():
        assert name == name.lower()
        assert algorithm.config_type() is not None
