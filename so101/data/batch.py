"""What algorithms train on: three kinds of batches, all plain numpy arrays.

Joint columns are ordered as the policy's joints. Actions are executed joint positions [rad];
a policy's own action space is applied inside the policy, so every batch fits every policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from so101.arrays import BoolArray, Float32Array, ImageArray


@dataclass(frozen=True, kw_only=True)
class ObservationBatch:
    """Observations stacked.

    Attributes:
        positions: Measured [rad], float32. Shape (batch, joints).
        velocities: Measured [rad/s], float32. Shape (batch, joints).
        effort: Estimated [N·m], float32. Shape (batch, joints).
        commands: Goal in force just before the tick [rad], float32. Shape (batch, joints).
        images: Camera id to RGB, uint8. Shape (batch, height, width, 3).
        image_mask: Camera id to True where the image is there. Shape (batch,).
        objects: Object poses [m, quaternion xyzw], float32, (batch, objects, 7), or None.
        tasks: One instruction per row, or empty.
    """

    positions: Float32Array
    velocities: Float32Array
    effort: Float32Array
    commands: Float32Array
    images: Mapping[str, ImageArray] = field(default_factory=dict)
    image_mask: Mapping[str, BoolArray] = field(default_factory=dict)
    objects: Float32Array | None = None
    tasks: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the batch size."""
        return len(self.positions)


@dataclass(frozen=True, kw_only=True)
class ChunkBatch:
    """Observation and the actions that followed: imitation and weighted regression.

    Attributes:
        observation: Shape (batch, ...).
        actions: Executed joint positions [rad], float32; entry ``k`` of a row was in force
            ``k + 1`` periods after its observation. Shape (batch, horizon, joints).
        mask: True where the entry is real, False where it is padding behind the episode's end
            (the last action repeated). The first one is always real. Shape (batch, horizon).
        weight: Weight of each row, float32 (an advantage, or 1). Shape (batch,).
        indicator: Advantage indicator per row, int8: 1 positive, 0 negative, -1 none. (batch,).
        aux: Recorded arrays by name, first axis batch.
    """

    observation: ObservationBatch
    actions: Float32Array
    mask: BoolArray
    weight: Float32Array
    indicator: npt.NDArray[np.int8] | None = None
    aux: Mapping[str, Float32Array] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the batch size."""
        return len(self.actions)


@dataclass(frozen=True, kw_only=True)
class TransitionBatch:
    """n-step transitions for value learning.

    Attributes:
        observation: Where the transition starts. Shape (batch, ...).
        actions: Executed joint positions of the n steps [rad], float32. (batch, n, joints).
        reward: Discounted sum of the n rewards, float32. Shape (batch,).
        discount: Factor of the bootstrapped value, float32: gamma**n, 0 where terminated,
            gamma**m where the episode was truncated after m < n steps. Shape (batch,).
        next_observation: Where the transition ends. Shape (batch, ...).
        terminated: The task was over within the n steps. Shape (batch,).
        truncated: The episode was cut within the n steps. Shape (batch,).
        is_intervention: A human was in control at the start. Shape (batch,).
        source: `so101.episode.SOURCE_CODES` at the start, int64. Shape (batch,).
    """

    observation: ObservationBatch
    actions: Float32Array
    reward: Float32Array
    discount: Float32Array
    next_observation: ObservationBatch
    terminated: BoolArray
    truncated: BoolArray
    is_intervention: BoolArray
    source: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the batch size."""
        return len(self.reward)


@dataclass(frozen=True, kw_only=True)
class SequenceBatch:
    """Contiguous steps without gaps, for world models. Time is the second axis.

    Attributes:
        observation: Each array of shape (batch, length, ...).
        actions: Executed joint positions [rad], float32. Shape (batch, length, joints).
        reward: float32. Shape (batch, length).
        terminated: Shape (batch, length).
        is_first: First step of an episode. Shape (batch, length).
    """

    observation: ObservationBatch
    actions: Float32Array
    reward: Float32Array
    terminated: BoolArray
    is_first: BoolArray

    def __len__(self) -> int:
        """Return the batch size."""
        return len(self.reward)


Batch = ChunkBatch | TransitionBatch | SequenceBatch
