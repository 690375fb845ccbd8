"""What is done to a run's directory before any node starts."""

from dataclasses import replace
from pathlib import Path

from so101.data.borrowing import borrow_demonstrations
from so101.data.episode_store import EpisodeStore
from so101_bringup.graph_options import GraphOptions

_MOST = 10_000


def prepare(options: GraphOptions) -> GraphOptions:
    """Make the bags that the run starts from part of its own store.

    Returns:
        The options; unless a number of demonstrations was chosen, those bags are enough for the
        first training.

    Raises:
        StoreError: The bags hold no demonstration, or cannot be made part of the store.
    """
    if not options.episodes:
        return options
    store = EpisodeStore(options.paths.episodes)
    try:
        found = borrow_demonstrations(Path(options.episodes).expanduser(), store)
    finally:
        store.close()
    return replace(options, demonstrations=options.demonstrations or min(len(found), _MOST))
