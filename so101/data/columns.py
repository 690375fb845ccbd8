"""Episodes laid end to end as float32 columns and decoded images."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from so101.arrays import BoolArray, Float32Array, FloatArray, ImageArray, IntArray
from so101.data.batch import ObservationBatch
from so101.data.trimming import TrimConfig, kept_ticks
from so101.episode import Episode, Outcome
from so101.errors import BagError
from so101.images import decode_image
from so101.spec import PolicySpec


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
        segment_last: Row of the last step of the step's segment. Shape (steps,).
        objects: Object poses (steps, objects, 7), or None.
        images: Camera id to RGB, (steps, height, width, 3).
        tasks: Instruction of each episode.
        episodes: Id of each episode.
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
    segment_last: IntArray
    objects: Float32Array | None
    images: Mapping[str, ImageArray] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()
    outcomes: tuple[Outcome | None, ...] = ()
    durations_s: FloatArray
    trimmed: tuple[int, ...] = ()


def usable_steps(episode: Episode, spec: PolicySpec) -> BoolArray:
    """Return at which steps everything that a policy needs is there. Shape (steps,)."""
    numbers = np.concatenate([episode.positions, episode.actions], axis=1)
    known: BoolArray = np.asarray(np.isfinite(numbers).all(axis=1))
    if spec.uses_objects and episode.objects is not None:
        known &= np.isfinite(episode.objects).all(axis=(1, 2))
    for camera in spec.cameras:
        known &= np.array([jpeg is not None for jpeg in episode.images[camera]], dtype=np.bool_)
    return known


def build_columns(episodes: Sequence[Episode], spec: PolicySpec, trim: TrimConfig) -> Columns:
    """Lay fit episodes end to end, without gaps and idle ticks.

    Raises:
        BagError: An image cannot be decoded, or episodes have different numbers of objects.
    """
    rows = [usable_steps(episode, spec) for episode in episodes]
    kept = [k & _not_idle(e, k, trim) for e, k in zip(episodes, rows, strict=True)]
    sizes = [int(k.sum()) for k in kept]

    def column(name: str) -> FloatArray:
        return np.concatenate([getattr(e, name)[k] for e, k in zip(episodes, kept, strict=True)])

    starts = np.concatenate(([0], np.cumsum(sizes)))
    ends = [_segment_ends(known, k) for known, k in zip(rows, kept, strict=True)]
    is_first = np.zeros(int(starts[-1]), dtype=np.bool_)
    is_first[starts[:-1]] = True
    terminated = [_move_ends(e.terminated, k) for e, k in zip(episodes, kept, strict=True)]
    return Columns(
        positions=column("positions").astype(np.float32),
        velocities=column("velocities").astype(np.float32),
        effort=column("effort").astype(np.float32),
        commands=column("commands").astype(np.float32),
        actions=column("actions").astype(np.float32),
        rewards=np.concatenate(
            [_sum_rewards(e.rewards, k) for e, k in zip(episodes, kept, strict=True)]
        ),
        terminated=np.concatenate(terminated),
        is_first=is_first,
        sources=column("sources").astype(np.int64),
        episode=np.repeat(np.arange(len(episodes)), sizes),
        segment_last=np.concatenate([e + s for e, s in zip(ends, starts[:-1], strict=True)]),
        objects=_objects(episodes, kept) if spec.uses_objects else None,
        images={c: _decode(c, episodes, kept, spec.image_size) for c in spec.cameras},
        tasks=tuple(e.facts.task for e in episodes),
        episodes=tuple(e.facts.id for e in episodes),
        outcomes=tuple(e.outcome for e in episodes),
        durations_s=np.array([e.duration_s for e in episodes]),
        trimmed=tuple(int(r.sum()) - s for r, s in zip(rows, sizes, strict=True)),
    )


def observations(columns: Columns, steps: IntArray) -> ObservationBatch:
    """Return the observations of rows; ``steps`` may have any shape, which comes first."""
    images = {camera: pixels[steps] for camera, pixels in columns.images.items()}
    owners = columns.episode[steps].reshape(len(steps), -1)[:, 0]
    return ObservationBatch(
        positions=columns.positions[steps],
        velocities=columns.velocities[steps],
        effort=columns.effort[steps],
        commands=columns.commands[steps],
        images=images,
        image_mask={camera: np.ones(steps.shape, dtype=np.bool_) for camera in images},
        objects=None if columns.objects is None else columns.objects[steps],
        tasks=tuple(columns.tasks[owner] for owner in owners.tolist()),
    )


def _not_idle(episode: Episode, known: BoolArray, trim: TrimConfig) -> BoolArray:
    """Return which steps are not idle; motion is looked for within each stretch without gaps."""
    is_kept = np.ones(len(known), dtype=np.bool_)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], known.astype(np.int8), [0]))))
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        is_kept[begin:end] = kept_ticks(episode.actions[begin:end], trim)
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


def _objects(episodes: Sequence[Episode], kept: Sequence[BoolArray]) -> Float32Array:
    found = [e.objects[k] for e, k in zip(episodes, kept, strict=True) if e.objects is not None]
    counts = {poses.shape[1] for poses in found}
    if len(counts) != 1:
        raise BagError(f"episodes have different numbers of objects: {sorted(counts)}")
    return np.concatenate(found).astype(np.float32)


def _decode(
    camera: str,
    episodes: Sequence[Episode],
    kept: Sequence[BoolArray],
    size: tuple[int, int],
) -> ImageArray:
    """Decode the images of kept steps, episodes side by side. Shape (steps, height, width, 3)."""
    pixels: ImageArray | None = None
    row = 0
    with ThreadPoolExecutor() as pool:  # the decoder lets other threads run
        decoded = pool.map(partial(_decode_episode, camera, size), episodes, kept)
        for episode, images in zip(episodes, decoded, strict=True):
            if not images:
                continue
            if pixels is None:
                total = sum(int(k.sum()) for k in kept)
                pixels = np.empty((total, *images[0].shape), dtype=np.uint8)
            for image in images:
                if image.shape != pixels.shape[1:]:
                    where = f"{episode.facts.id}: {camera} camera"
                    raise BagError(f"{where}: {image.shape[:2]} px differ")
                pixels[row] = image
                row += 1
    if pixels is None:
        raise BagError(f"no image of the {camera} camera")
    return pixels


def _decode_episode(
    camera: str, size: tuple[int, int], episode: Episode, mask: BoolArray
) -> list[ImageArray]:
    try:
        jpegs = (episode.images[camera][index] for index in np.flatnonzero(mask).tolist())
        return [decode_image(jpeg or b"", size) for jpeg in jpegs]
    except BagError as error:
        raise BagError(f"{episode.facts.id}: {camera} camera: {error}") from error
