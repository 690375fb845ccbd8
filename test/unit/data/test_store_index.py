"""The index is a cache: no damage, delay or second process changes what a store lists."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from factories import make_bag
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.data.bags.bag_metadata import read_metadata
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.pruning import choose, prune
from so101.data.stores.store_entry import IndexLine
from so101.data.stores.store_index import INDEX_NAME, StoreIndex
from so101.episode import Outcome
from so101.errors import StoreError
from so101.events import LabelEvent

COUNT = 4


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """A store of a few episodes, one of them labelled and one foreign."""
    root = tmp_path_factory.mktemp("index") / "episodes"
    for number in range(COUNT):
        make_bag(
            directory=root / f"20260102-03040{number}-e{number}",
            cameras=(),
            steps=3,
            seed=number,
            outcome=Outcome.SUCCESS,
            episode=f"e{number}",
        )
    (root / f"20260102-03040{COUNT - 1}-e{COUNT - 1}" / "metadata.yaml").unlink()
    store = EpisodeStore(root)
    store.add_label(LabelEvent(stamp_ns=1, episode="e1", rater="ada", outcome="failure"))
    store.rebuild_index()
    store.close()
    return root


def outcomes(root, **options):
    return [(e.facts.id, e.outcome) for e in EpisodeStore(root, **options).episodes()]


EXPECTED = [
    ("e0", Outcome.SUCCESS),
    ("e1", Outcome.FAILURE),
    ("e2", Outcome.SUCCESS),
    ("20260102-030403-e3", None),
]


@settings(max_examples=100)
@given(st.data())
def test_no_damage_to_the_index_changes_the_listing(bags, data):
    good = (bags / INDEX_NAME).read_bytes()
    cut = data.draw(st.integers(0, len(good)))
    noise = data.draw(st.binary(max_size=40))
    damaged = data.draw(
        st.sampled_from([good[:cut], good[:cut] + noise + good[cut:], noise, good + noise])
    )
    try:
        (bags / INDEX_NAME).write_bytes(damaged)
        assert outcomes(bags) == EXPECTED
    finally:
        (bags / INDEX_NAME).write_bytes(good)


@given(st.data())
def test_a_line_survives_as_text_and_no_changed_character_passes(bags, data):
    line = IndexLine.of_bag(bags / "20260102-030401-e1")
    text = line.to_json()
    assert IndexLine.from_json(text) == line
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda c: c != text[place]))
    assert IndexLine.from_json(text[:place] + other + text[place + 1 :]) is None


def test_a_changed_bag_or_label_shows_although_the_index_knows_another(bags, tmp_path):
    root = shutil.copytree(bags, tmp_path / "copy", copy_function=shutil.copy2)
    file = root / "20260102-030400-e0" / "metadata.yaml"
    stamp = file.stat()
    text = file.read_text().replace("outcome: success", "outcome: failure")
    file.write_text(text)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    labels = root / "20260102-030401-e1" / "labels.json"
    labels.write_text(labels.read_text().replace("failure", "truncated"))
    shutil.rmtree(root / "20260102-030402-e2")
    assert outcomes(root) == [
        ("e0", Outcome.FAILURE),
        ("e1", Outcome.TRUNCATED),
        ("20260102-030403-e3", None),
    ]
    labels.unlink()
    assert outcomes(root)[1] == ("e1", Outcome.SUCCESS)


def test_a_store_that_keeps_its_index_reads_no_bag_twice(bags, tmp_path, monkeypatch):
    root = shutil.copytree(bags, tmp_path / "copy", copy_function=shutil.copy)
    read = []  # the copies have other times of change: every line is stale

    def read_and_note(path):
        read.append(path.name)
        return read_metadata(path)

    monkeypatch.setattr("so101.data.stores.store_entry.read_metadata", read_and_note)
    assert outcomes(root) == EXPECTED
    assert len(read) == COUNT - 1
    assert outcomes(root, keeps_index=True) == EXPECTED
    read.clear()
    assert outcomes(root) == EXPECTED
    assert read == []


def test_a_read_only_store_is_listed_without_an_index(bags, tmp_path, monkeypatch):
    root = shutil.copytree(bags, tmp_path / "copy")
    (root / INDEX_NAME).unlink()

    def refuse(self, lines):
        raise StoreError("read-only")

    monkeypatch.setattr(StoreIndex, "append", refuse)
    assert outcomes(root, keeps_index=True) == EXPECTED


def _append(root: str, number: int, start) -> None:
    index = StoreIndex(Path(root))
    start.wait(30)
    for i in range(50):
        custom = {"who": f"{number}-{i}", "filler": "x" * (137 * (i % 7))}
        index.append(
            [IndexLine(directory=f"{number}-{i}", duration_ns=i, messages=i, custom_data=custom)]
        )


def test_appends_of_several_processes_and_a_torn_line_mix_nothing_up(tmp_path):
    path = tmp_path / INDEX_NAME
    path.write_text('{"directory": "torn", "dur')  # as after a power loss
    context = multiprocessing.get_context("fork")
    start = context.Event()
    others = [context.Process(target=_append, args=(str(tmp_path), n, start)) for n in range(4)]
    for other in others:
        other.start()
    start.set()
    for other in others:
        other.join(30)
        assert other.exitcode == 0
    lines = [IndexLine.from_json(line) for line in path.read_text().splitlines()]
    assert lines[0] is None
    assert {line.directory for line in lines[1:]} == {
        f"{n}-{i}" for n in range(4) for i in range(50)
    }


def test_pruning_keeps_what_the_index_knows(bags, tmp_path):
    root = shutil.copytree(bags, tmp_path / "copy", copy_function=shutil.copy2)
    before = (root / INDEX_NAME).read_text().splitlines()
    store = EpisodeStore(root)
    store.add_label(LabelEvent(stamp_ns=1, episode="e0", rater="ada", outcome="discarded"))
    prune(store, choose(store.episodes(), ["discarded"]))
    assert (root / INDEX_NAME).read_text().splitlines() == before[1:]
    assert outcomes(root) == EXPECTED[1:]
