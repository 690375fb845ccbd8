"""Group-relative REINFORCE keeps the algorithm contract and its published equations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.algorithm_contract import AlgorithmContract
from contracts.policy_factories import make_batch, make_policy, make_spec
from factories import make_episode

from learner_node.algorithms.group_reinforce import (
    AdvantageSource,
    GroupReinforce,
    GroupReinforceConfig,
)
from learner_node.algorithms.imitation import imitation_loss
from so101.data.training.dataset import EpisodeDataset
from so101.errors import ConfigError

SMALL = GroupReinforceConfig(steps=40, batch_size=6, draws=2)
LENGTHS = {"a": 30, "b": 60, "c": 45, "demo": 50}


class TestStateMode(AlgorithmContract):
    @pytest.fixture
    def make_algorithm(self):
        return lambda: GroupReinforce(make_policy(), SMALL, seed=1)

    @pytest.fixture
    def make_batch(self):
        return lambda seed: make_batch(np.random.default_rng(seed))


class LinearGaussian:
    """pi(a | o) = N(W o, 1) on the first action: -log pi is half a squared error."""

    spec = make_spec()
    noise_shape = (1,)

    def __init__(self):
        self.matrix = torch.nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))

    def loss(self, batch, *, noise=None, time=None, reduction="none"):
        seen = torch.from_numpy(batch.observation.positions).double()
        acted = torch.from_numpy(batch.actions[:, 0]).double()
        return (seen @ self.matrix.T - acted).square().sum(dim=1)

    def parameters(self):
        return [self.matrix]


@pytest.fixture(scope="module")
def dataset():
    episodes = [
        make_episode(steps=steps, seed=i, episode=name)
        for i, (name, steps) in enumerate(LENGTHS.items())
    ]
    return EpisodeDataset.from_episodes(episodes, make_spec())


def rows_of(dataset, name):
    steps = np.arange(len(dataset))
    return steps[dataset.episode_of(steps) == dataset.episodes.index(name)]


def exact_gradient(dataset, advantages, form):
    """Return dL/dW written out by hand, rollout by rollout: 2 (W o - a) o^T at W = 0."""
    total, frames = np.zeros((6, 6)), 0
    for name, advantage in advantages.items():
        batch = dataset.chunks_at(rows_of(dataset, name))
        seen, acted = batch.observation.positions, batch.actions[:, 0]
        summed = -2.0 * acted.astype(float).T @ seen.astype(float)
        total += advantage * (summed / len(seen) if form == "paper" else summed)
        frames += len(seen)
    return total / (len(advantages) if form == "paper" else frames)


def sampled_gradient(source, rows=300_000):
    policy = LinearGaussian()
    batch = source.chunks(np.random.default_rng(0), rows)
    imitation_loss(policy, batch, None, None).backward()
    return policy.matrix.grad.numpy()


@pytest.mark.parametrize("form", ["paper", "pooled"])
@pytest.mark.parametrize(
    "advantages", [{"a": 1.0, "b": 0.0, "c": 1.0}, {"a": 1.7, "b": -0.25, "c": 0.4}]
)
def test_the_gradient_is_that_of_the_equation(dataset, form, advantages):
    source = AdvantageSource(dataset, advantages, [], loss=form)
    want = exact_gradient(dataset, advantages, form)
    assert np.abs(sampled_gradient(source) - want).max() < 0.01 * np.abs(want).max()


def test_demonstrations_are_mixed_in_by_their_share(dataset):
    advantages = {"a": 1.0, "b": -0.2}
    source = AdvantageSource(dataset, advantages, ["demo"], demonstration_share=0.25)
    want = 0.75 * exact_gradient(dataset, advantages, "paper")
    want += 0.25 * exact_gradient(dataset, {"demo": 1.0}, "pooled")
    assert np.abs(sampled_gradient(source) - want).max() < 0.01 * np.abs(want).max()


def test_training_ends_at_the_weighted_regression(dataset):
    """The minimum for A >= 0 is known: weighted least squares."""
    advantages = {"a": 1.0, "b": 0.3, "c": 0.0}
    source = AdvantageSource(dataset, advantages, [])
    config = replace(
        SMALL, learning_rate=0.05, weight_decay=0.0, ema_decay=0.9, batch_size=500, grad_clip=1e3
    )
    policy = LinearGaussian()
    algorithm = GroupReinforce(policy, config, seed=0)
    for step in range(300):
        algorithm.update(source.chunks(np.random.default_rng(step), config.batch_size))
    rows = {name: dataset.chunks_at(rows_of(dataset, name)) for name in ("a", "b")}
    seen = {name: batch.observation.positions.astype(float) for name, batch in rows.items()}
    acted = {name: batch.actions[:, 0].astype(float) for name, batch in rows.items()}
    share = {name: advantages[name] / len(seen[name]) for name in rows}
    left = sum(share[name] * seen[name].T @ seen[name] for name in rows)
    right = sum(share[name] * acted[name].T @ seen[name] for name in rows)

    def objective(matrix):
        errors = {name: seen[name] @ matrix.T - acted[name] for name in rows}
        return sum(share[name] * np.square(errors[name]).sum() for name in rows)

    best = objective(right @ np.linalg.pinv(left))
    found = objective(policy.matrix.detach().numpy())
    assert best <= found < best + 0.01 * (objective(np.zeros((6, 6))) - best)


def test_episodes_that_were_not_chosen_are_not_drawn(dataset):
    source = AdvantageSource(dataset, {"a": 1.0, "b": 0.0}, [])
    seen = source.chunks(np.random.default_rng(0), 500).observation.positions
    allowed = dataset.chunks_at(rows_of(dataset, "a")).observation.positions
    assert {row.tobytes() for row in seen} <= {row.tobytes() for row in allowed}


def test_what_cannot_be_drawn_is_refused(dataset):
    with pytest.raises(ConfigError, match="elsewhere"):
        AdvantageSource(dataset, {"elsewhere": 1.0}, [])
    with pytest.raises(ConfigError, match="nothing to train on"):
        AdvantageSource(dataset, {"a": 0.0}, ["demo"], demonstration_share=0.5)
    with pytest.raises(ConfigError, match="nothing to train on"):
        AdvantageSource(dataset, {"a": 1.0}, [], demonstration_share=0.5)
