"""An episode as training reads it: numbers by tick, and which image of its bag each tick saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from so101.arrays import BoolArray, FloatArray, IntArray
from so101.data.jpegs import HeldJpegs, Jpegs
from so101.episode import Episode, EpisodeFacts, Outcome
from so101.errors import BagError
from so101.images import image_shape


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraTicks:
    """What one camera saw.

    Attributes:
        jpegs: The images, each once, shared by the episodes of a bag.
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
        bag: Key of its bag, see `so101.data.bag_cache`; empty when it comes from none.
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

    def with_jpegs(self, places: Mapping[int, Jpegs]) -> "TickTable":
        """Return the table with images elsewhere: by ``id`` of where they are now."""
        cameras = {
            camera: replace(ticks, jpegs=places.get(id(ticks.jpegs), ticks.jpegs))
            for camera, ticks in self.cameras.items()
        }
        return replace(self, cameras=cameras)


def tick_tables(episodes: Sequence[Episode], cameras: Sequence[str]) -> list[TickTable]:
    """Return the tables of a bag's episodes, their images in memory.

    Args:
        episodes: Every episode of the bag.
        cameras: Ids of the cameras that are looked at.
    """
    seen = {camera: _camera_ticks(episodes, camera) for camera in cameras}
    tables = []
    for number, episode in enumerate(episodes):
        columns = {name: getattr(episode, name) for name in COLUMNS}
        tables.append(
            TickTable(
                facts=episode.facts,
                outcome=episode.outcome,
                duration_s=episode.duration_s,
                **columns,
                objects=episode.objects,
                cameras={c: seen[c][number] for c in cameras if c in episode.images},
                held=tuple(episode.images),
                aux=tuple(name for name, tables in episode.aux.items() if tables),
                values=episode.values,
            )
        )
    return tables


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


def _camera_ticks(episodes: Sequence[Episode], camera: str) -> list[CameraTicks]:
    places: dict[bytes, int] = {}
    rows = [
        [
            -1 if image is None else places.setdefault(image, len(places))
            for image in episode.images.get(camera, ())
        ]
        for episode in episodes
    ]
    jpegs = HeldJpegs(tuple(places))
    return [_of_episode(jpegs, np.array(ticks, dtype=np.int64)) for ticks in rows]


def _of_episode(jpegs: HeldJpegs, rows: IntArray) -> CameraTicks:
    shapes: set[tuple[int, int]] = set()
    problem = ""
    try:
        for row in np.unique(rows[rows >= 0]).tolist():
            shapes.add(image_shape(jpegs.images[row]))
    except BagError as error:
        problem = str(error)
    return CameraTicks(jpegs=jpegs, rows=rows, shapes=tuple(sorted(shapes)), problem=problem)
