"""Noise seeded per run, episode and chunk, so that a run repeats exactly."""

import numpy as np

from so101.action import ChunkPrefix
from so101.arrays import Float32Array
from so101.observation import Observation
from so101.policies.policy import Inference, Policy
from so101.policies.wrappers.wrapped import WrappedPolicy


def chunk_noise(
    run_seed: int, episode_seed: int, chunk_index: int, shape: tuple[int, ...]
) -> Float32Array:
    """Return the standard normal noise of one chunk."""
    rng = np.random.default_rng([run_seed, episode_seed, chunk_index])
    return rng.standard_normal(shape, dtype=np.float32)


class SeededNoise(WrappedPolicy):
    """A policy that draws its noise from seeds instead of from chance."""

    def __init__(self, policy: Policy, run_seed: int, episode_seed: int = 0) -> None:
        """Wrap a policy; `start` names the episode."""
        super().__init__(policy)
        self._run_seed = run_seed
        self._episode_seed, self._index = episode_seed, 0

    def start(self, episode_seed: int) -> None:
        """Begin an episode at its chunk 0."""
        self._episode_seed = episode_seed
        self.reset()

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Plan a chunk from this episode's next noise, unless one is given.

        Where no chunk comes of it the noise is for the next attempt.
        """
        if noise is None:
            noise = chunk_noise(self._run_seed, self._episode_seed, self._index, self.noise_shape)
        inference = self._policy.infer(
            observation, noise=noise, indicator=indicator, guidance=guidance, prefix=prefix
        )
        self._index += 1
        return inference

    def reset(self) -> None:
        """Begin the present episode again at its chunk 0."""
        self._index = 0
        super().reset()
