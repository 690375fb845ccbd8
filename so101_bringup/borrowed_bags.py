"""The bags that a run starts from become part of its own store."""

import logging
from pathlib import Path

from so101.data.stores.borrowing import borrow_demonstrations
from so101.data.stores.download import download
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.open_store import open_store
from so101.data.stores.remote_files import is_url
from so101.errors import StoreError

_LOG = logging.getLogger(__name__)


def demonstrations_into(root: Path, name: str) -> int:
    """Make the demonstrations of a directory or URL part of a store; return how many there are.

    Args:
        root: The store's directory; made if it is new.
        name: Path of the directory, or URL.

    Raises:
        StoreError: There is no demonstration, or the store cannot take them.
    """
    store = EpisodeStore(root)
    try:
        if not is_url(name):
            return len(borrow_demonstrations(Path(name).expanduser(), store))
        source = open_store(name, say=_LOG.warning)
        chosen = [entry for entry in source.episodes() if entry.is_demonstration]
        if not chosen:
            raise StoreError(f"{name}: no demonstration among its episodes")
        download(source, chosen, store.root)
        return len(chosen)
    finally:
        store.close()
