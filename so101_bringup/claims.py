"""What one running graph has for itself: the directory of its run, and its ROS domain.

launch runs this with the Python of its own installation, which has nothing from pip: no bag is
read here.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from so101.data.durable import free_bytes
from so101.data.stores.store_lock import RECORDING_LOCK, StoreLock
from so101.errors import SessionError, StoreError
from so101_bringup.paths import RunPaths

LOCK_NAME = ".lock"
MIN_FREE_BYTES = 1_000_000_000


@contextmanager
def claimed_run(root: Path, namespace: str = "") -> Iterator[None]:
    """Hold a run's directory, which has room for a session, and its names in the ROS domain.

    Args:
        root: The directory; made if it is new.
        namespace: Of the graph.

    Raises:
        StoreError: The directory cannot be written, its disk is full, or it is in use.
        SessionError: Another graph has these names in this ROS domain.
    """
    check_store(root)
    with claimed_store(root), claimed_domain(namespace):
        yield


def check_store(root: Path) -> None:
    """Refuse a store that cannot be written or whose disk is nearly full.

    Raises:
        StoreError: The message names the directory and what to do.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise StoreError(f"{root}: cannot be written: {error.strerror}") from error
    free = free_bytes(root)
    if free < MIN_FREE_BYTES:
        raise StoreError(f"{root}: {free / 1e9:.2f} GB free, a session needs 1 GB")


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
        StoreLock(RunPaths(root=root).episodes / RECORDING_LOCK).release()
        yield
    finally:
        lock.release()


@contextmanager
def claimed_domain(namespace: str = "") -> Iterator[None]:
    """Hold this machine's claim on the names of a ROS domain: two graphs would mix their arms.

    Args:
        namespace: Of the graph; another one's names are others.

    Raises:
        SessionError: Another graph holds it.
    """
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    names = namespace.strip("/").replace("/", ".")
    file_name = f"so101-{os.getuid()}-domain-{domain}{f'-{names}' if names else ''}.lock"
    path = Path(tempfile.gettempdir()) / file_name
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            where = f"namespace {namespace.strip('/')} of ROS domain" if names else "ROS domain"
            raise SessionError(
                f"another so101 graph runs in {where} {domain}; end it, set ROS_DOMAIN_ID, or "
                "give this one another namespace"
            ) from None
        yield
