"""Batches whose rows come from several samplers in fixed shares.

Half demonstrations and half own experience is how RLPD learns from both (Ball et al. 2023,
"Efficient Online Reinforcement Learning with Offline Data", arXiv:2302.02948), and HIL-SERL after
it. By outcome or by source is the same with other steps: see `EpisodeDataset.steps`.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from so101.arrays import IntArray
from so101.errors import ConfigError


class Sampler(Protocol):
    """Draws steps. What is drawn depends on the generator and on priorities set, nothing else."""

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """Return steps, with replacement. Shape (count,)."""


class MixedSampler:
    """Draws a fixed share of every batch from each of several samplers."""

    def __init__(self, samplers: Sequence[Sampler], shares: Sequence[float]) -> None:
        """Prepare to draw.

        Args:
            samplers: Where rows come from, in the order of the rows.
            shares: Relative share of each.

        Raises:
            ConfigError: The numbers differ, a share is negative or not finite, or all are 0.
        """
        parts = np.array(shares, dtype=np.float64)
        is_fit = parts.shape == (len(samplers),) and bool(
            (np.isfinite(parts) & (parts >= 0)).all()
        )
        if not is_fit or not parts.sum() > 0:
            raise ConfigError(f"sampling: need {len(samplers)} shares >= 0, got {list(shares)}")
        self._samplers = tuple(samplers)
        self._shares = parts / parts.sum()

    def counts(self, count: int) -> tuple[int, ...]:
        """Return how many rows of a batch come from each sampler.

        Exact where the shares of the batch are whole numbers; else the largest remainders are
        rounded up, the earlier sampler first.
        """
        exact = self._shares * count
        whole = np.floor(exact + 1e-9).astype(np.int64)
        order = np.argsort(-(exact - whole).round(9), kind="stable")
        whole[order[: count - int(whole.sum())]] += 1
        return tuple(whole.tolist())

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """Return steps, those of one sampler next to each other. Shape (count,)."""
        counts = zip(self._samplers, self.counts(count), strict=True)
        drawn = [sampler.draw(rng, rows) for sampler, rows in counts if rows]
        return np.concatenate(drawn) if drawn else np.empty(0, dtype=np.int64)
