"""Checksums of a growing file, computed beside whoever writes it.

Hashing takes as long as writing; in a thread of its own it costs the writer nothing, because the
interpreter is not needed for it.
"""

import hashlib
import queue
import threading
import zlib

_WAITING = 8


class Digest:
    """sha256 and CRC-32 of bytes that are handed over in pieces."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._sha256 = hashlib.sha256()
        self._crc = 0
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="digest", daemon=True)
        self._thread.start()

    def update(self, data: bytes) -> None:
        """Add the next piece; waits when `_WAITING` pieces are not done yet."""
        self._pieces.put(data)

    def crc(self) -> int:
        """Return the CRC-32 of everything so far."""
        self._pieces.join()
        return self._crc

    def sha256(self) -> str:
        """Return the hash of everything so far, in hexadecimal."""
        self._pieces.join()
        return self._sha256.hexdigest()

    def close(self) -> None:
        """End the thread; nothing can be added any more."""
        self._pieces.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (data := self._pieces.get()) is not None:
            self._crc = zlib.crc32(data, self._crc)
            self._sha256.update(data)
            self._pieces.task_done()
        self._pieces.task_done()
