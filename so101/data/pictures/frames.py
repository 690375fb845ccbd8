"""The pictures of one camera by step, wherever they are: decoded, mapped or still compressed.

All three give the same pixels to the bit, those of `so101.images.decode_image`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from so101.arrays import ImageArray, IntArray
from so101.data.pictures.cache_file import CacheFile
from so101.data.pictures.jpegs import Jpegs
from so101.errors import BagError
from so101.images import decode_into


class PictureSource(Protocol):
    """Pictures of one episode or bag, by row."""

    @property
    def held_bytes(self) -> int:
        """Memory that it occupies for as long as the dataset lives [bytes]."""

    def read_into(self, row: int, pixels: ImageArray) -> None:
        """Overwrite ``pixels`` with a picture. Shape (height, width, 3).

        Raises:
            BagError: Its file is gone or was changed, or it cannot be decoded.
        """


@dataclass(frozen=True, eq=False)
class DecodedPictures:
    """Pictures in memory.

    Attributes:
        pixels: RGB, uint8. Shape (rows, height, width, 3).
    """

    pixels: ImageArray

    @property
    def held_bytes(self) -> int:
        """See `PictureSource`."""
        return self.pixels.nbytes

    def read_into(self, row: int, pixels: ImageArray) -> None:
        """See `PictureSource`."""
        pixels[...] = self.pixels[row]


@dataclass(frozen=True, eq=False)
class CachedPictures:
    """Decoded pictures in a memory-mapped file, its payload."""

    file: CacheFile

    held_bytes = 0

    def read_into(self, row: int, pixels: ImageArray) -> None:
        """See `PictureSource`."""
        begin = self.file.begin + row * pixels.nbytes
        content = self.file.file.content()
        pixels.reshape(-1)[:] = content[begin : begin + pixels.nbytes]


@dataclass(frozen=True, kw_only=True, eq=False)
class CompressedPictures:
    """Pictures that are decoded whenever they are asked for.

    Attributes:
        jpegs: The compressed images.
        where: Episode or bag and camera, for error messages.
    """

    jpegs: Jpegs
    where: str

    @property
    def held_bytes(self) -> int:
        """See `PictureSource`."""
        return self.jpegs.held_bytes

    def read_into(self, row: int, pixels: ImageArray) -> None:
        """See `PictureSource`."""
        try:
            decode_into(self.jpegs.read(row), pixels)
        except BagError as error:
            raise BagError(f"{self.where}: {error}") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """The pictures of one camera, one per step.

    Attributes:
        size: Height and width [px].
        sources: Where pictures come from.
        owners: Source of each step's picture, int64. Shape (steps,).
        rows: Its row there, int64. Shape (steps,).
        threads: How many read the pictures of one call.
    """

    size: tuple[int, int]
    sources: tuple[PictureSource, ...]
    owners: IntArray
    rows: IntArray
    threads: int = 1

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.rows)

    @property
    def held_bytes(self) -> int:
        """Memory that the pictures occupy for as long as the dataset lives [bytes]."""
        distinct = {id(source): source for source in self.sources}
        return sum(source.held_bytes for source in distinct.values())

    def at(self, steps: IntArray) -> ImageArray:
        """Return the pictures of steps. Shape (*steps.shape, height, width, 3).

        A picture that is asked for more than once, as by overlapping sequences, is read once.

        Raises:
            BagError: A file is gone or was changed, or an image cannot be decoded.
        """
        flat = steps.reshape(-1)
        pixels = np.empty((len(flat), *self.size, 3), dtype=np.uint8)
        places: dict[tuple[int, int], int] = {}
        repeated: list[tuple[int, int]] = []
        pairs = zip(self.owners[flat].tolist(), self.rows[flat].tolist(), strict=True)
        for index, place in enumerate(pairs):
            first = places.setdefault(place, index)
            if first != index:
                repeated.append((index, first))
        self._read(places, pixels)
        for index, first in repeated:
            pixels[index] = pixels[first]
        return pixels.reshape(*steps.shape, *self.size, 3)

    def _read(self, places: dict[tuple[int, int], int], pixels: ImageArray) -> None:
        def read(place: tuple[int, int]) -> None:
            self.sources[place[0]].read_into(place[1], pixels[places[place]])

        if self.threads == 1 or len(places) < 2 * self.threads:
            for place in places:
                read(place)
            return
        # A pool per call: one that outlives it would be dead in a forked worker process.
        with ThreadPoolExecutor(self.threads) as pool:  # the decoder lets other threads run
            for _ in pool.map(read, places):
                pass


def joined_frames(parts: Sequence[Frames]) -> Frames:
    """Lay the pictures of several stretches of steps end to end.

    Raises:
        BagError: Their sizes differ.
    """
    sizes = sorted({part.size for part in parts})
    if len(sizes) != 1:
        raise BagError(f"images of several sizes: {sizes}")
    counts = np.cumsum([0, *(len(part.sources) for part in parts)])
    return replace(
        parts[0],
        sources=tuple(source for part in parts for source in part.sources),
        owners=np.concatenate([p.owners + n for p, n in zip(parts, counts[:-1], strict=True)]),
        rows=np.concatenate([part.rows for part in parts]),
    )
