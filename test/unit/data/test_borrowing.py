"""Somebody else's bags are used where they lie, and stay as they are."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from factories import make_bag, make_rollout

from learner_node.fine_tuning import fine_tuning_job
from learner_node.planning import TrainingRequest
from learner_node.training import load_dataset
from reward_node.past import past_episodes
from so101.data.episodes.episode_reader import read_episode
from so101.data.labels.labels import FILE_NAME, append_label
from so101.data.stores.borrowing import borrow_demonstrations
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.errors import StoreError
from so101.events import LabelEvent
from so101.spec import PolicySpec

REQUEST = TrainingRequest(spec=PolicySpec(uses_objects=True), dataset={"outcomes": ["success"]})


def bag(root, name, *, phase="demonstrations", source="teleop", outcome=Outcome.SUCCESS, **told):
    rollout = make_rollout(steps=9, cameras=(), episode=name, outcome=outcome)
    rollout = rollout._replace(facts=replace(rollout.facts, phase=phase, source=source))
    return make_bag(
        directory=root / f"20260102-030405-{name}",
        rollout=rollout,
        cameras=(),
        outcome=outcome,
        custom_data=told,
    )


def make_foreign(path):
    """Take out what only our recorder writes, as in a bag of ``ros2 bag record``."""
    text = (path / "metadata.yaml").read_text()
    (path / "metadata.yaml").write_text(text.partition("  custom_data:")[0])


def snapshot(root):
    """Everything about a directory that a write would change."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, _digest(path))
        for path in [root, *sorted(root.rglob("*"))]
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "theirs"
    root.mkdir()
    bag(root, "demo-0000")
    bag(root, "demo-0001")
    bag(root, "failed", outcome=Outcome.FAILURE)
    bag(root, "eval-1", phase="evaluation", source="policy")
    return root


@pytest.fixture
def store(tmp_path):
    store = EpisodeStore(tmp_path / "ours")
    yield store
    store.close()


def ids(store):
    return [entry.facts.id for entry in store.episodes()]


def test_demonstrations_are_borrowed_and_nothing_else(source, store):
    found = borrow_demonstrations(source, store)
    assert [entry.facts.id for entry in found] == ids(store) == ["demo-0000", "demo-0001"]
    ours, theirs = (
        read_episode(root.find("demo-0001").path) for root in (store, EpisodeStore(source))
    )
    assert (ours.actions == theirs.actions).all()
    assert not [verified.problems for verified in store.verify() if verified.problems]


def test_what_was_borrowed_stays_as_it_was(source, store):
    before = snapshot(source)
    borrow_demonstrations(source, store)
    store.add_label(LabelEvent(stamp_ns=1, episode="demo-0000", rater="ada", outcome="failure"))
    store.rebuild_index()
    store.recover()
    assert store.find("demo-0000").outcome is Outcome.FAILURE
    assert snapshot(source) == before


def test_it_takes_no_room(source, store):
    borrow_demonstrations(source, store)
    data = list(store.root.rglob("*.mcap"))
    assert len(data) == 2 and all(path.is_symlink() for path in data)


def test_their_labels_come_along(source, store):
    path = source / "20260102-030405-demo-0000"
    append_label(path, LabelEvent(stamp_ns=1, episode="demo-0000", rater="ada", advantage=0.5))
    borrow_demonstrations(source, store)
    (label,) = store.labels("demo-0000")
    assert label.advantage == 0.5
    assert (path / FILE_NAME).exists()


def test_asking_again_changes_nothing_and_finds_what_is_new(source, store):
    borrow_demonstrations(source, store)
    before = snapshot(store.root)
    borrow_demonstrations(source, store)
    assert snapshot(store.root).keys() == before.keys()
    bag(source, "demo-0002")
    borrow_demonstrations(source, store)
    assert ids(store) == ["demo-0000", "demo-0001", "demo-0002"]


def test_an_interrupted_start_is_made_good(source, store):
    (store.root / ".borrowing-20260102-030405-demo-0000").mkdir(parents=True)
    borrow_demonstrations(source, store)
    assert ids(store) == ["demo-0000", "demo-0001"]


def test_two_episodes_of_one_name_are_refused(source, store, tmp_path):
    bag(store.root, "demo-0001")
    with pytest.raises(StoreError, match="demo-0001"):
        borrow_demonstrations(source, store)


def test_nothing_to_borrow_is_an_error(store, tmp_path):
    with pytest.raises(StoreError, match="no such directory"):
        borrow_demonstrations(tmp_path / "nowhere", store)
    bag(tmp_path / "rest", "failed", outcome=Outcome.FAILURE)
    with pytest.raises(StoreError, match="no demonstration among 1 bags"):
        borrow_demonstrations(tmp_path / "rest", store)
    bag(store.root, "demo-0000")
    with pytest.raises(StoreError, match="own store"):
        borrow_demonstrations(store.root, store)


def test_a_store_in_use_is_refused(source, store):
    other = EpisodeStore(store.root)
    other.lock()
    with pytest.raises(StoreError, match="in use"):
        borrow_demonstrations(source, store)
    other.close()


def test_a_foreign_bag_is_a_demonstration_to_session_and_learner_alike(tmp_path, store):
    """It says neither phase nor outcome; people keep what went well."""
    path = bag(tmp_path / "theirs", "morning", outcome=None)
    make_foreign(path)
    (entry,) = borrow_demonstrations(tmp_path / "theirs", store)
    assert entry.is_foreign and entry.outcome is None
    (past,) = past_episodes(store.root)
    assert past.facts.phase == "demonstrations" and past.outcome is Outcome.SUCCESS
    job = fine_tuning_job(REQUEST, store, tmp_path / "checkpoints")
    assert [episode.id for episode in job.episodes] == [entry.facts.id]
    assert len(load_dataset(job, store)) > 0


@pytest.mark.parametrize(
    ("told", "is_one"),
    [
        ({}, True),
        ({"outcome": Outcome.FAILURE}, False),
        ({"outcome": Outcome.TRUNCATED}, False),
        ({"phase": "evaluation"}, False),
        ({"phase": "rollouts"}, False),
        ({"phase": "manual", "source": "policy"}, False),
        ({"phase": "manual", "source": "teleop"}, True),
    ],
)
def test_session_and_learner_count_the_same_episodes(store, tmp_path, told, is_one):
    """What a policy did is never imitated, whoever started the episode."""
    bag(store.root, "always")
    bag(store.root, "perhaps", **told)
    expected = ["always", "perhaps"] if is_one else ["always"]
    counted = [
        past.facts.id
        for past in past_episodes(store.root)
        if past.facts.phase == "demonstrations" and past.outcome is Outcome.SUCCESS
    ]
    job = fine_tuning_job(REQUEST, store, tmp_path / "checkpoints")
    assert counted == [episode.id for episode in job.episodes] == expected


def test_a_single_bag_can_be_borrowed(source, store):
    found = borrow_demonstrations(source / "20260102-030405-demo-0001", store)
    assert [entry.facts.id for entry in found] == ids(store) == ["demo-0001"]


def test_an_unwritable_store_is_refused(source, tmp_path):
    if os.geteuid() == 0:
        blocked = tmp_path / "file"
        blocked.write_text("")
        blocked = blocked / "store"
    else:
        blocked = tmp_path / "blocked"
        blocked.mkdir(mode=0o500)
    with pytest.raises(StoreError):
        borrow_demonstrations(source, EpisodeStore(blocked))
