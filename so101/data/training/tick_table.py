"""An episode as training reads it: numbers by tick, and which image of its bag each tick saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from so101.arrays import BoolArray, FloatArray, IntArray
from so101.data.pictures.jpegs import HeldJpegs, Jpegs, find_in_bag
from so101.episode import Episode, EpisodeFacts, Outcome
from so101.errors import BagError
from so101.images import image_shape


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraTicks:
    """What one camera saw.

    Attributes:
        jpegs: The images, each once.
        rows: Row of each tick's image, -1 where it is missing, int64. Shape (ticks,).
        shapes: Height and width of the episode's images, each once, sorted [px].
        problem: Why an image of the episode cannot be used; empty when all can.
        sha256: Digest of the images; empty until somebody needs it.
    """

    jpegs: Jpegs
    rows: IntArray
    shapes: tuple[tuple[int, int], ...]
    problem: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class TickTable:
    """One episode; columns as of `so101.episode.Episode`, of the same names.

    Attributes:
        facts: What is known about it.
        outcome: How it ended; None while unlabelled.
        duration_s: Time from the first to the last tick [s].
        bag: Key of its bag, see `so101.data.pictures.bag_cache`; empty when it comes from none.
        cameras: By camera id, of those asked for.
        held: Ids of every camera in the bag.
        aux: Names of the arrays that its policy recorded.
        values: Numbers per tick that came late, by name; NaN where there is none. Shape (ticks,).
    """

    facts: EpisodeFacts
    outcome: Outcome | None
    duration_s: float
    bag: str = ""
    positions: FloatArray
    velocities: FloatArray
    effort: FloatArray
    commands: FloatArray
    actions: FloatArray
    sources: IntArray
    rewards: FloatArray
    terminated: BoolArray
    objects: FloatArray | None = None
    cameras: Mapping[str, CameraTicks] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    aux: tuple[str, ...] = ()
    values: Mapping[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of ticks."""
        return len(self.actions)


COLUMNS = (
    "positions",
    "velocities",
    "effort",
    "commands",
    "actions",
    "sources",
    "rewards",
    "terminated",
)
"""Names of the columns that every table has."""


def tick_table(episode: Episode, cameras: Sequence[str]) -> TickTable:
    """Return the table of an episode, its images in memory.

    Args:
        episode: The episode.
        cameras: Ids of the cameras that are looked at.
    """
    columns = {name: getattr(episode, name) for name in COLUMNS}
    return TickTable(
        facts=episode.facts,
        outcome=episode.outcome,
        duration_s=episode.duration_s,
        **columns,
        objects=episode.objects,
        cameras={c: _camera_ticks(episode.images[c]) for c in cameras if c in episode.images},
        held=tuple(episode.images),
        aux=tuple(name for name, tables in episode.aux.items() if tables),
        values=episode.values,
    )


def left_in_bag(bag: Path, tables: Sequence[TickTable]) -> list[TickTable]:
    """Replace images in memory by their places in the bag, where they have one."""
    held = [ticks.jpegs for table in tables for ticks in table.cameras.values()]
    found = find_in_bag(bag, held)
    placed = iter(zip(found, held, strict=True))
    moved = []
    for table in tables:
        cameras = {}
        for camera, ticks in table.cameras.items():
            there, here = next(placed)
            cameras[camera] = replace(ticks, jpegs=here if there is None else there)
        moved.append(replace(table, cameras=cameras))
    return moved


def _camera_ticks(images: Sequence[bytes | None]) -> CameraTicks:
    places: dict[bytes, int] = {}
    rows = [-1 if image is None else places.setdefault(image, len(places)) for image in images]
    shapes: set[tuple[int, int]] = set()
    problem = ""
    try:
        for image in places:
            shapes.add(image_shape(image))
    except BagError as error:
        problem = str(error)
    return CameraTicks(
        jpegs=HeldJpegs(tuple(places)),
        rows=np.array(rows, dtype=np.int64),
        shapes=tuple(sorted(shapes)),
        problem=problem,
    )
