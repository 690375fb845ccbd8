"""What is done to a run's directory before any node starts."""

import logging
from dataclasses import replace
from pathlib import Path

from so101.data.stores.borrowing import borrow_demonstrations
from so101.data.stores.download import download
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.open_store import open_store
from so101.data.stores.remote_files import is_url
from so101.errors import StoreError
from so101_bringup.graph_options import GraphOptions
from so101_bringup.policy_options import with_rhythm

_MOST = 10_000
_LOG = logging.getLogger(__name__)


def prepare(options: GraphOptions) -> GraphOptions:
    """Make the bags that the run starts from part of its own store, and read its checkpoint.

    Returns:
        The options; unless a number of demonstrations was chosen, those bags are enough for the
        first training, and unless a rhythm was chosen, it is the checkpoint's.

    Raises:
        StoreError: The bags hold no demonstration, or cannot be made part of the store.
        CheckpointError: The checkpoint to start from cannot be read.
    """
    options = with_rhythm(options)
    if not options.episodes:
        return options
    store = EpisodeStore(options.paths.episodes)
    try:
        found = _demonstrations(options.episodes, store)
    finally:
        store.close()
    return replace(options, demonstrations=options.demonstrations or min(found, _MOST))


def _demonstrations(name: str, store: EpisodeStore) -> int:
    """Make the demonstrations of a directory or URL part of a store; return how many there are."""
    if not is_url(name):
        return len(borrow_demonstrations(Path(name).expanduser(), store))
    source = open_store(name, say=_LOG.warning)
    chosen = [entry for entry in source.episodes() if entry.is_demonstration]
    if not chosen:
        raise StoreError(f"{name}: no demonstration among its episodes")
    download(source, chosen, store.root)
    return len(chosen)
