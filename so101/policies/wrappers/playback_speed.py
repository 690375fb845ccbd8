"""Play chunks faster or slower than they were planned: speed exploration."""

from dataclasses import replace

from so101.action import ChunkPrefix
from so101.arrays import Float32Array
from so101.errors import ConfigError
from so101.observation import Observation
from so101.policies.policy import Inference, Policy
from so101.policies.wrappers.wrapped import WrappedPolicy


class PlaybackSpeed(WrappedPolicy):
    """A policy whose chunks are played at a factor."""

    def __init__(self, policy: Policy, factor: float, latency_ticks: int = 0) -> None:
        """Wrap a policy.

        Args:
            policy: Plans the chunks.
            factor: How much faster than planned they are played.
            latency_ticks: Policy ticks from an observation to its chunk.

        Raises:
            ConfigError: At this factor a chunk would end before its successor takes over.
        """
        highest = policy.spec.action_space.highest_speed(latency_ticks)
        if not 0.0 < factor <= highest:
            raise ConfigError(
                f"playback speed {factor:g} is outside (0, {highest:g}]: with {latency_ticks} "
                "ticks of latency a chunk would end before its successor takes over"
            )
        super().__init__(policy)
        self._factor = factor

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Plan a chunk and set its speed."""
        inference = self._policy.infer(
            observation, noise=noise, indicator=indicator, guidance=guidance, prefix=prefix
        )
        return replace(inference, chunk=replace(inference.chunk, speed=self._factor))
