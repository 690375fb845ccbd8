"""A remote store reads like a directory, uses nothing unverified, and works from its cache."""

import multiprocessing
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_stores import NAMES, Remote, content_of, local_copy, make_store, reader

from so101.data.labels.label_merge import merge_histories, read_history
from so101.data.stores.download import download
from so101.data.stores.manifest import is_safe_name, split_name
from so101.data.stores.open_store import cache_name, default_cache, open_store
from so101.data.stores.remote_catalog import RemoteCatalog
from so101.data.stores.remote_files import RemoteFiles, check_url
from so101.data.stores.remote_store import RemoteStore
from so101.data.stores.upload import Uploader
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError, ConfigError, RemoteError, StoreError
from so101.events import LabelEvent


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("bags") / "episodes")


@pytest.fixture
def remote(bags, tmp_path):
    remote = Remote()
    Uploader(local_copy(bags, tmp_path / "sent"), remote.files()).run()
    return remote


def word(episode, rater, stamp_ns, outcome="failure"):
    return LabelEvent(stamp_ns=stamp_ns, episode=episode, rater=rater, outcome=outcome)


def ids(store):
    return [entry.facts.id for entry in store.episodes()]


def test_a_cached_copy_that_changed_is_fetched_again(remote, bags, tmp_path):
    first = reader(remote, tmp_path / "cache")
    path = first.fetch(first.find("e0"))
    file = path / "e0_0.mcap"
    good = file.read_bytes()
    for bad in (good[:-1], good[:100] + b"?" + good[101:], b""):
        file.write_bytes(bad)
        again = reader(remote, tmp_path / "cache")
        again.fetch(again.find("e0"))
        assert file.read_bytes() == good
    assert content_of(first.root)[NAMES[0]] == content_of(bags)[NAMES[0]]


def test_without_a_network_the_cache_is_read_and_says_so(remote, tmp_path):
    said = []
    store = RemoteStore(remote.files(), tmp_path / "cache", said.append)
    store.add_label(word("e1", "ada", 5))
    store.fetch(store.find("e0"))
    seen = store.episodes()
    assert (said, store.offline) == ([], "")
    remote.system.rate = 1.0
    offline = RemoteStore(remote.files(), tmp_path / "cache", said.append)
    assert offline.episodes() == seen
    assert offline.episodes()[1].outcome is Outcome.FAILURE
    assert len(said) == 1 and said[0].startswith("offline: ")
    assert offline.fetch(offline.find("e0")).exists()
    with pytest.raises(RemoteError, match="e2: is not in the cache"):
        offline.fetch(offline.find("e2"))
    with pytest.raises(RemoteError):
        offline.add_label(word("e0", "ada", 6))
    with pytest.raises(RemoteError):
        reader(remote, tmp_path / "new", is_honest=False).episodes()
    remote.system.rate = 0.0
    assert offline.episodes() == seen and offline.offline == ""
    assert offline.labels("e0") == ()


def test_a_label_that_could_not_be_sent_goes_with_the_next(remote, tmp_path, monkeypatch):
    store = reader(remote, tmp_path / "cache", is_honest=False)
    store.find("e0")
    real = RemoteFiles.write

    def lose(self, name, content):
        if name.startswith("labels/"):
            raise RemoteError("gone")
        real(self, name, content)

    monkeypatch.setattr(RemoteFiles, "write", lose)
    with pytest.raises(RemoteError, match=r"(?s)labelled in .* only.*gone"):
        store.add_label(word("e0", "ada", 1))
    monkeypatch.setattr(RemoteFiles, "write", real)
    reader(remote, tmp_path / "cache").add_label(word("e0", "bob", 2))
    other = reader(remote, tmp_path / "other")
    other.episodes()
    assert [one.rater for one in other.labels("e0")] == ["ada", "bob"]


def test_labels_of_several_machines_become_one_history(remote, bags, tmp_path):
    machines = [local_copy(bags, tmp_path / f"m{n}") for n in range(3)]
    for number, machine in enumerate(machines):
        machine.add_label(word("e0", f"r{number}", 10 - number, "failure"))
        Uploader(machine, remote.files()).run()
    there = reader(remote, tmp_path / "cache")
    there.add_label(word("e0", "here", 20, "truncated"))
    assert there.find("e0").outcome is Outcome.TRUNCATED
    assert [one.rater for one in there.labels("e0")] == ["r2", "r1", "r0", "here"]
    assert sum(name.startswith("labels/") for name in remote.names()) == 1
    download(there, there.episodes(), machines[0].root)
    assert [one.rater for one in machines[0].labels("e0")] == ["r2", "r1", "r0", "here"]


def test_the_index_only_saves_time(remote, tmp_path):
    catalog = RemoteCatalog(remote.files())
    expected = catalog.manifests()
    assert catalog.write_index(is_forced=True)
    assert not catalog.write_index(is_forced=True)
    (index,) = [name for name in remote.names() if name.startswith("index/")]
    content = remote.system.store[f"/team/{index}"].getvalue()
    noisy = content[:300] + b"?" + content[301:]
    for damaged in (b"", content[:500], noisy, b"[]\nnull\n{}\n" + content):
        remote.system.pipe_file(f"/team/{index}", damaged)
        fresh = RemoteCatalog(remote.files())
        fresh._read_indices()
        assert fresh.manifests() == expected
    remote.system.pipe_file(f"/team/{index}", content)
    manifest = next(name for name in remote.names() if name.startswith("manifests/"))
    remote.system.store.pop(f"/team/{manifest}")  # by hand: the index must not revive it
    assert ids(reader(remote, tmp_path / "cache")) == ["e1", "e2"]


def test_nobody_records_into_a_remote_store(remote, tmp_path):
    store = reader(remote, tmp_path / "cache")
    for attempt in (store.lock, store.recover):
        with pytest.raises(StoreError, match="is a remote store"):
            attempt()
    with pytest.raises(StoreError, match="is a remote store"):
        store.begin(EpisodeFacts(id="x"), [], "20260102-030405")


def test_a_place_without_a_store_is_not_an_empty_one(tmp_path):
    with pytest.raises(StoreError, match="no store of episodes is there"):
        reader(Remote(), tmp_path).episodes()


def test_a_later_layout_is_refused(remote, tmp_path):
    remote.system.pipe_file("/team/so101_store.json", b'{"schema_version": 2}')
    for attempt in (
        lambda: reader(remote, tmp_path / "cache").episodes(),
        lambda: RemoteCatalog(remote.files()).create(),
    ):
        with pytest.raises(StoreError, match="schema version 2"):
            attempt()


def test_a_download_is_whole_or_nothing_and_keeps_what_is_there(remote, bags, tmp_path):
    there = reader(remote, tmp_path / "cache")
    report = download(there, there.episodes()[:2], tmp_path / "run")
    assert report.copied == list(NAMES[:2])
    again = download(there, there.episodes(), tmp_path / "run")
    assert (again.copied, again.present) == ([NAMES[2]], list(NAMES[:2]))
    assert content_of(tmp_path / "run") == content_of(bags)
    (tmp_path / "run" / NAMES[0] / "note.txt").write_text("mine")
    with pytest.raises(StoreError, match="other content, sha256"):
        download(there, there.episodes(), tmp_path / "run")


def test_a_lone_file_is_an_episode_too(tmp_path, bags):
    root = tmp_path / "lone"
    root.mkdir()
    shutil.copy(bags / NAMES[0] / "e0_0.mcap", root / "alone.mcap")
    remote = Remote()
    report = Uploader(open_store(str(root)), remote.files()).run()
    assert report.sent == ["alone.mcap"]
    there = reader(remote, tmp_path / "cache")
    assert ids(there) == ids(open_store(str(root)))
    fetched = there.fetch(there.episodes()[0])
    assert fetched.read_bytes() == (root / "alone.mcap").read_bytes()


LABELS = st.builds(
    lambda stamp, rater, outcome: {"stamp_ns": stamp, "rater": rater, "outcome": outcome},
    *(st.integers(0, 9), st.sampled_from("ab"), st.sampled_from(["success", "failure"])),
)
SERIES = st.builds(
    lambda stamp, rater, value, before: {
        **{"stamp_ns": stamp, "episode": "e", "name": "value", "rater": rater},
        **{"ticks_ns": [0], "values": [value], "replaced_ns": before},
    },
    *(st.integers(5, 9), st.sampled_from("ab"), st.integers(0, 3)),
    st.lists(st.integers(0, 4), unique=True, max_size=3).map(sorted),
)
HISTORIES = st.fixed_dictionaries(
    {"schema_version": st.integers(1, 2), "labels": st.lists(LABELS, max_size=4)},
    optional={"values": st.lists(SERIES, max_size=4), "note": st.sampled_from(["x", "y"])},
)


@given(HISTORIES, HISTORIES, HISTORIES)
def test_merging_histories_has_no_order_and_loses_nothing(a, b, c):
    together = merge_histories([a, b, c])
    assert merge_histories([c, a, b]) == together
    assert merge_histories([merge_histories([a, b]), c]) == together
    assert merge_histories([a, merge_histories([b, c])]) == together
    assert merge_histories([together, together, a]) == together
    for label in (*a["labels"], *b["labels"], *c["labels"]):
        assert label in together["labels"]
    stamps = [label["stamp_ns"] for label in together["labels"]]
    assert stamps == sorted(stamps)
    every = [one for history in (a, b, c) for one in history.get("values", [])]
    for one in every:
        (kept,) = [k for k in together["values"] if k["rater"] == one["rater"]]
        assert kept["stamp_ns"] == max(k["stamp_ns"] for k in every if k["rater"] == one["rater"])
        assert one["stamp_ns"] in (kept["stamp_ns"], *kept["replaced_ns"])


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 3, "labels": []}'),
        *('{"schema_version": 1, "labels": [{}]}', '{"schema_version": "1", "labels": []}'),
    ],
)
def test_what_is_no_history_is_refused(text):
    with pytest.raises(BagError):
        read_history(text, "labels.json")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "unknown kind of store"),
        ("sftp://ada:secret@host/x", "no password in a URL"),
        ("s3://key@bucket/x", "no password in a URL"),
        ("s3://", "not the place of a store"),
        ("memory://a?b", "not the place of a store"),
        ("file://relative/x", "absolute path"),
    ],
)
def test_bad_urls_are_refused_and_no_password_is_repeated(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)


def test_a_missing_package_is_named_in_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package s3fs; pip install .*\[s3\]"):
        check_url("s3://bucket/team")
    assert check_url("memory://team/") == "memory://team"


@given(st.text(max_size=12))
def test_no_name_leads_out_of_a_store(name):
    if is_safe_name(name):
        assert "/" not in name and not name.startswith(".") and "\\" not in name
    assert split_name(f"{name}.json") is None
    assert split_name(f"../{name}.{'0' * 64}.json") is None


def test_a_store_is_opened_by_its_name(tmp_path, monkeypatch):
    assert type(open_store(str(tmp_path))).__name__ == "EpisodeStore"
    store = open_store("memory://team", cache=tmp_path)
    assert store.root == tmp_path / cache_name("memory://team") / "bags"
    assert default_cache({"XDG_CACHE_HOME": "/x"}).parts[:2] == ("/", "x")
    monkeypatch.setenv("HOME", "/home/ada")
    for environ in ({}, {"XDG_CACHE_HOME": "relative"}):
        assert str(default_cache(environ)) == "/home/ada/.cache/so101/stores"


def _read_all(cache: str, url: str) -> None:
    from pathlib import Path

    store = RemoteStore(RemoteFiles(url), Path(cache))
    for entry in store.episodes():
        store.fetch(entry)
    store.add_label(word("e0", f"r{multiprocessing.current_process().pid}", 1))


def test_several_processes_share_one_cache(bags, tmp_path):
    url = f"file://{tmp_path}/remote"
    Uploader(local_copy(bags, tmp_path / "sent"), RemoteFiles(url)).run()
    context = multiprocessing.get_context("fork")
    others = [
        context.Process(target=_read_all, args=(str(tmp_path / "cache"), url)) for _ in range(3)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
        assert other.exitcode == 0
    store = RemoteStore(RemoteFiles(url), tmp_path / "cache")
    store.episodes()
    assert len(store.labels("e0")) == 3
    assert content_of(store.root) == content_of(bags)
