"""A store is counted as it is, and only what nobody learns from can be deleted from it."""

import os

import pytest
from factories import make_bag

from so101.data.stores.episode_store import INDEX_NAME, EpisodeStore
from so101.data.stores.pruning import PRUNABLE, choose, prune
from so101.data.stores.store_lock import StoreLock
from so101.data.stores.store_stats import OUTCOMES, outcome_of, room_of, store_stats
from so101.episode import Outcome
from so101.errors import ConfigError, StoreError
from so101.events import LabelEvent

KINDS = (
    ("demonstrations", "teleop", Outcome.SUCCESS, 20),
    ("demonstrations", "teleop", Outcome.SUCCESS, 40),
    ("demonstrations", "teleop", Outcome.DISCARDED, 6),
    ("rollouts", "policy", Outcome.TRUNCATED, 30),
    ("rollouts", "policy", Outcome.FAILURE, 10),
)


@pytest.fixture
def store(tmp_path):
    root = tmp_path / "episodes"
    for number, (phase, source, outcome, steps) in enumerate(KINDS):
        make_bag(
            directory=root / f"20260102-03040{number}-e{number}",
            cameras=(),
            steps=steps,
            seed=number,
            outcome=outcome,
            episode=f"e{number}",
            custom_data={"phase": phase, "source": source, "outcome": outcome.value},
        )
    (root / "20260102-030409-e9").mkdir()
    (root / "20260102-030409-e9" / "e9_0.mcap").write_bytes(b"no mcap")
    (root / "20260102-030409-e9" / "metadata.yaml").write_text("rosbag2: [")
    return EpisodeStore(root, min_free_bytes=0)


def ids(store):
    return [entry.facts.id for entry in store.episodes()]


def test_every_episode_is_counted_once_where_it_belongs(store):
    entries = store.episodes()
    shown, rolled_out, broken = store_stats(entries)
    assert (shown.phase, shown.source, shown.episodes) == ("demonstrations", "teleop", 3)
    assert shown.outcomes == {"success": 2, "discarded": 1}
    lengths = [entry.duration_s for entry in entries]
    assert shown.duration_s == pytest.approx(sum(lengths[:3]))
    assert shown.median_success_s == pytest.approx(sum(lengths[:2]) / 2)
    assert rolled_out.outcomes == {"truncated": 1, "failure": 1}
    assert rolled_out.median_success_s is None
    assert broken.outcomes == {"unusable": 1}
    assert sum(one.episodes for one in (shown, rolled_out, broken)) == len(entries)
    files = [
        file for file in store.root.rglob("*") if file.is_file() and file.parent != store.root
    ]
    room = sum(file.stat().st_size for file in files)
    assert sum(one.size_bytes for one in (shown, rolled_out, broken)) == room
    assert {outcome_of(entry) for entry in entries} <= {*OUTCOMES}


def test_what_is_linked_takes_no_room(store, tmp_path):
    bag = store.find("e0").path
    link = tmp_path / "link"
    link.symlink_to(bag)
    assert room_of(bag) > 0
    assert room_of(link) == 0
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "data.mcap").symlink_to(next(bag.glob("*.mcap")))
    assert room_of(tmp_path / "part") == 0


@pytest.mark.parametrize("outcome", sorted({*OUTCOMES} - {*PRUNABLE}))
def test_what_may_have_been_learned_from_is_never_chosen(store, outcome):
    with pytest.raises(ConfigError, match=f"'{outcome}' cannot be pruned; discarded, incomplete"):
        choose(store.episodes(), ["discarded", outcome])


def test_what_is_chosen_is_gone_and_everything_else_is_as_it_was(store):
    store.add_label(LabelEvent(stamp_ns=1, episode="e4", rater="ada", outcome="discarded"))
    before = {entry.facts.id: entry for entry in store.episodes()}
    chosen = choose(store.episodes(), ["discarded"])
    assert [entry.facts.id for entry in chosen] == ["e2", "e4"]
    prune(store, chosen)
    after = {entry.facts.id: entry for entry in store.episodes()}
    assert {**after, **{entry.facts.id: entry for entry in chosen}} == before
    assert not any(entry.path.exists() for entry in chosen)
    assert '"id": "e2"' not in (store.root / INDEX_NAME).read_text()
    prune(store, choose(store.episodes(), ["unusable"]))
    assert ids(store) == ["e0", "e1", "e3"]
    assert all(checked.problems == () for checked in store.verify())


def test_a_link_is_deleted_and_not_what_it_points_to(store, tmp_path):
    whole = store.find("e2").path
    other = tmp_path / "other"
    other.mkdir()
    (other / whole.name).symlink_to(whole)
    (other / "20260102-030408-e8").mkdir()
    for file in whole.iterdir():
        (other / "20260102-030408-e8" / file.name).symlink_to(file)
    linked = EpisodeStore(other)
    prune(linked, linked.episodes())
    assert linked.episodes() == []
    assert "e2" in ids(store)
    assert store.verify([store.find("e2")])[0].problems == ()


def test_what_an_interrupted_pruning_left_is_no_episode_and_is_deleted_next_time(
    store, monkeypatch
):
    def fail(path):
        raise OSError(5, "Input/output error")

    (doomed,) = choose(store.episodes(), ["discarded"])
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            prune(store, [doomed])
    assert doomed.facts.id not in ids(store)
    assert len(list(store.root.glob(".pruned-*"))) == 1
    prune(store, [])
    assert not list(store.root.glob(".pruned-*"))


def test_a_store_in_use_and_a_single_bag_are_refused(store):
    chosen = choose(store.episodes(), ["discarded"])
    other = StoreLock(store.root / ".lock")
    with pytest.raises(StoreError, match="in use"):
        prune(store, chosen)
    other.release()
    bag = EpisodeStore(store.find("e0").path)
    with pytest.raises(StoreError, match="single bag"):
        prune(bag, bag.episodes())
    assert os.path.isdir(store.find("e0").path)
