"""Draws steps in proportion to priorities that learning sets.

Proportional prioritised replay (Schaul et al. 2016, "Prioritized Experience Replay",
arXiv:1511.05952): step ``i`` is drawn with probability

    P(i) = p_i^alpha / sum_k p_k^alpha,        p_i = |error_i| + epsilon

and its loss is weighted by ``(N P(i))^-beta``, divided by the largest weight of any step that can
be drawn. A step that was never learned from has the largest priority so far. Drawing and updating
cost O(log n) per step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from so101.arrays import Float32Array, FloatArray, IntArray
from so101.config import option
from so101.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PriorityConfig:
    """How much priorities matter."""

    alpha: float = option(0.6, "0: all steps alike; 1: in proportion", range=(0.0, 1.0))
    epsilon: float = option(1e-6, "added to every error", range=(1e-12, 1e6))


class PrioritisedSampler:
    """Draws steps by priority. Its whole state is one priority per step, see `state`."""

    def __init__(self, steps: IntArray, config: PriorityConfig | None = None) -> None:
        """Give every step priority 1.

        Args:
            steps: What may be drawn, ascending, as `EpisodeDataset.steps` returns it. Shape (n,).
            config: How much priorities matter.

        Raises:
            ConfigError: There is no step, or they are not ascending.
        """
        self._config = config or PriorityConfig()
        self._steps = _ascending(steps, -1)
        self._priorities: FloatArray = np.ones(len(self._steps))
        self._largest = 1.0
        self._grow()

    def __len__(self) -> int:
        """Return how many steps can be drawn."""
        return len(self._steps)

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """Return steps, one from each of ``count`` equal parts of the mass. Shape (count,)."""
        total = self._sums[1]
        mass = (np.arange(count) + rng.random(count)) * (total / max(count, 1))
        nodes = np.ones(count, dtype=np.int64)
        while nodes.size and nodes[0] < self._leaves:
            nodes *= 2
            left = self._sums[nodes]
            # a sum that was rounded up must not lead to a side where nothing is
            goes_right = (mass >= left) & (self._sums[nodes + 1] > 0)
            mass -= np.where(goes_right, left, 0.0)
            nodes += goes_right
        return self._steps[nodes - self._leaves]

    def weights(self, steps: IntArray, beta: float) -> Float32Array:
        """Return the factor of each step's loss, at the present priorities.

        Args:
            steps: Steps that were drawn, before their priorities are updated. Shape (count,).
            beta: 0: no correction; 1: the full one.

        Returns:
            float32 in 0..1. Shape (count,).

        Raises:
            ConfigError: A step is none of these.
        """
        mass = self._sums[self._leaves + self._places(steps)]
        # (N p_i / S)^-beta over (N p_min / S)^-beta: N and S cancel
        return np.asarray((self._minima[1] / mass) ** beta, dtype=np.float32)

    def update(self, steps: IntArray, errors: FloatArray) -> None:
        """Set priorities; where a step is named twice, the last error counts.

        Args:
            steps: Steps that were learned from. Shape (count,).
            errors: How wrong they were, such as TD errors; the sign does not matter. (count,).

        Raises:
            ConfigError: A step is none of these, or an error is not finite. Nothing was changed.
        """
        places = self._places(steps)
        sizes = np.abs(np.asarray(errors, dtype=np.float64))
        if sizes.shape != places.shape or not np.isfinite(sizes).all():
            raise ConfigError(f"priorities: need {len(places)} finite errors, got {errors}")
        self._priorities[places] = sizes + self._config.epsilon
        self._largest = max(self._largest, float(self._priorities[places].max(initial=0.0)))
        self._refresh(np.unique(places))

    def extend(self, steps: IntArray) -> None:
        """Add steps of a dataset that grew, with the largest priority so far.

        Args:
            steps: Ascending, behind all present ones. Shape (n,).

        Raises:
            ConfigError: They are not.
        """
        before = len(self._steps)
        added = _ascending(steps, int(self._steps[-1]))
        self._steps = np.concatenate([self._steps, added])
        self._priorities = np.concatenate([self._priorities, np.full(len(added), self._largest)])
        if len(self._steps) > self._leaves:
            self._grow()
        else:
            self._refresh(np.arange(before, len(self._steps)))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what a sampler must know to go on to the bit, see `restored`."""
        return {
            "steps": self._steps.copy(),
            "priorities": self._priorities.copy(),
            "largest": np.array([self._largest]),
        }

    @classmethod
    def restored(
        cls, state: Mapping[str, npt.NDArray[Any]], config: PriorityConfig | None = None
    ) -> "PrioritisedSampler":
        """Return a sampler in a saved state.

        Raises:
            ConfigError: The state is not one.
        """
        try:
            steps, priorities, largest = state["steps"], state["priorities"], state["largest"]
        except KeyError as error:
            raise ConfigError(f"priorities: saved state without {error}") from error
        is_fit = priorities.shape == steps.shape and largest.shape == (1,)
        if not is_fit or not (np.isfinite(priorities) & (priorities > 0)).all():
            raise ConfigError("priorities: saved state with broken arrays")
        sampler = cls(steps, config)
        sampler._priorities = priorities.astype(np.float64)
        sampler._largest = float(largest[0])
        sampler._grow()
        return sampler

    def _places(self, steps: IntArray) -> IntArray:
        places: IntArray = np.searchsorted(self._steps, steps)
        inside = np.minimum(places, len(self._steps) - 1)
        if not (self._steps[inside] == steps).all():
            raise ConfigError("priorities: a step that this sampler does not draw")
        return places

    def _grow(self) -> None:
        """Make the trees anew. Node ``i`` is over nodes ``2 i`` and ``2 i + 1``, 1 is the root."""
        self._leaves = 1 << max(len(self._steps) - 1, 0).bit_length()
        self._sums = np.zeros(2 * self._leaves)
        self._minima = np.full(2 * self._leaves, np.inf)
        self._refresh(np.arange(len(self._steps)))

    def _refresh(self, places: IntArray) -> None:
        """Bring priorities to the roots.

        Every node is computed from its children, so that no error adds up and the trees depend
        on the priorities alone.
        """
        nodes = places + self._leaves
        mass = self._priorities[places] ** self._config.alpha
        self._sums[nodes] = self._minima[nodes] = mass
        while nodes.size and nodes[0] > 1:
            nodes = np.unique(nodes // 2)
            self._sums[nodes] = self._sums[2 * nodes] + self._sums[2 * nodes + 1]
            self._minima[nodes] = np.minimum(self._minima[2 * nodes], self._minima[2 * nodes + 1])


def _ascending(steps: IntArray, above: int) -> IntArray:
    found = np.asarray(steps, dtype=np.int64)
    if found.ndim != 1 or (above < 0 and not len(found)):
        raise ConfigError("priorities: no step to draw")
    if len(found) and (found[0] <= above or (np.diff(found) <= 0).any()):
        raise ConfigError("priorities: steps must be ascending and behind the present ones")
    return found
