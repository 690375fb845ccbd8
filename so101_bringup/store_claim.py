"""One job at a time in the directory of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from so101.data.episode_store import EpisodeStore
from so101.data.store_lock import StoreLock
from so101_bringup.paths import RunPaths

LOCK_NAME = ".lock"


@contextmanager
def claimed_store(root: Path, what: str = "so101 job") -> Iterator[None]:
    """Hold a run's directory, and make sure that nobody records into it.

    Args:
        root: The directory; made if it is new.
        what: What claims it, such as the verb.

    Raises:
        StoreError: Another job holds it, somebody records into it, or it cannot be written.
    """
    lock = StoreLock(root / LOCK_NAME, what)
    try:
        episodes = EpisodeStore(RunPaths(root=root).episodes)
        episodes.lock()
        episodes.close()
        yield
    finally:
        lock.release()
