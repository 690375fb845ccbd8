"""Steps of columns to the three kinds of batches of `so101.data.batch`. Pure."""

import numpy as np

from so101.action import ActionSpace
from so101.arrays import FloatArray, IntArray
from so101.clock import POLICY_HZ
from so101.data.batch import ChunkBatch, SequenceBatch, TransitionBatch
from so101.data.training.columns import Columns, observations
from so101.episode import SOURCE_CODES, ControlSource


def chunks_at(
    columns: Columns, steps: IntArray, space: ActionSpace, speeds: FloatArray | None = None
) -> ChunkBatch:
    """Return the chunks that begin at steps.

    Args:
        columns: The episodes.
        steps: Shape (batch,).
        space: Rate and horizon of a chunk.
        speeds: Factor at which each row's actions are read, in between linearly; None reads them
            as they were executed. Shape (batch,).
    """
    periods = (np.arange(space.horizon) + 1.0) * (POLICY_HZ // space.rate_hz)
    factors = np.ones(len(steps)) if speeds is None else speeds
    ahead = steps[:, None] + factors[:, None] * periods - 1.0
    last = columns.segment_last[steps][:, None]
    before = np.clip(np.floor(ahead).astype(np.int64), steps[:, None], last)
    share = np.clip(ahead - before, 0.0, 1.0)[..., None].astype(np.float32)
    first, second = columns.actions[before], columns.actions[np.minimum(before + 1, last)]
    mask = ahead <= last
    mask[:, 0] = True  # the last command stays in force: a row without any has no loss
    return ChunkBatch(
        observation=observations(columns, steps),
        actions=first + share * (second - first),
        mask=mask,
        weight=np.ones(len(steps), dtype=np.float32),
    )


def transitions_at(columns: Columns, steps: IntArray, n: int, gamma: float) -> TransitionBatch:
    """Return the n-step transitions that begin at steps.

    A window ends early where the task is over or the recording stops. The last step of an episode
    has no recorded successor: its own observation stands for it.

    Args:
        columns: The episodes.
        steps: Shape (batch,).
        n: Steps per transition.
        gamma: Discount per step.
    """
    ahead = steps[:, None] + np.arange(n)
    last = columns.segment_last[steps][:, None]
    window = np.minimum(ahead, last)
    over = columns.terminated[window]
    # A step counts while nothing before it ended the task and it lies in the recording.
    counts = (ahead <= last) & (np.cumsum(over, axis=1) - over == 0)
    length = counts.sum(axis=1)
    terminated = (over & counts).any(axis=1)
    following = steps + length
    truncated = ~terminated & (following > last[:, 0])
    discount = np.where(terminated, 0.0, gamma**length)
    rewards = columns.rewards[window] * counts * gamma ** np.arange(n)
    return TransitionBatch(
        observation=observations(columns, steps),
        actions=columns.actions[np.minimum(window, (steps + length - 1)[:, None])],
        reward=rewards.sum(axis=1).astype(np.float32),
        discount=discount.astype(np.float32),
        next_observation=observations(columns, np.minimum(following, last[:, 0])),
        terminated=terminated,
        truncated=truncated,
        is_intervention=columns.sources[steps] == SOURCE_CODES[ControlSource.TELEOP],
        source=columns.sources[steps],
    )


def sequences_at(columns: Columns, starts: IntArray, length: int) -> SequenceBatch:
    """Return contiguous steps. ``starts`` has shape (batch,); each has that many steps ahead."""
    steps = starts[:, None] + np.arange(length)
    return SequenceBatch(
        observation=observations(columns, steps),
        actions=columns.actions[steps],
        reward=columns.rewards[steps].astype(np.float32),
        terminated=columns.terminated[steps],
        is_first=columns.is_first[steps],
    )
