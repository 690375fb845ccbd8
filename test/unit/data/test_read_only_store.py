"""A store on a medium that cannot be written is listed, read and checked like any other."""

import json
import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from bag_layouts import write_theirs
from factories import make_bag, make_rollout
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from so101.data.episodes.episode_reader import read_episodes
from so101.data.stores.episode_store import EpisodeStore

NOBODY = 65534


@pytest.fixture
def store():
    """A store that its owner may read and nobody may write, reachable for every user."""
    root = Path(tempfile.mkdtemp(prefix="so101-read-only-"))
    make_bag(directory=root / "20260102-030405-a", steps=6, episode="a")
    rollout = make_rollout(steps=6, episode="b")
    bag = root / "20260102-030406-b"
    write_theirs(bag, rollout, StoragePlugin.SQLITE3, CompressionMode.NONE)
    with sqlite3.connect(bag / f"{bag.name}.db3") as database:
        database.execute("PRAGMA journal_mode = WAL")  # rosbag2's resilient profile
    database.close()
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield root
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(root)


def look(root: Path) -> list[object]:
    """List, read and check every episode of a store."""
    store = EpisodeStore(root)
    entries = store.episodes()
    lengths = [len(one) for entry in entries for one in read_episodes(entry.path)]
    problems = [list(checked.problems) for checked in store.verify(entries)]
    return [[entry.facts.id for entry in entries], lengths, problems]


def look_without_rights(root: str, results) -> None:
    """Give up the right to write and look; tell what was seen, or what went wrong."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        (Path(root) / "x").touch()
    except PermissionError:
        seen: object = look(Path(root))
    else:
        seen = "it can be written"
    results.send(json.dumps(seen))


def test_a_store_that_cannot_be_written_is_listed_read_and_checked(store):
    expected = look(store)
    assert expected == [["a", "b"], [6, 6], [[], []]]
    before = sorted(store.rglob("*"))
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=look_without_rights, args=(str(store), sender))
    child.start()
    assert receiver.poll(60)
    seen = json.loads(receiver.recv())
    child.join(60)
    if seen == "it can be written":
        pytest.skip("this file system knows no rights")
    assert seen == expected
    assert sorted(store.rglob("*")) == before
