"""Files read through memory maps, of which only so many are open at a time.

A map keeps a file descriptor, and a dataset can have ten thousand files. Maps are per process:
what is pickled is only which file is meant, so worker processes open their own.
"""

import mmap
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from so101.arrays import ImageArray
from so101.errors import BagError

MAX_MAPS = 256


@dataclass(frozen=True)
class MappedFile:
    """A file in the state in which it was found.

    Attributes:
        path: Where it is.
        size: Its length [bytes].
        modified_ns: When it was last changed [ns].
    """

    path: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "MappedFile":
        """Note the present state of a file.

        Raises:
            BagError: It is not there.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise BagError(f"{path}: cannot be read: {error.strerror}") from error
        return cls(str(path), status.st_size, status.st_mtime_ns)

    def content(self) -> ImageArray:
        """Return the bytes of the file, which are read when they are looked at. Shape (size,).

        Raises:
            BagError: It is gone, or was changed since: what was found in it is no longer there.
        """
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise BagError(f"{self.path}: cannot be read: {error.strerror}") from error
        # Looking behind the end of a file that was cut would kill the process.
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified_ns):
            raise BagError(f"{self.path}: changed since the dataset was opened")
        return _open(self)


@lru_cache(maxsize=MAX_MAPS)
def _open(file: MappedFile) -> ImageArray:
    if not file.size:
        return np.empty(0, dtype=np.uint8)
    try:
        with open(file.path, "rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise BagError(f"{file.path}: cannot be read: {error}") from error
    return np.frombuffer(mapped, dtype=np.uint8)


def close_maps() -> None:
    """Forget every open file, so that the system may drop what it holds of them in memory."""
    _open.cache_clear()
