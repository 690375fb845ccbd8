"""Episodes laid end to end as float32 columns; images stay where they are until asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from so101.arrays import BoolArray, Float32Array, FloatArray, IntArray
from so101.data.batch import ObservationBatch
from so101.data.pictures.frames import Frames, joined_frames
from so101.data.training.norm_stats import ColumnStats, NormStats
from so101.data.training.tick_table import TickTable
from so101.data.training.trimming import TrimConfig, kept_ticks
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError
from so101.spec import PolicySpec

PictureReader = Callable[[TickTable, str, IntArray], Frames]
"""Returns the frames of an episode's camera, given the row of each step's image."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Steps of all episodes, one row each. A segment is a stretch of an episode without gaps.

    Attributes:
        positions: Measured [rad]. Shape (steps, joints).
        velocities: Measured [rad/s]. Shape (steps, joints).
        effort: Estimated [N·m]. Shape (steps, joints).
        commands: Goal in force just before the step [rad]. Shape (steps, joints).
        actions: Executed [rad]. Shape (steps, joints).
        rewards: Shape (steps,).
        terminated: Shape (steps,).
        is_first: First step of an episode. Shape (steps,).
        sources: `so101.episode.SOURCE_CODES`. Shape (steps,).
        episode: Number of the step's episode. Shape (steps,).
        ticks: The step's place among all ticks of its episode. Shape (steps,).
        segment_last: Row of the last step of the step's segment. Shape (steps,).
        objects: Object poses (steps, objects, 7), or None.
        images: Camera id to its pictures, one per step.
        values: Numbers that came late, by name; NaN where there is none. Shape (steps,).
        facts: What is known about each episode.
        outcomes: Outcome of each episode.
        durations_s: Duration of each episode, idle ticks included [s]. Shape (episodes,).
        trimmed: Idle ticks removed from each episode.
    """

    positions: Float32Array
    velocities: Float32Array
    effort: Float32Array
    commands: Float32Array
    actions: Float32Array
    rewards: FloatArray
    terminated: BoolArray
    is_first: BoolArray
    sources: IntArray
    episode: IntArray
    ticks: IntArray
    segment_last: IntArray
    objects: Float32Array | None
    images: Mapping[str, Frames] = field(default_factory=dict)
    values: Mapping[str, Float32Array] = field(default_factory=dict)
    facts: tuple[EpisodeFacts, ...] = ()
    outcomes: tuple[Outcome | None, ...] = ()
    durations_s: FloatArray
    trimmed: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.positions)

    @property
    def episodes(self) -> tuple[str, ...]:
        """Id of each episode."""
        return tuple(facts.id for facts in self.facts)


_PER_STEP = (
    "positions",
    "velocities",
    "effort",
    "commands",
    "actions",
    "rewards",
    "terminated",
    "is_first",
    "sources",
    "ticks",
)


def usable_steps(table: TickTable, spec: PolicySpec) -> BoolArray:
    """Return at which ticks everything that a policy needs is there. Shape (ticks,)."""
    numbers = np.concatenate([table.positions, table.actions], axis=1)
    known: BoolArray = np.asarray(np.isfinite(numbers).all(axis=1))
    if spec.uses_objects and table.objects is not None:
        known &= np.isfinite(table.objects).all(axis=(1, 2))
    for camera in spec.cameras:
        known &= table.cameras[camera].rows >= 0
    return known


def episode_columns(
    table: TickTable, spec: PolicySpec, trim: TrimConfig, pictures: PictureReader
) -> Columns:
    """Return the steps of a fit episode, without gaps and idle ticks.

    Raises:
        BagError: An image cannot be decoded.
    """
    known = usable_steps(table, spec)
    kept = known & _not_idle(table, known, trim)
    ticks = np.flatnonzero(kept)
    has_objects = spec.uses_objects and table.objects is not None
    return Columns(
        **{
            name: getattr(table, name)[kept].astype(np.float32)
            for name in ("positions", "velocities", "effort", "commands", "actions")
        },
        rewards=_sum_rewards(table.rewards, kept),
        terminated=_move_ends(table.terminated, kept),
        is_first=np.arange(len(ticks)) == 0,
        sources=table.sources[kept].astype(np.int64),
        episode=np.zeros(len(ticks), dtype=np.int64),
        ticks=ticks,
        segment_last=_segment_ends(known, kept),
        objects=table.objects[kept].astype(np.float32) if has_objects else None,  # type: ignore[index]
        images={c: pictures(table, c, table.cameras[c].rows[kept]) for c in spec.cameras},
        values={name: v[kept].astype(np.float32) for name, v in table.values.items()},
        facts=(table.facts,),
        outcomes=(table.outcome,),
        durations_s=np.array([table.duration_s]),
        trimmed=(int(known.sum()) - len(ticks),),
    )


def joined_columns(parts: Sequence[Columns]) -> Columns:
    """Lay columns end to end; episodes are numbered anew, steps keep their order.

    Raises:
        BagError: Episodes have different numbers of objects, or images of different sizes.
    """
    starts = np.cumsum([0, *map(len, parts)])[:-1].tolist()
    numbers = np.cumsum([0, *(len(part.facts) for part in parts)])[:-1].tolist()
    stacked: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _PER_STEP
    }
    names = dict.fromkeys(name for part in parts for name in part.values)
    return Columns(
        **stacked,
        episode=np.concatenate([p.episode + n for p, n in zip(parts, numbers, strict=True)]),
        segment_last=np.concatenate(
            [p.segment_last + s for p, s in zip(parts, starts, strict=True)]
        ),
        objects=_objects(parts),
        images={c: joined_frames([part.images[c] for part in parts]) for c in parts[0].images},
        values={name: np.concatenate([_series(p, name) for p in parts]) for name in names},
        facts=tuple(facts for part in parts for facts in part.facts),
        outcomes=tuple(outcome for part in parts for outcome in part.outcomes),
        durations_s=np.concatenate([part.durations_s for part in parts]),
        trimmed=tuple(count for part in parts for count in part.trimmed),
    )


def observations(columns: Columns, steps: IntArray) -> ObservationBatch:
    """Return the observations of rows; ``steps`` may have any shape, which comes first."""
    owners = columns.episode[steps].reshape(len(steps), -1)[:, 0]
    return ObservationBatch(
        positions=columns.positions[steps],
        velocities=columns.velocities[steps],
        effort=columns.effort[steps],
        commands=columns.commands[steps],
        images={camera: frames.at(steps) for camera, frames in columns.images.items()},
        image_mask={camera: np.ones(steps.shape, dtype=np.bool_) for camera in columns.images},
        objects=None if columns.objects is None else columns.objects[steps],
        tasks=tuple(columns.facts[owner].words for owner in owners.tolist()),
    )


def columns_stats(columns: Columns) -> NormStats:
    """Return the statistics of what a policy sees and does."""
    has_velocities = bool(np.isfinite(columns.velocities).all())
    return NormStats(
        positions=ColumnStats.of(columns.positions),
        velocities=ColumnStats.of(columns.velocities) if has_velocities else None,
        commands=ColumnStats.of(columns.commands),
        actions=ColumnStats.of(columns.actions),
        objects=None if columns.objects is None else ColumnStats.of(columns.objects),
        steps=len(columns),
    )


def _not_idle(table: TickTable, known: BoolArray, trim: TrimConfig) -> BoolArray:
    """Return which ticks are not idle; motion is looked for within each stretch without gaps."""
    is_kept = np.ones(len(known), dtype=np.bool_)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], known.astype(np.int8), [0]))))
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        is_kept[begin:end] = kept_ticks(table.actions[begin:end], trim)
    return is_kept


def _segment_ends(known: BoolArray, kept: BoolArray) -> IntArray:
    """Return for each kept step the place, among the kept, of its segment's last step."""
    segment = np.cumsum(~known)[kept]
    ends: IntArray = np.searchsorted(segment, segment, side="right").astype(np.int64) - 1
    return ends


def _owners(kept: BoolArray) -> IntArray:
    """Return for each tick the place, among the kept, of the last kept tick up to it."""
    owners: IntArray = np.maximum(np.cumsum(kept) - 1, 0)
    return owners


def _sum_rewards(rewards: FloatArray, kept: BoolArray) -> FloatArray:
    """Give the rewards of removed ticks to the step before them: none is lost."""
    summed = np.zeros(int(kept.sum()))
    np.add.at(summed, _owners(kept), rewards)
    return summed


def _move_ends(terminated: BoolArray, kept: BoolArray) -> BoolArray:
    moved = np.zeros(int(kept.sum()), dtype=np.bool_)
    np.logical_or.at(moved, _owners(kept), terminated)
    return moved


def _objects(parts: Sequence[Columns]) -> Float32Array | None:
    found = [part.objects for part in parts if part.objects is not None]
    if not found:
        return None
    counts = {poses.shape[1] for poses in found}
    if len(counts) != 1 or len(found) != len(parts):
        raise BagError(f"episodes have different numbers of objects: {sorted(counts)}")
    return np.concatenate(found)


def _series(columns: Columns, name: str) -> Float32Array:
    absent = np.full(len(columns), np.nan, dtype=np.float32)
    return columns.values.get(name, absent)
