"""Which steps go into a batch, and random states that can be saved."""

import json
from collections.abc import Sequence

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.errors import ConfigError


def rng_to_json(rng: np.random.Generator) -> str:
    """Return the state of a generator as text; `rng_from_json` continues it to the bit."""
    return json.dumps(rng.bit_generator.state)


def rng_from_json(text: str, where: str) -> np.random.Generator:
    """Return a generator in a saved state.

    Args:
        text: What `rng_to_json` returned.
        where: File, for error messages.

    Raises:
        ConfigError: The text is not such a state.
    """
    bits = np.random.PCG64()
    try:
        bits.state = json.loads(text)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(f"{where}: not the state of a PCG64 generator: {error!r}") from error
    return np.random.Generator(bits)


class StepSampler:
    """Draws steps with replacement: uniformly over steps or over episodes, weighted by episode.

    Has no state of its own: what is drawn depends only on the generator that is passed in.
    """

    def __init__(
        self,
        episodes: Sequence[IntArray],
        *,
        is_episode_uniform: bool = False,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Prepare to draw.

        Args:
            episodes: For each episode the steps that may be drawn.
            is_episode_uniform: Every episode counts the same, however long it is.
            weights: Relative weight of each episode; None for equal ones.

        Raises:
            ConfigError: A weight is negative or not finite, or no step can be drawn.
        """
        sizes = np.array([len(steps) for steps in episodes], dtype=np.int64)
        factors: FloatArray = np.ones(len(sizes)) if weights is None else np.array(weights, float)
        if factors.shape != sizes.shape or not (np.isfinite(factors) & (factors >= 0)).all():
            raise ConfigError(f"sampling: need {len(sizes)} finite weights >= 0, got {weights}")
        mass = np.where(sizes > 0, factors, 0.0) * (1 if is_episode_uniform else sizes)
        if not mass.sum() > 0:
            raise ConfigError("sampling: no step can be drawn: no episode with steps and weight")
        self._bounds = np.cumsum(mass) / mass.sum()
        self._bounds[-1] = 1.0
        self._sizes = sizes
        self._starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        self._steps = np.concatenate([np.asarray(steps, dtype=np.int64) for steps in episodes])

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """Return steps. Shape (count,)."""
        episode = np.searchsorted(self._bounds, rng.random(count), side="right")
        episode = np.minimum(episode, self._last_with_mass)
        within = (rng.random(count) * self._sizes[episode]).astype(np.int64)
        found: IntArray = self._steps[self._starts[episode] + within]
        return found

    @property
    def _last_with_mass(self) -> int:
        gains = np.diff(self._bounds, prepend=0.0)
        return int(np.flatnonzero(gains > 0)[-1])
