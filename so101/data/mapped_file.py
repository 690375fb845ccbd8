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
        return _open(self)


@lru_cache(maxsize=MAX_MAPS)
def _open(file: MappedFile) -> ImageArray:
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BagError(f"{file.path}: cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
            raise BagError(f"{file.path}: changed since the dataset was opened")
        if not file.size:
            return np.empty(0, dtype=np.uint8)
        return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), dtype=np.uint8)
    finally:
        os.close(descriptor)
