"""What every policy must do. Subclass and give `policy` and `observation` fixtures."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from so101.action import ChunkPrefix
from so101.errors import CheckpointError, ObservationError


class PolicyContract:
    """Laws of `so101.policies.policy.Policy`."""

    def noise(self, policy, seed=0):
        if not policy.noise_shape:
            return None
        return np.random.default_rng(seed).standard_normal(policy.noise_shape, dtype=np.float32)

    def test_a_chunk_is_finite_of_the_promised_shape_and_stamp(self, policy, observation):
        chunk = policy.infer(observation).chunk
        space = policy.spec.action_space
        assert chunk.positions.shape == (space.horizon, len(policy.spec.joints))
        assert np.isfinite(chunk.positions).all()
        assert chunk.stamp_ns == observation.stamp_ns
        assert chunk.rate_hz == space.rate_hz

    def test_the_same_noise_gives_the_same_chunk_to_the_bit(self, policy, observation):
        noise = self.noise(policy)
        first = policy.infer(observation, noise=noise).chunk.positions
        policy.reset()
        assert np.array_equal(first, policy.infer(observation, noise=noise).chunk.positions)

    def test_a_chunk_cannot_be_changed_by_who_holds_it(self, policy, observation):
        with pytest.raises(ValueError, match="read-only"):
            policy.infer(observation).chunk.positions[0, 0] = 1.0

    def test_inference_does_not_touch_its_observation(self, policy, observation):
        before = copy.deepcopy(observation)
        policy.infer(observation)
        assert np.array_equal(before.positions, observation.positions)
        assert np.array_equal(before.command, observation.command)

    def test_an_observation_that_is_not_finite_is_refused(self, policy, observation):
        bad = np.full_like(observation.positions, np.nan)
        with pytest.raises(ObservationError):
            policy.infer(replace(observation, positions=bad, command=bad))

    def test_what_is_decided_is_kept(self, policy, observation):
        wish = np.tile(observation.positions, (3, 1)) + 0.01
        prefix = ChunkPrefix(positions=wish, decided=2)
        chunk = policy.infer(observation, noise=self.noise(policy), prefix=prefix).chunk
        np.testing.assert_allclose(chunk.positions[:2], wish[:2], atol=1e-5)


class TrainablePolicyContract(PolicyContract):
    """Laws of `so101.policies.policy.TrainablePolicy`; needs a `batch` fixture as well."""

    def draws(self, policy, batch, draws=2):
        generator = torch.Generator().manual_seed(3)
        noise = torch.randn(len(batch), draws, *policy.noise_shape, generator=generator)
        return {"noise": noise, "time": torch.rand(len(batch), draws, generator=generator)}

    def disturb(self, policy):
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.1)

    def test_the_loss_has_one_value_per_row(self, policy, batch):
        drawn = self.draws(policy, batch)
        losses = policy.loss(batch, **drawn)
        assert losses.shape == (len(batch),)
        mean = policy.loss(batch, **drawn, reduction="mean")
        torch.testing.assert_close(mean, losses.mean())

    def test_the_loss_repeats_to_the_bit(self, policy, batch):
        drawn = self.draws(policy, batch)
        assert torch.equal(policy.loss(batch, **drawn), policy.loss(batch, **drawn))

    def test_padding_does_not_matter(self, policy, batch):
        mask = batch.mask.copy()
        mask[:, -3:] = False
        padded = replace(batch, mask=mask)
        garbage = batch.actions.copy()
        garbage[:, -3:] = np.nan
        drawn = self.draws(policy, batch)
        want = policy.loss(padded, **drawn)
        assert torch.isfinite(want).all()
        assert torch.equal(want, policy.loss(replace(padded, actions=garbage), **drawn))

    def test_gradients_reach_every_weight(self, policy, batch):
        policy.loss(batch, **self.draws(policy, batch), reduction="mean").backward()
        without = [p for p in policy.parameters() if p.grad is None or not p.grad.any()]
        assert without == []

    def test_saving_and_loading_keeps_every_bit(self, policy, observation, tmp_path):
        noise = self.noise(policy)
        want = policy.infer(observation, noise=noise).chunk.positions
        policy.save(tmp_path)
        self.disturb(policy)
        assert not np.array_equal(policy.infer(observation, noise=noise).chunk.positions, want)
        policy.load(tmp_path)
        assert np.array_equal(policy.infer(observation, noise=noise).chunk.positions, want)

    def test_foreign_weights_are_refused(self, policy, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"not weights")
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            policy.load(tmp_path)
