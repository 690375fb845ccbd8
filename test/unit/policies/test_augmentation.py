"""Augmentation changes what is seen and nothing else."""

from dataclasses import replace

import numpy as np
from contracts.policy_factories import make_batch

from so101.policies.augmentation import blur_joints, shift_images


def test_shifts_move_pixels_and_repeat_edges():
    batch = make_batch(np.random.default_rng(0), cameras=("front",))
    image = np.tile(np.arange(24, dtype=np.uint8)[None, :, None], (24, 1, 3))
    stack = np.stack([image] * len(batch))
    batch = replace(batch, observation=replace(batch.observation, images={"front": stack}))
    shifted = shift_images(batch, np.random.default_rng(1), 3).observation.images["front"]
    moves = shifted[:, 12, 12, 0].astype(int) - 12
    assert set(moves) <= set(range(-3, 4))
    assert len(set(moves)) > 1
    for row, move in zip(shifted, moves, strict=True):
        assert np.array_equal(row[5, :, 0], np.clip(np.arange(24) + move, 0, 23))
    assert np.array_equal(batch.observation.images["front"], stack)
    assert shift_images(batch, np.random.default_rng(1), 0) is batch


def test_joints_are_blurred_and_actions_are_not():
    batch = make_batch(np.random.default_rng(0), rows=2000)
    blurred = blur_joints(batch, np.random.default_rng(1), 0.05)
    noise = blurred.observation.positions - batch.observation.positions
    np.testing.assert_allclose(noise.std(axis=0), 0.05, rtol=0.1)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=0.01)
    same = blurred.observation.commands - batch.observation.commands
    np.testing.assert_allclose(same, noise, atol=1e-6)
    assert blurred.observation.positions.dtype == np.float32
    assert blurred.actions is batch.actions
    assert blur_joints(batch, np.random.default_rng(1), 0.0) is batch
