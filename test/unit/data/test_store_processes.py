"""Recorders, labellers, pruner and uploader at once: one writer, nothing corrupt, nothing lost."""

import multiprocessing
import time
from pathlib import Path

from remote_stores import make_store

from so101.data.labels.labels import read_labels
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.pruning import choose, prune
from so101.data.stores.remote_files import RemoteFiles
from so101.data.stores.remote_store import RemoteStore
from so101.data.stores.store_entry import IndexLine
from so101.data.stores.store_index import INDEX_NAME
from so101.data.stores.upload import Uploader
from so101.episode import EpisodeFacts, Outcome
from so101.errors import StoreError
from so101.events import LabelEvent
from so101.topics import TASK

EPISODES = 6
LABELS = 12


def _record(root: Path, name: str) -> None:
    """Record episodes one by one, each time refused until the other writer is gone."""
    for number in range(EPISODES):
        store = EpisodeStore(root, free=lambda _: 10**12)
        facts = EpisodeFacts(id=f"{name}{number}", phase="demonstrations")
        while True:
            try:
                recording = store.begin(facts, [TASK], "20260102-030500")
                break
            except StoreError as error:
                if "in use by another recorder (process " not in str(error):
                    raise
                time.sleep(0.01)
        for stamp_ns in range(3):
            recording.write(TASK.name, b"x" * 100, stamp_ns, stamp_ns)
        recording.finish(Outcome.DISCARDED if number % 2 else Outcome.SUCCESS, {})
        store.close()


def _label(root: Path, name: str) -> None:
    for number in range(LABELS):
        word = LabelEvent(stamp_ns=number, episode="e0", rater=name, reasons=(str(number),))
        EpisodeStore(root).add_label(word)


def _prune(root: Path, name: str) -> None:
    for _ in range(8):
        store = EpisodeStore(root)
        try:
            chosen = choose(store.episodes(), ["discarded"])
            prune(store, chosen)
        except StoreError as error:
            if "in use by another recorder (process " not in str(error):
                raise
        time.sleep(0.01)


def _send(root: Path, name: str) -> None:
    report = None
    while report is None or not any(one.endswith(name) for one in report.present):
        report = Uploader(EpisodeStore(root), RemoteFiles(f"file://{root.parent}/remote")).run()
        assert report.failed == {}
        time.sleep(0.1)


def test_everybody_at_once_leaves_a_whole_store(tmp_path):
    root = make_store(tmp_path / "episodes")
    context = multiprocessing.get_context("fork")
    jobs = [(_record, "r"), (_record, "s"), (_label, "ada"), (_label, "bob"), (_prune, "pruner")]
    *others, sender = [
        context.Process(target=job, args=(root, name), daemon=True)
        for job, name in (*jobs, (_send, "mark"))
    ]
    for other in (*others, sender):
        other.start()
    for other in others:
        other.join(60)
        assert other.exitcode == 0
    mark = EpisodeStore(root, free=lambda _: 10**12)
    recording = mark.begin(EpisodeFacts(id="mark"), [TASK], "20260102-030600")
    recording.finish(Outcome.SUCCESS, {})
    mark.close()
    sender.join(60)
    assert sender.exitcode == 0
    store = EpisodeStore(root)
    kept = {f"{name}{number}" for name in "rs" for number in range(0, EPISODES, 2)}
    entries = {entry.facts.id: entry for entry in store.episodes()}
    assert set(entries) >= kept | {"e0", "e1", "e2", "mark"}
    assert all(not entry.problem for entry in entries.values())
    assert not list(root.glob("*.part")) and not list(root.glob(".pruned-*"))
    lines = [IndexLine.from_json(line) for line in (root / INDEX_NAME).read_text().splitlines()]
    assert None not in lines
    said = [(word.rater, word.reasons[0]) for word in read_labels(entries["e0"].path)]
    expected = sorted((name, str(number)) for name in ("ada", "bob") for number in range(LABELS))
    assert sorted(said) == expected
    there = RemoteStore(RemoteFiles(f"file://{tmp_path}/remote"), tmp_path / "cache")
    sent = there.episodes()
    assert {entry.facts.id for entry in sent} >= kept | {"mark"}
    for entry in sent:
        there.fetch(entry)
