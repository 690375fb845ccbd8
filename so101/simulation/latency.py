"""Simulated time from an observation to its chunk, with seeded jitter."""

from dataclasses import dataclass

import numpy as np

from so101.clock import NS_PER_S, nanoseconds
from so101.errors import ConfigError

_STREAM = 0x1A7E
"""Keeps these draws apart from those of the policy's noise, which have the same seeds."""


@dataclass(frozen=True, kw_only=True)
class SimulatedLatency:
    """How long each inference of an episode takes.

    Attributes:
        mean_s: Its mean [s].
        jitter: Each one is uniform within this share of the mean; 0.3 is ± 30 %.
        seed: Run seed. The k-th inference of an episode takes the same time in every run of it.
    """

    mean_s: float = 0.0
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            ConfigError: A value is out of range.
        """
        if not 0.0 <= self.mean_s <= 1.0:
            raise ConfigError(f"simulated latency: {self.mean_s} s is outside 0 to 1 s")
        if not 0.0 <= self.jitter <= 1.0:
            raise ConfigError(f"simulated latency: jitter {self.jitter} is outside 0 to 1")

    @property
    def mean_ns(self) -> int:
        """Its mean [ns]."""
        return nanoseconds(self.mean_s)

    @property
    def longest_ns(self) -> int:
        """What no inference exceeds [ns]."""
        return nanoseconds(self.mean_s * (1.0 + self.jitter))

    def draw_ns(self, episode_seed: int, index: int) -> int:
        """Return what one inference takes [ns].

        Args:
            episode_seed: Of the episode.
            index: Of the inference in it, from 0.
        """
        if self.mean_s == 0.0 or self.jitter == 0.0:
            return self.mean_ns
        rng = np.random.default_rng([_STREAM, self.seed, episode_seed, index])
        return round(self.mean_s * (1.0 + self.jitter * rng.uniform(-1.0, 1.0)) * NS_PER_S)


NO_LATENCY = SimulatedLatency()
