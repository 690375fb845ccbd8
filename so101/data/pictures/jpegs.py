"""The compressed images of one camera of a bag: held in memory, or left where the bag has them.

Where an image lies is found by its content: the bytes at a place are the very bytes that the
reader joined, whatever layout the bag has. Bags that are packed or hold raw images have no such
place; theirs are held, or written aside by `so101.data.pictures.bag_cache`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from so101.arrays import ImageArray, IntArray
from so101.data.bags.cdr_tables import image_span
from so101.data.bags.mcap_file import read_mcap
from so101.data.mapped_file import MappedFile
from so101.errors import BagError
from so101.topics import COMPRESSED_IMAGE


class Jpegs(Protocol):
    """Compressed images, JPEG or PNG, by row."""

    @property
    def held_bytes(self) -> int:
        """Memory that they occupy for as long as the dataset lives [bytes]."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def read(self, row: int) -> ImageArray:
        """Return one image. Shape (bytes,).

        Raises:
            BagError: Its file is gone or was changed.
        """


@dataclass(frozen=True)
class HeldJpegs:
    """Images in memory."""

    images: tuple[bytes, ...]

    @property
    def held_bytes(self) -> int:
        """See `Jpegs`."""
        return sum(map(len, self.images))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.images)

    def read(self, row: int) -> ImageArray:
        """See `Jpegs`."""
        return np.frombuffer(self.images[row], dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedJpegs:
    """Images within files.

    Attributes:
        files: The files.
        owners: File of each row, int64. Shape (rows,).
        offsets: Where the row begins in its file [bytes], int64. Shape (rows,).
        lengths: Of the row [bytes], int64. Shape (rows,).
    """

    files: tuple[MappedFile, ...]
    owners: IntArray
    offsets: IntArray
    lengths: IntArray

    held_bytes = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets)

    def read(self, row: int) -> ImageArray:
        """See `Jpegs`."""
        begin = int(self.offsets[row])
        content = self.files[self.owners[row]].content()
        image: ImageArray = content[begin : begin + int(self.lengths[row])]
        return image


def digest(jpegs: Jpegs) -> str:
    """Return the sha256 over every image in order."""
    found = hashlib.sha256()
    for row in range(len(jpegs)):
        image = jpegs.read(row)
        found.update(len(image).to_bytes(8, "little"))
        found.update(image)
    return found.hexdigest()


def find_in_bag(bag: Path, tables: Sequence[Jpegs]) -> list[PlacedJpegs | None]:
    """Return where each table's images lie in the files of a bag; None where one is not found.

    Raises:
        BagError: A file of the bag cannot be read.
    """
    files = [MappedFile.of(path) for path in _plain_files(bag)]
    places: dict[bytes, tuple[int, int]] = {}
    for number, file in enumerate(files):
        for offset, image in _images(file):
            places.setdefault(image, (number, offset))
    return [_placed(table, places, tuple(files)) for table in tables]


def _placed(
    table: Jpegs, places: dict[bytes, tuple[int, int]], files: tuple[MappedFile, ...]
) -> PlacedJpegs | None:
    images = [table.read(row).tobytes() for row in range(len(table))]
    found = [places.get(image) for image in images]
    rows = np.array([place for place in found if place is not None], dtype=np.int64)
    if len(rows) != len(table):
        return None
    rows = rows.reshape(len(table), 2)
    return PlacedJpegs(
        files=files,
        owners=rows[:, 0].copy(),
        offsets=rows[:, 1].copy(),
        lengths=np.array([len(image) for image in images], dtype=np.int64),
    )


def _plain_files(bag: Path) -> list[Path]:
    if bag.is_file():
        return [bag] if bag.suffix == ".mcap" else []
    return sorted(bag.glob("*.mcap"))


def _images(file: MappedFile) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of every compressed image that lies unpacked in an MCAP file."""
    content = file.content()
    whole = memoryview(content)
    start = _address(whole)
    try:
        found = read_mcap(whole, file.path, is_salvage=True)
    except BagError:  # not MCAP: the reader took the images from elsewhere
        return
    cameras = {n for n, channel in found.channels.items() if channel.type == COMPRESSED_IMAGE}
    for message in found.messages:
        if message.channel not in cameras or message.data.obj is not content:
            continue  # of a packed chunk: its bytes lie in no file
        span = image_span(message.data)
        if span is not None:
            yield _address(message.data) - start + span.start, bytes(message.data[span])


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, dtype=np.uint8).__array_interface__["data"][0])
