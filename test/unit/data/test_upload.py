"""Whatever the network and the remote do, no episode is lost and readers see whole ones."""

import json
import multiprocessing
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_stores import NAMES, Remote, content_of, local_copy, make_store, reader

from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.manifest import _canonical, _digest
from so101.data.stores.remote_files import RemoteFiles
from so101.data.stores.remote_store import RemoteStore
from so101.data.stores.store_lock import StoreLock
from so101.data.stores.upload import Uploader
from so101.episode import Outcome
from so101.errors import BagError, RemoteError, StoreError
from so101.events import LabelEvent


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("bags") / "episodes")


@pytest.fixture
def store(bags, tmp_path):
    return local_copy(bags, tmp_path / "local")


@pytest.fixture
def remote():
    return Remote()


def label(store, episode, rater, outcome, stamp_ns=1):
    store.add_label(LabelEvent(stamp_ns=stamp_ns, episode=episode, rater=rater, outcome=outcome))


def ids(store):
    return [entry.facts.id for entry in store.episodes()]


def test_what_was_sent_is_read_elsewhere_byte_for_byte(bags, store, remote, tmp_path):
    label(store, "e1", "ada", "failure")
    report = Uploader(store, remote.files()).run()
    assert (report.sent, report.labels) == (list(NAMES), [NAMES[1]])
    assert (report.failed, report.refused) == ({}, {})
    there = reader(remote, tmp_path / "cache")
    expected = EpisodeStore(store.root).episodes()
    found = there.episodes()
    for ours, theirs in zip(expected, found, strict=True):
        assert (theirs.facts, theirs.outcome, theirs.duration_s, theirs.messages) == (
            *(ours.facts, ours.outcome, ours.duration_s, ours.messages),
        )
        assert there.room_of(theirs) == store.room_of(ours) - labels_size(ours.path)
        there.fetch(theirs)
    assert content_of(there.root) == content_of(bags)
    assert whole(there) == [True] * 3


def whole(store):
    """Return which episodes have all bytes; that tiny bags lack topics does not matter here."""
    problems = [[p for p in one.problems if "no topic" not in p] for one in store.verify()]
    return [not of_episode for of_episode in problems]


def labels_size(path):
    return (path / "labels.json").stat().st_size if (path / "labels.json").exists() else 0


def test_nothing_is_sent_twice(store, remote):
    Uploader(store, remote.files()).run()
    writes = remote.system.writes
    again = Uploader(store, remote.files()).run()
    assert (again.sent, again.present, again.bytes_sent) == ([], list(NAMES), 0)
    checked = Uploader(store, remote.files()).run(is_checked=True)
    assert (checked.sent, checked.bytes_sent) == ([], 0)
    assert remote.system.writes == writes


def test_a_half_sent_episode_is_invisible_and_completed(store, remote, tmp_path):
    Uploader(store, remote.files()).run()
    manifest = next(name for name in remote.names() if name.startswith(f"manifests/{NAMES[0]}"))
    recording = next(name for name in remote.names() if name.endswith("e0_0.mcap"))
    remote.system.store.pop(f"/team/{manifest}")
    content = remote.system.store[f"/team/{recording}"].getvalue()
    remote.system.pipe_file(f"/team/{recording}", content[:1000])
    assert ids(reader(remote, tmp_path / "cache")) == ["e1", "e2"]
    report = Uploader(store, remote.files()).run()
    assert (report.sent, report.bytes_sent) == ([NAMES[0]], len(content))
    assert ids(reader(remote, tmp_path / "cache")) == ["e0", "e1", "e2"]


def test_a_torn_manifest_is_no_manifest(store, remote, tmp_path):
    Uploader(store, remote.files()).run()
    manifest = next(name for name in remote.names() if name.startswith(f"manifests/{NAMES[0]}"))
    text = remote.system.store[f"/team/{manifest}"].getvalue()
    for damaged in (b"", text[:-1], text.replace(b'"messages":', b'"messages":1')):
        remote.system.pipe_file(f"/team/{manifest}", damaged)
        assert ids(reader(remote, tmp_path / "cache")) == ["e1", "e2"]
    later = json.loads(text)["manifest"] | {"schema_version": 9}

    remote.system.pipe_file(
        f"/team/{manifest}", _canonical({"manifest": later, "sha256": _digest(later)}).encode()
    )
    problems = [entry.problem for entry in reader(remote, tmp_path / "cache").episodes()]
    assert "schema version 9" in problems[0] and problems[1:] == ["", ""]


def test_the_same_name_with_other_content_is_refused_with_both_digests(store, remote, tmp_path):
    Uploader(store, remote.files()).run()
    other = local_copy(store.root, tmp_path / "other")
    (other.root / NAMES[0] / "note.txt").write_text("mine")
    report = Uploader(other, remote.files()).run()
    assert list(report.refused) == [NAMES[0]]
    assert len([w for w in report.refused[NAMES[0]].split() if len(w) == 64]) == 2
    assert ids(reader(remote, tmp_path / "cache")) == ["e0", "e1", "e2"]


def test_two_contents_sent_at_the_same_time_are_both_kept_and_named(store, remote, tmp_path):
    other = local_copy(store.root, tmp_path / "other")
    (other.root / NAMES[0] / "note.txt").write_text("mine")
    first, second = Uploader(store, remote.files()), Uploader(other, remote.files())
    second._catalog.create()
    early = second._catalog.manifests()  # what the second saw before the first sent anything
    first.run()
    second._catalog.manifests = lambda: early
    second.run()
    conflict = reader(remote, tmp_path / "cache").episodes()[0]
    assert len([w for w in conflict.problem.split() if len(w) == 64]) == 2
    with pytest.raises(StoreError, match="different content"):
        reader(remote, tmp_path / "cache").fetch(conflict)


def test_a_bag_that_changed_since_it_was_recorded_is_not_sent(store, remote):
    file = store.root / NAMES[1] / "e1_0.mcap"
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)
    (store.root / NAMES[2] / "metadata.yaml").write_text("rosbag2: [")
    report = Uploader(store, remote.files()).run()
    assert report.sent == [NAMES[0]]
    assert "sha256 has changed since it was recorded" in report.refused[NAMES[1]]
    assert "YAML" in report.refused[NAMES[2]]


def test_local_copies_go_only_after_the_remote_bytes_were_read_back(store, remote, tmp_path):
    Uploader(store, remote.files()).run()
    recording = next(name for name in remote.names() if name.endswith("e0_0.mcap"))
    content = remote.system.store[f"/team/{recording}"].getvalue()
    remote.system.pipe_file(f"/team/{recording}", bytes(len(content)))  # rotten since
    label(store, "e1", "ada", "failure")
    report = Uploader(store, remote.files()).run(deletes=True)
    assert sorted(report.deleted) == list(NAMES)
    assert report.sent == [NAMES[0]]  # repaired before its copy went
    assert ids(store) == []
    there = reader(remote, tmp_path / "cache")
    assert whole(there) == [True] * 3
    assert there.find("e1").outcome is Outcome.FAILURE


def test_a_label_given_just_before_the_local_copy_goes_is_sent(store, remote, tmp_path):
    class Slow(EpisodeStore):
        def lock(self):
            if ids(self):
                label(self, "e1", "late", "failure")
            super().lock()

    report = Uploader(Slow(store.root), remote.files()).run(deletes=True)
    assert report.labels == [NAMES[1]]
    assert reader(remote, tmp_path / "cache").find("e1").outcome is Outcome.FAILURE


def test_a_store_in_use_is_not_deleted_from(store, remote):
    other = StoreLock(store.root / ".lock")
    with pytest.raises(StoreError, match="in use"):
        Uploader(store, remote.files()).run(deletes=True)
    other.release()
    assert ids(store) == ["e0", "e1", "e2"]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rate=st.sampled_from([0.02, 0.1, 0.3, 0.6]),
    passes=st.lists(st.sampled_from(["send", "delete", "check", "label", "read"]), max_size=8),
)
def test_nothing_is_lost_whatever_fails(bags, seed, rate, passes):
    with tempfile.TemporaryDirectory() as folder:
        _try_to_lose(bags, Path(folder), seed, rate, passes)


def _try_to_lose(bags, folder, seed, rate, passes):
    remote, expected, said = Remote(), content_of(bags), set()
    store = local_copy(bags, folder / "local")
    uploader = Uploader(store, remote.files())
    remote.system.rng = random.Random(seed)
    for number, action in enumerate(passes):
        remote.system.rate = rate
        if action == "label" and store.episodes():
            entry = store.episodes()[seed % len(store.episodes())]
            label(store, entry.facts.id, f"r{number}", "failure", number)
            said.add((entry.path.name, f"r{number}"))
        elif action == "read":
            with suppress(StoreError, BagError):
                careless = reader(remote, folder / "faulty", is_honest=False)
                for entry in careless.episodes():
                    careless.fetch(entry)
                    _same(careless.root / entry.path.name, expected[entry.path.name])
        else:
            with suppress(RemoteError):
                uploader.run(is_checked=action == "check", deletes=action == "delete")
        _nothing_is_lost(remote, store, folder / f"cache{number}", expected, said)
    remote.system.rate = 0.0
    report = Uploader(store, remote.files()).run(deletes=True)
    assert (report.failed, report.refused) == ({}, {})
    _nothing_is_lost(remote, store, folder / "last", expected, said)
    assert ids(store) == []


def _nothing_is_lost(remote, store, cache, expected, said):
    left = content_of(store.root)
    there = reader(remote, cache)
    entries = there.episodes() if _has_marker(remote) else []
    raters = {(name, one.rater) for name in left for one in store.labels(name)}
    for entry in entries:
        name = entry.path.name
        _same(there.fetch(entry), expected[name])  # every visible episode is whole
        left.setdefault(name, expected[name])
        raters |= {(name, one.rater) for one in there.labels(name)}
    assert left == expected
    assert raters >= said


def _has_marker(remote):
    marker = remote.system.store.get("/team/so101_store.json")
    return marker is not None and marker.getvalue() == b'{"schema_version": 1}\n'


def _same(path, expected):
    found = {f.name: f.read_bytes() for f in path.iterdir() if f.name != "labels.json"}
    assert found == expected


def test_a_remote_that_rots_is_found_out_by_whoever_reads(store, remote, tmp_path):
    Uploader(store, remote.files()).run()
    recording = next(name for name in remote.names() if name.endswith("e0_0.mcap"))
    content = remote.system.store[f"/team/{recording}"].getvalue()
    remote.system.pipe_file(f"/team/{recording}", content[:-1] + b"?")
    there = reader(remote, tmp_path / "cache")
    with pytest.raises(BagError, match=r"e0_0\.mcap: sha256 .* its manifest says"):
        there.fetch(there.find("e0"))
    assert not list(there.root.rglob("*e0_0.mcap*"))
    assert whole(there) == [False, True, True]


def _send(folder: str, name: str, start) -> None:
    start.wait(30)
    for _ in range(3):
        files = RemoteFiles(f"file://{folder}/remote")
        store = EpisodeStore(Path(folder) / name)
        report = Uploader(store, files).run(is_checked=True)
        assert not report.refused, report.refused
        label(store, "e1", name, "failure", stamp_ns=int(name[-1]))


def test_uploaders_of_several_machines_do_each_other_no_harm(bags, tmp_path):
    """Three processes send overlapping stores to one place and label the same episode."""
    for number, kept in enumerate([(0, 1), (1, 2), (0, 1, 2)]):
        root = tmp_path / f"m{number}"
        for i in kept:
            shutil.copytree(bags / NAMES[i], root / NAMES[i], copy_function=shutil.copy2)
    context = multiprocessing.get_context("fork")
    start = context.Event()
    machines = [
        context.Process(target=_send, args=(str(tmp_path), f"m{n}", start)) for n in range(3)
    ]
    for machine in machines:
        machine.start()
    start.set()
    for machine in machines:
        machine.join(60)
        assert machine.exitcode == 0
    there = RemoteStore(RemoteFiles(f"file://{tmp_path}/remote"), tmp_path / "cache")
    assert ids(there) == ["e0", "e1", "e2"]
    assert whole(there) == [True] * 3
    assert {one.rater for one in there.labels("e1")} == {"m0", "m1", "m2"}
