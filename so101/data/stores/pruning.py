"""Deletes episodes that are of no use to anybody, for good."""

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from so101.data.durable import store_error, sync_directory
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.stores.store_stats import UNUSABLE, outcome_of
from so101.episode import Outcome
from so101.errors import ConfigError, StoreError

PRUNABLE = (Outcome.DISCARDED.value, Outcome.INCOMPLETE.value, UNUSABLE)
"""Outcomes that may be deleted: nothing is ever trained on them, and no session counts them."""

_DOOMED = ".pruned-"


def choose(entries: Sequence[EpisodeEntry], outcomes: Collection[str]) -> list[EpisodeEntry]:
    """Return the episodes of some outcomes.

    Raises:
        ConfigError: An outcome may not be deleted.
    """
    for outcome in outcomes:
        if outcome not in PRUNABLE:
            raise ConfigError(
                f"outcome {outcome!r} cannot be pruned; {', '.join(PRUNABLE)} can: everything "
                "else may have been learned from"
            )
    return [entry for entry in entries if outcome_of(entry) in outcomes]


def prune(store: EpisodeStore, entries: Sequence[EpisodeEntry]) -> None:
    """Delete episodes of a store and their lines in its index.

    A bag is there or gone, never a part of it, also when the power fails. What a store only links
    to stays where it is.

    Args:
        store: The store; it is locked meanwhile.
        entries: Its episodes to delete.

    Raises:
        StoreError: A session is using the store, or a bag cannot be deleted.
    """
    if any(entry.path == store.root for entry in entries):
        raise StoreError(f"{store.root}: is a single bag, not a store")
    store.lock()
    try:
        remove_bags(store.root, [entry.path for entry in entries])
        store.rebuild_index(is_trusted=True)
    finally:
        store.close()


def remove_bags(root: Path, paths: Sequence[Path]) -> None:
    """Delete bags of a store that is locked, and what an interrupted call left of some.

    Raises:
        StoreError: A bag cannot be deleted.
    """
    for leftover in root.glob(f"{_DOOMED}*"):
        _delete(leftover)
    for path in paths:
        doomed = path.with_name(_DOOMED + path.name)
        try:
            os.rename(path, doomed)
            sync_directory(root)
        except OSError as error:
            raise store_error(path, error) from error
        _delete(doomed)


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # links in it are deleted, not what they point to
        else:
            path.unlink()
    except OSError as error:
        raise store_error(path, error) from error
