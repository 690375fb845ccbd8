"""Laws of the flow policy."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.policy_contract import TrainablePolicyContract
from contracts.policy_factories import CAMERAS, make_batch, make_observation, make_policy
from factories import make_episode

from so101.action import ActionSpace
from so101.control.action_codec import ActionCodec
from so101.data.training.dataset import EpisodeDataset
from so101.errors import CheckpointError, ConfigError, ObservationError
from so101.policies.flow.config import FlowConfig, from_json
from so101.policies.flow.policy import FlowPolicy


class TestStateMode(TrainablePolicyContract):
    """With object poses."""


class TestCameraMode(TrainablePolicyContract):
    """With two cameras."""

    @pytest.fixture
    def policy(self):
        return make_policy(cameras=CAMERAS)

    @pytest.fixture
    def observation(self):
        return make_observation(cameras=CAMERAS)

    @pytest.fixture
    def batch(self):
        return make_batch(np.random.default_rng(1), cameras=CAMERAS)


class TestCommandedDeltas(TrainablePolicyContract):
    """Actions as differences to the commanded pose."""

    @pytest.fixture
    def policy(self):
        space = ActionSpace(kind="joint_delta", reference="commanded")
        config = FlowConfig(width=32, depth=2, uses_commands=True)
        return make_policy(space=space, config=config)


class TestGripperPoses(TrainablePolicyContract):
    """Actions as poses of the gripper frame relative to where it was."""

    @pytest.fixture
    def policy(self):
        config = FlowConfig(width=32, depth=2)
        return make_policy(space=ActionSpace(kind="ee_delta"), config=config)


def test_one_and_many_observations_give_the_same_chunks():
    policy = make_policy()
    observations = [make_observation(seed=i) for i in range(5)]
    noises = np.random.default_rng(0).standard_normal((5, 16, 6), dtype=np.float32)
    together = policy.infer_batch(observations, noises)
    for observation, noise, batched in zip(observations, noises, together, strict=True):
        alone = policy.infer(observation, noise=noise)
        np.testing.assert_allclose(alone.chunk.positions, batched.chunk.positions, atol=1e-5)
        assert np.array_equal(batched.aux["noise"], noise)


def test_a_perfect_network_reaches_the_clean_chunk_whatever_the_noise(monkeypatch):
    policy = make_policy()
    clean = torch.linspace(-1.0, 1.0, 96).reshape(16, 6)
    network = policy._network
    monkeypatch.setattr(network, "forward", lambda f, x, t: clean.expand(len(f), 1, 16, 6))
    for seed in range(3):
        noise = np.random.default_rng(seed).standard_normal((16, 6), dtype=np.float32)
        native = policy.infer(make_observation(), noise=noise).native_action
        want = policy._norms.actions.denormalize(clean.numpy())
        np.testing.assert_allclose(native, want, atol=1e-5)


def test_the_loss_is_the_squared_error_of_the_clean_chunk(monkeypatch):
    policy, batch = make_policy(), make_batch(np.random.default_rng(0), rows=3)
    mask = batch.mask.copy()
    mask[0, 4:] = False
    batch = replace(batch, mask=mask)
    network = policy._network
    monkeypatch.setattr(network, "forward", lambda f, x, t: torch.zeros_like(x))
    losses = policy.loss(batch, noise=torch.randn(3, 16, 6), time=torch.rand(3))
    clean = policy._norms.actions.normalize(batch.actions)
    want = [(clean[i][mask[i]] ** 2).mean() for i in range(3)]
    np.testing.assert_allclose(losses.numpy(), want, rtol=1e-5)


def test_training_on_one_chunk_reproduces_it():
    policy = make_policy()
    batch = make_batch(np.random.default_rng(2), rows=4)
    optimizer = torch.optim.Adam(list(policy.parameters()), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        noise = torch.randn(4, 4, 16, 6, generator=generator)
        loss = policy.loss(
            batch, noise=noise, time=torch.rand(4, 4, generator=generator), reduction="mean"
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    observation = replace(
        make_observation(),
        positions=batch.observation.positions[1].astype(np.float64),
        command=batch.observation.commands[1].astype(np.float64),
        objects=batch.observation.objects[1].astype(np.float64),
    )
    chunk = policy.infer(observation, noise=np.zeros((16, 6), dtype=np.float32)).chunk
    assert np.abs(chunk.positions - batch.actions[1]).max() < 0.15


def test_the_seed_decides_the_weights_and_nothing_else_is_touched():
    before = torch.random.get_rng_state()
    first, second, other = make_policy(seed=1), make_policy(seed=1), make_policy(seed=2)
    assert torch.equal(before, torch.random.get_rng_state())

    def flat(policy):
        return torch.cat([item.flatten() for item in policy.parameters()])

    assert torch.equal(flat(first), flat(second))
    assert not torch.equal(flat(first), flat(other))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objects": None}, "object poses"),
        ({"positions": np.zeros(5)}, "6 joints"),
        ({"positions": np.full(6, np.inf)}, "not finite"),
    ],
)
def test_a_wrong_observation_is_refused_by_name(change, said):
    with pytest.raises(ObservationError, match=said):
        make_policy().infer(replace(make_observation(), **change))


def test_an_absent_camera_is_refused_and_a_missing_image_is_not():
    policy, observation = make_policy(cameras=CAMERAS), make_observation(cameras=CAMERAS)
    images = {"wrist": observation.images["wrist"]}
    with pytest.raises(ObservationError, match="front"):
        policy.infer(replace(observation, images=images))
    noise = np.zeros((16, 6), dtype=np.float32)
    blind = replace(observation, images=images, missing=frozenset({"front"}))
    seen = policy.infer(observation, noise=noise).chunk.positions
    assert not np.array_equal(policy.infer(blind, noise=noise).chunk.positions, seen)


def test_a_wrong_noise_is_refused():
    with pytest.raises(ObservationError, match="noise"):
        make_policy().infer(make_observation(), noise=np.zeros((8, 6), dtype=np.float32))


def test_an_indicator_matters_only_to_a_policy_built_for_it():
    with pytest.raises(ConfigError, match="indicator"):
        make_policy().infer(make_observation(), indicator=1)
    policy = make_policy(config=FlowConfig(width=32, depth=2, uses_indicator=True))
    noise = np.random.default_rng(0).standard_normal((16, 6), dtype=np.float32)

    def plan(**wish):
        return policy.infer(make_observation(), noise=noise, **wish).chunk.positions

    assert not np.allclose(plan(indicator=1), plan(indicator=0))
    assert np.allclose(plan(indicator=1, guidance=1.0), plan(indicator=1))
    np.testing.assert_allclose(plan(indicator=1, guidance=0.0), plan(), atol=1e-5)
    assert not np.allclose(plan(indicator=1, guidance=2.0), plan(indicator=1))


def test_inference_in_state_mode_takes_at_most_5_ms():
    policy = make_policy(config=FlowConfig())
    observation = make_observation()
    policy.infer(observation)
    took = []
    for _ in range(30):
        start = time.thread_time()
        policy.infer(observation)
        took.append(time.thread_time() - start)
    assert min(took) < 5e-3  # the machine may be busy


def test_config_and_norms_survive_json():
    policy = make_policy()
    values = policy.config_mapping()
    assert FlowPolicy.from_mapping(policy.spec, values, "here").config_mapping() == values


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("config", {"width": 10**9}, "outside"),
        ("config", {"widht": 32}, "did you mean 'width'"),
        ("norm_stats", {}, "norm_stats"),
        ("norm_stats", None, "norm_stats"),
    ],
)
def test_a_wrong_description_is_refused_by_name(key, value, said):
    policy = make_policy()
    values = {**policy.config_mapping(), key: value}
    with pytest.raises(CheckpointError, match=said):
        from_json(policy.spec, values, "policy.json")


@pytest.mark.parametrize("kind", ["joint_absolute", "joint_delta"])
def test_a_new_policy_scales_its_data_to_minus_one_to_one(kind):
    space = ActionSpace(kind=kind)
    spec = replace(make_policy().spec, action_space=space)
    dataset = EpisodeDataset.from_episodes([make_episode(steps=60, seed=i) for i in (1, 2)], spec)
    policy = FlowPolicy.for_data(spec, FlowConfig(width=16, depth=1), dataset, seed=1)
    batch = dataset.chunks(np.random.default_rng(0), 4096)
    native = ActionCodec(space).encode(batch.actions, batch.observation.positions)[batch.mask]
    norms = policy._norms
    for norm, values in ((norms.actions, native), (norms.positions, batch.observation.positions)):
        scaled = norm.normalize(values)
        np.testing.assert_allclose(scaled.min(axis=0), -1.0, atol=1e-5)
        np.testing.assert_allclose(scaled.max(axis=0), 1.0, atol=1e-5)
    assert torch.isfinite(policy.loss(batch)).all()


def test_a_policy_that_sees_objects_needs_data_with_objects():
    blind = make_policy(cameras=("front",)).spec
    blind = replace(blind, cameras=(), image_size=(0, 0))
    dataset = EpisodeDataset.from_episodes([make_episode(objects=0)], blind)
    with pytest.raises(ConfigError, match="object poses"):
        FlowPolicy.for_data(make_policy().spec, FlowConfig(), dataset)
