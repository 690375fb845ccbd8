"""Files that survive a power loss: written aside, synced, renamed."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

from so101.errors import StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class NoSpaceError(StoreError):
    """The disk is full, or a limit on space or file size is reached."""


def free_bytes(path: Path) -> int:
    """Return the free space of the file system that holds a path [bytes]."""
    return shutil.disk_usage(path).free


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_directory(path: Path) -> None:
    """Bring a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace a file's content; a reader sees the old or the new one, never a part.

    Raises:
        StoreError: It cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise store_error(path, error) from error


def store_error(path: Path, error: OSError) -> StoreError:
    """Return the error for a person when a path cannot be written."""
    if error.errno in _FULL:
        return NoSpaceError(f"{path}: no space left ({error.strerror})")
    return StoreError(f"{path}: cannot be written: {error.strerror or error}")


class UnbufferedFile:
    """An append-only file that never holds data back and can drop a broken end.

    Python's own buffered files keep what a full disk refused and fail again when closed.
    """

    def __init__(self, path: Path) -> None:
        """Create the file; it must not exist.

        Raises:
            StoreError: It cannot be created.
        """
        self.path = path
        self._position = 0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o644)
        except OSError as error:
            raise store_error(path, error) from error

    def write(self, data: bytes | memoryview) -> int:
        """Write all of the data."""
        view = memoryview(data)
        while len(view):
            written = os.write(self._descriptor, view)
            self._position += written
            view = view[written:]
        return len(data)

    def tell(self) -> int:
        """Return the size of the file [bytes]."""
        return self._position

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def sync(self) -> None:
        """Bring the content to the disk."""
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        """Drop everything behind ``size`` bytes."""
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)
        self._position = size

    def close(self) -> None:
        """Bring the content to the disk and close."""
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
