"""One writer per store: a file lock that the system releases when the process dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from so101.data.durable import store_error
from so101.errors import StoreError

RECORDING_LOCK = ".lock"
"""Name of the file that whoever records into a store holds."""


class StoreLock:
    """Holds a store's lock file from construction to `release`."""

    def __init__(self, path: Path, holder_kind: str = "recorder") -> None:
        """Take the lock.

        Args:
            path: The lock file.
            holder_kind: What holds such a lock, for the error of whoever comes second.

        Raises:
            StoreError: Another process holds it, or the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise store_error(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"{path.parent}: in use by another {holder_kind} (process {holder or 'unknown'}); "
                "stop it or choose another store"
            ) from None
        except OSError as error:
            os.close(self._descriptor)
            raise store_error(path, error) from error

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold a lock for a moment, waiting for whoever has it.

    Raises:
        StoreError: The file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise store_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
