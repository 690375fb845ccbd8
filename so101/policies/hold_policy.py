"""The null policy: stays where it is. What any learned policy must beat."""

import numpy as np

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import Float32Array, frozen
from so101.errors import ObservationError
from so101.observation import Observation
from so101.policies.policy import Inference
from so101.spec import PolicySpec


class HoldPolicy:
    """Repeats the command in force."""

    def __init__(self, spec: PolicySpec | None = None) -> None:
        """Take the action space's horizon and rate from a spec."""
        self.spec = spec or PolicySpec()
        self.noise_shape: tuple[int, ...] = ()

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Return the command in force at every point, after what is decided."""
        if not np.isfinite(observation.command).all():
            raise ObservationError("observation: the command is not finite")
        space = self.spec.action_space
        positions = np.tile(observation.command, (space.horizon, 1))
        if prefix is not None:
            positions[: prefix.decided] = prefix.positions[: prefix.decided]
        chunk = ActionChunk(
            stamp_ns=observation.stamp_ns, positions=frozen(positions), rate_hz=space.rate_hz
        )
        return Inference(chunk=chunk, native_action=chunk.positions)

    def reset(self) -> None:
        """Do nothing."""
