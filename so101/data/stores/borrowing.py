"""Bags that somebody else recorded become part of a store, without touching or copying them.

Every borrowed bag gets a directory of its own in the store: metadata and labels are copied, data
files are symbolic links. So labels given later stay in this store, a recorder can only ever write
beside the borrowed bags, and everything that reads the store needs to know one directory.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from so101.data.durable import store_error
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.errors import StoreError

_DATA = (".mcap", ".db3", ".zstd")


def borrow_demonstrations(source: Path, store: EpisodeStore) -> list[EpisodeEntry]:
    """Link every demonstration of a directory into a store; those linked before stay.

    Args:
        source: Directory of bags, or a single bag.
        store: Where they are used from now on; locked while it is changed.

    Returns:
        The demonstrations of the directory, oldest first.

    Raises:
        StoreError: There is no demonstration, the store has another episode of the same name, or
            it cannot be written.
    """
    if not source.exists():
        raise StoreError(f"{source}: no such directory of bags")
    if source.resolve() == store.root.resolve():
        raise StoreError(f"{source}: is the run's own store; leave out --episodes")
    found = EpisodeStore(source).episodes()
    entries = [entry for entry in found if entry.is_demonstration]
    if not entries:
        raise StoreError(f"{source}: no demonstration among {_reasons(found)}")
    store.lock()
    try:
        taken = {entry.facts.id: entry.path for entry in store.episodes()}
        for entry in entries:
            _borrow(entry, store.root, taken)
    except OSError as error:
        raise store_error(store.root, error) from error
    return entries


def _borrow(entry: EpisodeEntry, root: Path, taken: dict[str, Path]) -> None:
    target = root / entry.path.name
    if _is_link_to(target, entry.path):
        return
    if entry.facts.id in taken:
        raise StoreError(
            f"{taken[entry.facts.id]}: episode {entry.facts.id!r} is also in {entry.path}; "
            "choose another store"
        )
    if entry.path.is_file():
        os.symlink(entry.path.resolve(), target)
        return
    part = root / f".borrowing-{entry.path.name}"
    shutil.rmtree(part, ignore_errors=True)  # left by an interrupted start
    part.mkdir()
    for file in sorted(item for item in entry.path.iterdir() if item.is_file()):
        if file.suffix in _DATA:
            os.symlink(file.resolve(), part / file.name)
        else:
            shutil.copyfile(file, part / file.name)
    os.rename(part, target)


def _is_link_to(target: Path, path: Path) -> bool:
    """Tell whether a store's episode is the borrowed one."""
    if target.is_symlink():
        return target.resolve() == path.resolve()
    if not target.is_dir() or not path.is_dir():
        return False
    links = [item for item in target.iterdir() if item.is_symlink()]
    return bool(links) and all(link.resolve() == (path / link.name).resolve() for link in links)


def _reasons(entries: Sequence[EpisodeEntry]) -> str:
    """Say in a few words what else there is."""
    if not entries:
        return "0 bags"
    said = [entry.problem or (entry.outcome and entry.outcome.value) or "?" for entry in entries]
    return f"{len(entries)} bags (such as {entries[0].path.name}: {said[0]})"
