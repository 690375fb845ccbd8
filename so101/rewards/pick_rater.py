"""The pick task's rater: simulated truth as a `Rater`."""

import numpy as np

from so101.errors import SessionError
from so101.observation import Observation
from so101.rewards.rater import Verdict
from so101.rewards.success import PickSuccess

REACH_M = 0.42
"""A cube farther than this from the base cannot be picked up any more [m]."""


class PickRater:
    """Rates the pick by joint positions and the cube's pose."""

    def __init__(self) -> None:
        """Begin with no episode."""
        self._success = PickSuccess()

    def reset(self) -> None:
        """Begin an episode."""
        self._success.reset()

    def update(self, observation: Observation) -> Verdict:
        """Judge the next policy tick.

        Raises:
            SessionError: The observation has no object poses.
        """
        if observation.objects is None:
            raise SessionError("the simulated truth needs simulation/objects")
        sample = self._success.update(
            observation.stamp_ns, observation.positions, observation.objects
        )
        is_lost = bool(np.hypot(*observation.objects[0, :2]) > REACH_M) and not sample.lifted
        kind = "success" if sample.is_success else self._success.failure_kind().value
        return Verdict(
            reward=float(sample.is_success),
            probability=sample.probability,
            is_success=sample.is_success,
            is_failure=is_lost and not sample.is_success,
            kind="out_of_reach" if is_lost and not sample.is_success else kind,
        )
