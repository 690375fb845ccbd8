"""The bags of a directory and ``index.jsonl``, which remembers what a listing needs of each.

The index is a cache: a line counts only while its bag's metadata.yaml has the size and time of
change that the line names, and whatever is missing, torn or stale is read from the bag.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from so101.data.bags.bag_metadata import FILE_NAME as METADATA_NAME
from so101.data.bags.bag_writer import PART
from so101.data.durable import store_error, write_text
from so101.data.stores.store_entry import IndexLine, stamp_of
from so101.data.stores.store_lock import waiting_lock
from so101.errors import BagError, StoreError

INDEX_NAME = "index.jsonl"
QUARANTINE = "quarantine"
_LOCK_NAME = ".index.lock"
_BAG_FILES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")


class IndexedBag(NamedTuple):
    """A bag of a directory.

    Attributes:
        path: The bag.
        line: What the index knows of it, or None when it has to be read.
    """

    path: Path
    line: IndexLine | None


class StoreIndex:
    """The listing of one directory. Reading takes no lock; writing takes one for a moment."""

    def __init__(self, root: Path) -> None:
        """Look at a directory; nothing is read yet."""
        self._root = root
        self.path = root / INDEX_NAME

    def names(self) -> list[str]:
        """Return the names of everything in the directory, sorted.

        Raises:
            StoreError: It cannot be read.
        """
        try:
            return sorted(os.listdir(self._root))
        except OSError as error:
            raise StoreError(f"{self._root}: cannot be read: {error.strerror}") from error

    def bags(self) -> Iterator[IndexedBag]:
        """Find every bag, sorted by name, and what the index knows of it.

        Raises:
            StoreError: The directory cannot be read.
        """
        found = self._found()
        lines = self._read()
        for name, stamp in found:
            line = lines.get(name)
            fresh = line if line is not None and stamp and line.stamp == stamp else None
            yield IndexedBag(self._root / name, fresh)

    def paths(self) -> list[Path]:
        """Find every bag, sorted by name.

        Raises:
            StoreError: The directory cannot be read.
        """
        return [self._root / name for name, _ in self._found()]

    def _found(self) -> list[tuple[str, str]]:
        """Return name and state of metadata.yaml of every bag."""
        root = str(self._root)
        found = []
        for name in self.names():
            if name.startswith(".") or name.endswith(PART) or name == QUARANTINE:
                continue
            # texts instead of paths: this is done for every episode whenever a store is opened
            stamp = stamp_of(f"{root}/{name}/{METADATA_NAME}")
            if stamp or _holds_bag(self._root / name):
                found.append((name, stamp))
        return found

    def append(self, lines: Iterable[IndexLine]) -> None:
        """Add lines; of two lines on the same bag the later one counts.

        Raises:
            StoreError: The index cannot be written.
        """
        text = "".join(line.to_json() + "\n" for line in lines)
        if not text:
            return
        with waiting_lock(self._root / _LOCK_NAME):
            try:
                with self.path.open("ab+") as stream:
                    start = "\n" if _is_torn(stream) else ""
                    stream.write(f"{start}{text}".encode())
            except OSError as error:
                raise store_error(self.path, error) from error

    def rebuild(self, *, is_trusted: bool = False) -> int:
        """Write the index anew; return the number of its lines.

        Args:
            is_trusted: Keep lines whose bags have not changed, instead of reading every bag.

        Raises:
            StoreError: The directory cannot be read or the index not written.
        """
        with waiting_lock(self._root / _LOCK_NAME):
            known = list(self.bags())
            kept = [line for _, line in known if line is not None and is_trusted]
            names = {line.directory for line in kept}
            lines = [*kept, *_readable(path for path, _ in known if path.name not in names)]
            write_text(self.path, "".join(line.to_json() + "\n" for line in lines))
        return len(lines)

    def _read(self) -> dict[str, IndexLine]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}  # everything the index says is read from the bags instead
        lines = (IndexLine.from_json(line) for line in text.split("\n"))
        return {line.directory: line for line in lines if line is not None}


def _readable(paths: Iterable[Path]) -> Iterator[IndexLine]:
    for path in paths:
        with suppress(BagError):  # a broken bag has no line; the listing names its problem
            line = IndexLine.of_bag(path)
            if line.stamp:  # without metadata there is nothing to remember
                yield line


def _is_torn(stream: BinaryIO) -> bool:
    """Tell whether the last line has no end, as after a power loss."""
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) != b"\n"


def is_bag(path: Path) -> bool:
    """Tell whether a path is one bag, not a directory of bags.

    A killed recorder leaves no metadata.yaml, but files that have their directory's name.
    """
    if path.is_file() or (path / METADATA_NAME).exists():
        return True
    endings = "|".join(map(re.escape, _BAG_FILES))
    part = re.compile(rf"{re.escape(path.absolute().name)}(_\d+)?({endings})")
    return path.is_dir() and any(part.fullmatch(name) for name in os.listdir(path))


def _holds_bag(path: Path) -> bool:
    if not path.is_dir():
        return path.name.endswith(_BAG_FILES)
    try:
        return any(name.endswith(_BAG_FILES) for name in os.listdir(path))
    except OSError:
        return False
