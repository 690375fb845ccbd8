"""Episodes to training batches, all in memory: columns as float32, images at the policy's size.

Owns which steps may be used (no gaps, no idle ticks, no unfit episodes) and how they are drawn;
`so101.data.windows` makes batches of them. Normalising is the policy's business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.config import option
from so101.data.batch import ChunkBatch, ObservationBatch, SequenceBatch, TransitionBatch
from so101.data.columns import Columns, build_columns, observations
from so101.data.episode_reader import read_episodes
from so101.data.episode_store import EpisodeStore
from so101.data.fitness import SkippedEpisode, check_arrays, check_entry, check_episode
from so101.data.norm_stats import ColumnStats, NormStats
from so101.data.sampling import StepSampler
from so101.data.segments import ReaderConfig
from so101.data.trimming import TrimConfig
from so101.data.windows import chunks_at, sequences_at, transitions_at
from so101.episode import Episode, Outcome
from so101.errors import BagError, ConfigError
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Which episodes and steps are trained on."""

    trim: TrimConfig = field(default_factory=TrimConfig)
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    outcomes: tuple[str, ...] = option(
        ("success", "failure", "truncated"), "outcomes of the episodes that are used"
    )
    is_episode_uniform: bool = option(False, "every episode counts the same, however long")


class EpisodeDataset:
    """Steps of fit episodes, in memory.

    Attributes:
        spec: What the policy sees and does.
        episodes: Ids of the episodes, in the order of the weights.
        skipped: Episodes that were left out.
        trimmed: Episode id to the number of idle ticks removed.
    """

    def __init__(
        self,
        columns: Columns,
        spec: PolicySpec,
        config: DatasetConfig,
        skipped: Sequence[SkippedEpisode] = (),
    ) -> None:
        """Use `from_store` or `from_episodes`."""
        self.spec = spec
        self.episodes = columns.episodes
        self.trimmed = dict(zip(columns.episodes, columns.trimmed, strict=True))
        self.skipped = tuple(skipped)
        self._columns = columns
        self._config = config
        self._samplers: dict[object, StepSampler] = {}

    @classmethod
    def from_store(
        cls,
        store: EpisodeStore,
        spec: PolicySpec,
        config: DatasetConfig | None = None,
        *,
        only: Iterable[str] | None = None,
        arrays: Sequence[str] = (),
    ) -> "EpisodeDataset":
        """Read the fit episodes of a store.

        Args:
            store: The store.
            spec: What the policy sees and does.
            config: Which episodes and steps are used.
            only: Episode ids; None for all.
            arrays: Names of arrays that every episode of a policy must hold.

        Raises:
            StoreError: The store cannot be read.
            BagError: No episode is fit; the message says why.
        """
        config = config or DatasetConfig()
        wanted = None if only is None else frozenset(only)
        episodes: list[Episode] = []
        skipped: list[SkippedEpisode] = []
        for entry in store.episodes():
            if wanted is not None and entry.facts.id not in wanted:
                continue
            reason = check_entry(entry, config.outcomes)
            if not reason:
                try:
                    episodes += read_episodes(store.fetch(entry), config.reader)
                except BagError as error:
                    reason = str(error)
            if reason:
                skipped.append(SkippedEpisode(episode=entry.facts.id, reason=reason))
        return cls._build(episodes, spec, config, skipped, str(store.root), arrays)

    @classmethod
    def from_episodes(
        cls,
        episodes: Sequence[Episode],
        spec: PolicySpec,
        config: DatasetConfig | None = None,
        *,
        arrays: Sequence[str] = (),
    ) -> "EpisodeDataset":
        """Take episodes that are already read; arguments as of `from_store`.

        Raises:
            BagError: No episode is fit; the message says why.
        """
        config = config or DatasetConfig()
        return cls._build(episodes, spec, config, [], "dataset", arrays)

    @classmethod
    def _build(
        cls,
        episodes: Sequence[Episode],
        spec: PolicySpec,
        config: DatasetConfig,
        skipped: list[SkippedEpisode],
        where: str,
        arrays: Sequence[str],
    ) -> "EpisodeDataset":
        fit: list[Episode] = []
        for episode in episodes:
            reason = check_arrays(episode, arrays) or check_episode(
                episode, spec, config.outcomes, fit[0] if fit else None
            )
            if reason:
                skipped.append(SkippedEpisode(episode=episode.facts.id, reason=reason))
            else:
                fit.append(episode)
        if not fit:
            why = "; ".join(f"{one.episode}: {one.reason}" for one in skipped[:5])
            raise BagError(f"{where}: no episode to train on: {why or 'there is none'}")
        return cls(build_columns(fit, spec, config.trim), spec, config, skipped)

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._columns.positions)

    @property
    def outcomes(self) -> tuple[Outcome | None, ...]:
        """Outcome of each episode."""
        return self._columns.outcomes

    @property
    def durations_s(self) -> FloatArray:
        """Recorded duration of each episode, idle ticks included [s]. Shape (episodes,)."""
        return self._columns.durations_s

    @property
    def sizes(self) -> IntArray:
        """Number of steps of each episode, idle ones left out. Shape (episodes,)."""
        counts: IntArray = np.bincount(self._columns.episode, minlength=len(self.episodes))
        return counts

    def norm_stats(self) -> NormStats:
        """Return the statistics of what the policy sees and does."""
        columns = self._columns
        has_velocities = bool(np.isfinite(columns.velocities).all())
        return NormStats(
            positions=ColumnStats.of(columns.positions),
            velocities=ColumnStats.of(columns.velocities) if has_velocities else None,
            commands=ColumnStats.of(columns.commands),
            actions=ColumnStats.of(columns.actions),
            objects=None if columns.objects is None else ColumnStats.of(columns.objects),
            steps=len(columns.positions),
        )

    def observations(self, steps: IntArray) -> ObservationBatch:
        """Return the observations of steps. ``steps`` may have any shape."""
        return observations(self._columns, steps)

    def chunks(
        self,
        rng: np.random.Generator,
        batch_size: int,
        *,
        weights: Sequence[float] | None = None,
    ) -> ChunkBatch:
        """Draw observations and the actions that followed, as long as the spec's horizon.

        Args:
            rng: Where chance comes from; its state decides everything.
            batch_size: Rows.
            weights: Relative weight of each episode; None for equal ones.
        """
        return self.chunks_at(self.draw(rng, batch_size, weights))

    def draw(
        self, rng: np.random.Generator, count: int, weights: Sequence[float] | None = None
    ) -> IntArray:
        """Draw steps with replacement, for `chunks_at`. Shape (count,).

        Args:
            rng: Where chance comes from.
            count: How many.
            weights: Relative weight of a step of each episode; None for equal ones.
        """
        return self._sampler(weights, 1).draw(rng, count)

    def episode_of(self, steps: IntArray) -> IntArray:
        """Return the number of each step's episode, its place in `episodes`."""
        return self._columns.episode[steps]

    def chunks_at(self, steps: IntArray, speeds: FloatArray | None = None) -> ChunkBatch:
        """Return the chunks that begin at steps.

        Args:
            steps: Shape (batch,).
            speeds: Factor at which each row's actions are read, in between linearly; None reads
                them as they were executed. Shape (batch,).
        """
        return chunks_at(self._columns, steps, self.spec.action_space, speeds)

    def transitions(
        self,
        rng: np.random.Generator,
        batch_size: int,
        n: int = 1,
        gamma: float = 0.99,
        *,
        weights: Sequence[float] | None = None,
    ) -> TransitionBatch:
        """Draw n-step transitions.

        A window ends early where the task is over or the recording stops. The last step of an
        episode has no recorded successor: its own observation stands for it.

        Args:
            rng: Where chance comes from.
            batch_size: Rows.
            n: Steps per transition.
            gamma: Discount per step.
            weights: Relative weight of each episode; None for equal ones.
        """
        if n < 1 or not 0.0 <= gamma <= 1.0:
            raise ConfigError(f"transitions: need n >= 1 and 0 <= gamma <= 1, got {n}, {gamma}")
        return self.transitions_at(self._sampler(weights, 1).draw(rng, batch_size), n, gamma)

    def transitions_at(self, steps: IntArray, n: int, gamma: float) -> TransitionBatch:
        """Return the n-step transitions that begin at steps. ``steps`` has shape (batch,)."""
        return transitions_at(self._columns, steps, n, gamma)

    def sequences(
        self,
        rng: np.random.Generator,
        batch_size: int,
        length: int,
        *,
        weights: Sequence[float] | None = None,
    ) -> SequenceBatch:
        """Draw contiguous steps of one episode without gaps.

        Args:
            rng: Where chance comes from.
            batch_size: Rows.
            length: Steps per row.
            weights: Relative weight of each episode; None for equal ones.

        Raises:
            ConfigError: No episode is long enough.
        """
        if length < 1:
            raise ConfigError(f"sequences: length {length} is below 1")
        starts = self._sampler(weights, length).draw(rng, batch_size)
        return sequences_at(self._columns, starts, length)

    def _sampler(self, weights: Sequence[float] | None, length: int) -> StepSampler:
        key = (None if weights is None else tuple(weights), length)
        if key not in self._samplers:
            if len(self._samplers) > 8:  # weights that change with every call
                self._samplers.clear()
            columns = self._columns
            usable = np.arange(len(self)) + length - 1 <= columns.segment_last
            self._samplers[key] = StepSampler(
                [
                    np.flatnonzero(usable & (columns.episode == i))
                    for i in range(len(self.episodes))
                ],
                is_episode_uniform=self._config.is_episode_uniform,
                weights=weights,
            )
        return self._samplers[key]
