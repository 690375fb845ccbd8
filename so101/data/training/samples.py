"""Steps as plain dicts of numpy arrays, which every data loader can collate. Pure."""

from typing import Any

import numpy as np
import numpy.typing as npt

from so101.action import ActionSpace
from so101.arrays import IntArray
from so101.data.training.columns import Columns
from so101.data.training.returns import Returns
from so101.data.training.windows import chunks_at

Sample = dict[str, npt.NDArray[Any]]
"""One step or a batch of steps by name; `samples_at` says what is in it."""


def samples_at(columns: Columns, steps: IntArray, space: ActionSpace, returns: Returns) -> Sample:
    """Return everything about steps: what was seen, what was done and what came of it.

    The arrays, each with a leading axis of batch:

    - ``episode``, ``tick``: number of the episode and of the tick in it, int64.
    - ``positions``, ``velocities``, ``effort``, ``commands``: as of `ObservationBatch`, float32.
    - ``image.<camera>``: RGB, uint8 (height, width, 3); ``image_mask.<camera>``: it is there.
    - ``objects``: float32 (objects, 7), where the policy looks at them.
    - ``actions``, ``action_mask``: as of `ChunkBatch`, float32 (horizon, joints) and (horizon,).
    - ``reward``: of the step, float32.
    - ``return``, ``return_discount``: as of `Returns`, float32.
    - ``terminated``, ``truncated``, ``is_first``: bool. Truncated is the last step before a gap
      or the end of the recording, unless the task ended there.
    - ``source``: `so101.episode.SOURCE_CODES`, int64.
    - ``value.<name>``: numbers that came late, float32; NaN where there is none.

    Args:
        columns: The episodes.
        steps: Shape (batch,).
        space: Rate and horizon of a chunk.
        returns: Of every step.
    """
    chunks = chunks_at(columns, steps, space)
    seen, terminated = chunks.observation, columns.terminated[steps]
    sample: Sample = {
        "episode": columns.episode[steps],
        "tick": columns.ticks[steps],
        "positions": seen.positions,
        "velocities": seen.velocities,
        "effort": seen.effort,
        "commands": seen.commands,
        "actions": chunks.actions,
        "action_mask": chunks.mask,
        "reward": columns.rewards[steps].astype(np.float32),
        "return": returns.rewards[steps].astype(np.float32),
        "return_discount": returns.discount[steps].astype(np.float32),
        "terminated": terminated,
        "truncated": (columns.segment_last[steps] == steps) & ~terminated,
        "is_first": columns.is_first[steps],
        "source": columns.sources[steps],
    }
    sample |= {f"image.{camera}": pixels for camera, pixels in seen.images.items()}
    sample |= {f"image_mask.{camera}": there for camera, there in seen.image_mask.items()}
    sample |= {f"value.{name}": numbers[steps] for name, numbers in columns.values.items()}
    if seen.objects is not None:
        sample["objects"] = seen.objects
    return sample
