"""Play chunks faster or slower than they were planned: speed exploration."""

from dataclasses import replace

from so101.action import ActionSpace
from so101.arrays import FloatArray
from so101.data.batch import Float32Array
from so101.errors import ConfigError
from so101.observation import Observation
from so101.policies.policy import Inference, Policy
from so101.spec import PolicySpec


def max_speed(space: ActionSpace, latency_steps: int = 0) -> float:
    """Return the largest factor at which a chunk still reaches to its successor.

    Args:
        space: Of the policy.
        latency_steps: Points that pass while the next chunk is being planned.
    """
    return space.horizon / (space.execute_steps + latency_steps)


class PlaybackSpeed:
    """A policy whose chunks are played at a factor."""

    def __init__(self, policy: Policy, factor: float, latency_steps: int = 0) -> None:
        """Wrap a policy.

        Raises:
            ConfigError: At this factor a chunk would end before its successor takes over.
        """
        highest = max_speed(policy.spec.action_space, latency_steps)
        if not 0.0 < factor <= highest:
            raise ConfigError(f"playback speed {factor:g} is outside (0, {highest:g}]")
        self._policy, self._factor = policy, factor

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs."""
        return self._policy.spec

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one noise."""
        return self._policy.noise_shape

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: FloatArray | None = None,
    ) -> Inference:
        """Plan a chunk and set its speed."""
        inference = self._policy.infer(
            observation, noise=noise, indicator=indicator, guidance=guidance, prefix=prefix
        )
        return replace(inference, chunk=replace(inference.chunk, speed=self._factor))

    def reset(self) -> None:
        """Forget the episode."""
        self._policy.reset()
