"""Episodes to training batches: any step of any episode, at random.

Owns which steps may be used and how they are drawn. Numbers are in memory as float32; pictures are
held decoded, decoded whenever asked for, or mapped from a cache, as `DatasetConfig` says, and are
the same to the bit. `so101.data.training.windows` makes the batches; normalising is the policy's
business.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.data.batch import ChunkBatch, ObservationBatch, SequenceBatch, TransitionBatch
from so101.data.pictures.frames import Frames
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.training.columns import Columns, columns_stats, observations
from so101.data.training.fitness import SkippedEpisode
from so101.data.training.loading import DatasetConfig as DatasetConfig
from so101.data.training.loading import Loader
from so101.data.training.norm_stats import NormStats
from so101.data.training.returns import Returns, returns_to_go
from so101.data.training.samples import Sample, samples_at
from so101.data.training.selection import EpisodeSamplers, EpisodeTest, find_step, select_steps
from so101.data.training.windows import chunks_at, sequences_at, transitions_at
from so101.episode import ControlSource, Episode, Outcome
from so101.errors import ConfigError
from so101.spec import PolicySpec


class EpisodeDataset:
    """Steps of fit episodes, numbered through.

    Also a map-style data set as torch's DataLoader takes it: ``dataset[step]`` is a dict of
    arrays, see `so101.data.training.samples.samples_at`. Worker processes open their
    files themselves.

    Attributes:
        spec: What the policy sees and does.
        episodes: Ids of the episodes, in the order of the weights.
        facts: What is known about each of them.
        skipped: Episodes that were left out.
        trimmed: Episode id to the number of idle ticks removed.
    """

    def __init__(
        self,
        columns: Columns,
        spec: PolicySpec,
        config: DatasetConfig,
        skipped: Sequence[SkippedEpisode] = (),
        arrays: Sequence[str] = (),
    ) -> None:
        """Use `from_store` or `from_episodes`."""
        self.spec = spec
        self.episodes = columns.episodes
        self.facts = columns.facts
        self.trimmed = dict(zip(columns.episodes, columns.trimmed, strict=True))
        self.skipped = tuple(skipped)
        self._columns = columns
        self._config = config
        self._arrays = tuple(arrays)
        self._samplers = EpisodeSamplers(columns, is_episode_uniform=config.is_episode_uniform)
        self._returns: tuple[float, Returns] | None = None

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
            StoreError: The store cannot be read, or the cache not be written.
            BagError: No episode is fit; the message says why.
            ConfigError: The images need more memory than is allowed.
        """
        config = config or DatasetConfig()
        wanted = None if only is None else frozenset(only)
        loader = Loader(spec, config, arrays)
        chosen = (e for e in store.episodes() if wanted is None or e.facts.id in wanted)
        loader.add_bags(chosen, store.fetch)
        columns = loader.columns(store.name)
        return cls(columns, spec, config, loader.skipped, arrays)

    @classmethod
    def from_episodes(
        cls,
        episodes: Iterable[Episode],
        spec: PolicySpec,
        config: DatasetConfig | None = None,
        *,
        arrays: Sequence[str] = (),
    ) -> "EpisodeDataset":
        """Take episodes that are already read; arguments and errors as of `from_store`."""
        config = config or DatasetConfig()
        loader = Loader(spec, config, arrays)
        loader.add_episodes(episodes)
        return cls(loader.columns("dataset"), spec, config, loader.skipped, arrays)

    def extended_with(
        self, bags: Iterable[EpisodeEntry] = (), episodes: Iterable[Episode] = ()
    ) -> "EpisodeDataset":
        """Return a dataset with further episodes behind these, whose steps keep their numbers.

        Pictures are shared and numbers are copied; nothing is read twice.

        Args:
            bags: Entries of a store whose bags are on this machine.
            episodes: Episodes that are already read; they come last.

        Raises:
            BagError: An image cannot be decoded, or a picture has another size.
            ConfigError: An episode is in the dataset already, or the images need more memory
                than is allowed.
            StoreError: The cache cannot be written.
        """
        loader = Loader(self.spec, self._config, self._arrays, self._columns)
        loader.add_bags(bags)
        loader.add_episodes(episodes)
        columns = loader.columns("dataset")
        if len(set(columns.episodes)) != len(columns.episodes):
            known = set(self.episodes) & set(columns.episodes[len(self.episodes) :])
            raise ConfigError(f"dataset: holds already {', '.join(sorted(known)[:5]) or 'twice'}")
        skipped = [*self.skipped, *loader.skipped]
        return EpisodeDataset(columns, self.spec, self._config, skipped, self._arrays)

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._columns)

    def __getitem__(self, index: int | IntArray) -> Sample:
        """Return everything about a step, or about a batch of steps stacked; see `samples_at`.

        Raises:
            IndexError: There is no such step.
            BagError: A picture's file is gone or was changed, or it cannot be decoded.
        """
        if isinstance(index, (int, np.integer)):
            return self.__getitems__([int(index)])[0]
        return self._samples(np.asarray(index, dtype=np.int64))

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return everything about steps, as views of one batch."""
        batch = self._samples(np.asarray(indices, dtype=np.int64))
        return [{name: array[row] for name, array in batch.items()} for row in range(len(indices))]

    def _samples(self, steps: IntArray) -> Sample:
        if not ((steps >= 0) & (steps < len(self))).all():
            raise IndexError(f"dataset: of {len(self)} steps, none is number {steps.tolist()}")
        returns = self.returns(self._config.gamma)
        return samples_at(self._columns, steps, self.spec.action_space, returns)

    def step(self, episode: str | int, tick: int) -> int:
        """Return the number of the step at a tick of an episode.

        Args:
            episode: Its id, or its place in `episodes`.
            tick: Counted from the episode's first tick, gaps and idle ones included.

        Raises:
            ConfigError: There is no such episode, or it has no such step: a gap, or left out as
                idle.
        """
        return find_step(self._columns, episode, tick)

    def steps(
        self,
        *,
        where: EpisodeTest | None = None,
        sources: Collection[ControlSource] | None = None,
        length: int = 1,
    ) -> IntArray:
        """Return the numbers of steps to draw from, ascending. Shape (n,).

        Args:
            where: Tells of which episodes, by facts and outcome; None for all.
            sources: Who was in control at the step; None for whoever.
            length: Steps that must lie ahead without a gap, the step itself included.
        """
        return select_steps(self._columns, where=where, sources=sources, length=length)

    def returns(self, gamma: float) -> Returns:
        """Return what was earned from every step on.

        Args:
            gamma: Discount per step.
        """
        if self._returns is None or self._returns[0] != gamma:
            self._returns = (gamma, returns_to_go(self._columns, gamma))
        return self._returns[1]

    @property
    def outcomes(self) -> tuple[Outcome | None, ...]:
        """Outcome of each episode."""
        return self._columns.outcomes

    @property
    def frames(self) -> Mapping[str, Frames]:
        """Pictures of each camera by step."""
        return self._columns.images

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
        return columns_stats(self._columns)

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
        return self._samplers.get(weights, 1).draw(rng, count)

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
        return self.transitions_at(self._samplers.get(weights, 1).draw(rng, batch_size), n, gamma)

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
        return self.sequences_at(self._samplers.get(weights, length).draw(rng, batch_size), length)

    def sequences_at(self, starts: IntArray, length: int) -> SequenceBatch:
        """Return contiguous steps.

        Args:
            starts: As `steps` gives them for this length. Shape (batch,).
            length: Steps per row.
        """
        return sequences_at(self._columns, starts, length)
