"""A store loses no finished episode, refuses what it cannot keep, and says why."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from factories import make_bag, make_rollout
from hypothesis import given
from hypothesis import strategies as st

from so101.data.bags.custom_data import (
    OUTCOME,
    PUBLISHED,
    facts_from_text,
    facts_to_text,
    outcome_from_text,
)
from so101.data.bags.messages import encode
from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import INDEX_NAME, QUARANTINE, EpisodeStore
from so101.data.stores.episode_table import (
    format_episode,
    format_list,
    format_recovered,
    format_verified,
    parse_selection,
    select,
)
from so101.data.stores.store_entry import IndexLine
from so101.data.training.dataset import EpisodeDataset
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError, ConfigError, StoreError
from so101.events import LabelEvent
from so101.spec import PolicySpec
from so101.topics import recorded_topics

TOPICS = recorded_topics(())
WALL = "20260102-030405"
SPEC = PolicySpec(uses_objects=True)


def store_in(root: Path, **options) -> EpisodeStore:
    return EpisodeStore(root, free=lambda _: 10**12, **options)


def record(store: EpisodeStore, episode: str, *, finish: bool = True, steps: int = 9, **custom):
    rollout = make_rollout(steps=steps, cameras=(), episode=episode)
    recording = store.begin(rollout.facts, TOPICS, WALL)
    for topic, stamp, message, log_time in rollout.messages:
        recording.write(topic.name, encode(message), log_time, stamp)
    return recording.finish(Outcome.SUCCESS, custom) if finish else recording


@given(
    st.builds(
        EpisodeFacts,
        id=st.text(),
        task=st.text(),
        group=st.integers(),
        speed=st.floats(0, 9),
        seed=st.integers(),
    )
)
def test_facts_survive_as_text(facts):
    text = facts_to_text(facts)
    assert all(isinstance(value, str) for value in text.values())
    assert facts_from_text(text, "other") == facts


def test_what_is_finished_is_listed_read_and_trained_on(tmp_path):
    store = store_in(tmp_path / "store")
    entry = record(store, "a", **{PUBLISHED + "joint_states": "19"})
    assert entry.path.name == f"{WALL}-a"
    assert (entry.outcome, entry.duration_s > 0.3) == (Outcome.SUCCESS, True)
    record(store, "b")
    entries = EpisodeStore(tmp_path / "store").episodes()
    assert [e.facts.id for e in entries] == ["a", "b"]
    assert entries[0] == entry
    assert len(read_episode(entry.path)) == 9
    assert len(EpisodeDataset.from_store(store, SPEC)) > 0
    assert EpisodeDataset.from_store(store, SPEC, only=["b"]).episodes == ("b",)
    assert [r.problems for r in store.verify()] == [(), ()]
    with pytest.raises(StoreError, match="exists already"):
        store.begin(EpisodeFacts(id="a"), TOPICS, "20260102-030406")
    store.close()


def test_the_index_only_saves_time(tmp_path):
    store = store_in(tmp_path)
    record(store, "a")
    expected = store.episodes()
    index = tmp_path / INDEX_NAME
    line = index.read_text()
    for damaged in (
        "",
        line[: len(line) // 2],
        "[]\n{}\nnull\n" + line,
        '{"directory": "gone"}\n',
    ):
        index.write_text(damaged)
        assert store.episodes() == expected
    index.unlink()
    store.rebuild_index()
    assert index.read_text() == line
    assert IndexLine.from_json(line).to_json() + "\n" == line
    store.close()


def test_discarding_leaves_nothing(tmp_path):
    store = store_in(tmp_path)
    record(store, "a", finish=False).discard()
    assert store.episodes() == []
    assert list(tmp_path.glob("*a*")) == []
    store.close()


def test_short_space_bad_names_and_read_only_are_refused_before_anything_is_written(tmp_path):
    store = EpisodeStore(tmp_path, free=lambda _: 999_999_999)
    with pytest.raises(StoreError, match=r"1\.00 GB free, an episode needs 1\.00 GB"):
        store.begin(EpisodeFacts(id="a"), TOPICS, WALL)
    store.close()
    store = store_in(tmp_path)
    for name in ("", "../x", "a/b", "a b", ".hidden"):
        with pytest.raises(StoreError, match="episode id"):
            store.begin(EpisodeFacts(id=name), TOPICS, WALL)
    with pytest.raises(StoreError, match="wall time"):
        store.begin(EpisodeFacts(id="a"), TOPICS, "yesterday")
    store.close()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        store_in(tmp_path / "file" / "store").begin(EpisodeFacts(id="a"), TOPICS, WALL)
    with pytest.raises(StoreError, match="cannot be read"):
        store_in(tmp_path / "nowhere").episodes()


def _hold(root: str, ready, stop) -> None:
    store_in(Path(root)).lock()
    ready.set()
    stop.wait(30)
    os._exit(0)


def test_a_second_writer_is_refused_by_pid_until_the_first_dies(tmp_path):
    context = multiprocessing.get_context("fork")
    ready, stop = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path), ready, stop))
    other.start()
    assert ready.wait(30)
    store = store_in(tmp_path)
    with pytest.raises(StoreError, match=f"process {other.pid}"):
        store.begin(EpisodeFacts(id="a"), TOPICS, WALL)
    other.kill()
    other.join()
    record(store, "a")
    assert len(store.episodes()) == 1
    store.close()


def test_a_killed_recorder_loses_no_finished_episode_and_at_most_half_a_second(tmp_path):
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        sys.path[:0] = [{str(Path(__file__).parents[2])!r}, {str(Path(__file__).parents[3])!r}]
        from factories import make_rollout
        from so101.data.stores.episode_store import EpisodeStore
        from so101.data.bags.messages import encode
        from so101.episode import Outcome
        from so101.topics import recorded_topics
        store = EpisodeStore(Path({str(tmp_path)!r}), min_free_bytes=0)
        for name in ("done", "torn"):
            rollout = make_rollout(steps=20, cameras=(), episode=name)
            recording = store.begin(rollout.facts, recorded_topics(()), "{WALL}")
            for topic, stamp, message, log_time in rollout.messages:
                recording.write(topic.name, encode(message), log_time, stamp)
            if name == "done":
                recording.finish(Outcome.SUCCESS, {{}})
        recording.flush()
        recording.write("task", b"not flushed", 0, 0)
        print("ready", flush=True)
        sys.stdin.read()
        """
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    store = store_in(tmp_path)
    assert [e.facts.id for e in store.episodes()] == ["done"]
    recovered = store.recover()
    assert "torn.part" in format_recovered(recovered)
    entries = store.episodes()
    assert [(e.facts.id, e.outcome) for e in entries] == [
        ("done", Outcome.SUCCESS),
        ("torn", Outcome.INCOMPLETE),
    ]
    torn = read_episode(entries[1].path)
    assert (torn.outcome, len(torn)) == (Outcome.INCOMPLETE, 20)
    data = EpisodeDataset.from_store(store, SPEC)
    assert data.episodes == ("done",)
    assert [(s.episode, s.reason) for s in data.skipped] == [("torn", "is incomplete")]
    assert store.recover() == []
    assert [r.problems for r in store.verify()] == [(), ()]
    store.close()


def test_recovery_can_be_interrupted_and_sorts_out_rubble(tmp_path):
    store = store_in(tmp_path)
    recording = record(store, "a", finish=False, steps=5)
    recording.flush()
    assert store.recover() == []  # it is still being written
    store.close()
    store = store_in(tmp_path)
    part = tmp_path / f"{WALL}-a.part"
    (tmp_path / f".recovering-{WALL}-a.part").mkdir()
    empty = tmp_path / f"{WALL}-b.part"
    empty.mkdir()
    noise = tmp_path / f"{WALL}-c.part"
    noise.mkdir()
    (noise / "c_0.mcap").write_bytes(b"noise")
    finished = make_bag(directory=tmp_path / f"{WALL}-d", cameras=(), episode="d")
    finished.rename(tmp_path / f"{WALL}-d.part")
    results = {r.directory: r for r in store.recover()}
    assert results[part.name].messages > 20
    assert results[empty.name].path is None
    assert "not an MCAP file" in results[noise.name].reason
    assert results[f"{WALL}-d.part"].reason == "was complete"
    assert {p.name for p in (tmp_path / QUARANTINE).iterdir()} == {empty.name, noise.name}
    assert [e.facts.id for e in store.episodes()] == ["a", "d"]
    part.mkdir()  # the last step of the first recovery did not happen
    assert [r.reason for r in store.recover()] == ["was recovered before"]
    assert not part.exists()
    store.close()


def test_labels_keep_history_and_the_last_word_counts(tmp_path):
    store = store_in(tmp_path)
    path = record(store, "a").path
    label = LabelEvent(stamp_ns=1, episode="a", rater="anna", outcome="failure", reasons=("slip",))
    later = LabelEvent(stamp_ns=2, episode="a", rater="anna", outcome="truncated")
    other = LabelEvent(stamp_ns=3, episode="a", rater="model", advantage=0.5)
    for said in (label, other, later):
        store.add_label(said)
    assert store.labels("a") == (other, later)
    assert store.episodes()[0].outcome is Outcome.TRUNCATED
    assert len(json.loads((path / "labels.json").read_text())["labels"]) == 3
    with pytest.raises(StoreError, match="0 episodes are called"):
        store.add_label(LabelEvent(stamp_ns=1, episode="b", rater="anna"))
    with pytest.raises(StoreError, match="'good' is not one of"):
        store.add_label(LabelEvent(stamp_ns=1, episode="a", rater="anna", outcome="good"))
    (path / "labels.json").write_text('{"schema_version": 99}')
    assert "schema version 99" in store.episodes()[0].problem
    assert "schema version 99" in training_error(store)
    store.close()


def training_error(store: EpisodeStore) -> str:
    with pytest.raises(BagError) as caught:
        EpisodeDataset.from_store(store, SPEC)
    return str(caught.value)


def test_verification_finds_flips_losses_and_foreign_bags(tmp_path):
    store = store_in(tmp_path)
    flipped = record(store, "flipped").path
    record(store, "lossy", **{PUBLISHED + "joint_states": "25"})
    record(store, "good")
    foreign = make_bag(directory=tmp_path / "foreign", cameras=(), steps=3)
    file = next(flipped.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    (foreign / "metadata.yaml").write_text("nonsense: [")
    found = {r.entry.path.name: r.problems for r in store.verify()}
    assert any("checksum" in p or "sha256" in p for p in found[f"{WALL}-flipped"])
    assert any("joint_states: 19 of 25 messages" in p for p in found[f"{WALL}-lossy"])
    assert found[f"{WALL}-good"] == ()
    assert any("YAML" in p for p in found["foreign"])
    text = format_verified(store.verify())
    assert "4 episodes checked, 3 with problems" in text
    reasons = {s.episode: s.reason for s in EpisodeDataset.from_store(store, SPEC).skipped}
    assert set(reasons) == {"flipped", "foreign"}
    store.close()


def test_a_single_bag_is_a_store_of_one(tmp_path):
    bag = make_bag(directory=tmp_path / "alone", cameras=(), outcome=Outcome.SUCCESS)
    store = EpisodeStore(bag)
    assert [e.facts.id for e in store.episodes()] == ["rollout-1"]
    assert EpisodeDataset.from_store(store, SPEC).episodes == ("rollout-1",)


def test_tables_say_what_is_there(tmp_path):
    store = store_in(tmp_path)
    assert format_list([]) == "no episodes"
    store.lock()
    entry = record(store, "a")
    record(store, "b")
    text = format_list(store.episodes())
    assert "2 success" in text
    assert text.splitlines()[1].split()[:2] == ["1", "a"]
    shown = format_episode(entry, read_episode(entry.path))
    for word in ("joint_states", "60.0", "success", "policy 9", str(entry.path)):
        assert word in shown
    assert [e.facts.id for e in select(store.episodes(), "2")] == ["b"]
    assert [e.facts.id for e in select(store.episodes(), "a")] == ["a"]
    store.close()


@given(st.sets(st.integers(1, 30), min_size=1), st.integers(30, 40))
def test_selections_name_numbers_and_ranges(numbers, count):
    text = ", ".join(str(n) for n in numbers)
    assert parse_selection(text, count) == tuple(sorted(n - 1 for n in numbers))
    low, high = min(numbers), max(numbers)
    assert parse_selection(f"{low}-{high}", count) == tuple(range(low - 1, high))


@pytest.mark.parametrize("text", ["", "0", "x", "1-", "3-2", "1,,2", "8", "-1", "1-99999999999"])
def test_bad_selections_are_refused(text):
    with pytest.raises(ConfigError, match="selection"):
        parse_selection(text, 7)
    assert parse_selection("1,4,5-7", 7) == (0, 3, 4, 5, 6)
    assert parse_selection("all", 3) == (0, 1, 2)


def test_an_unknown_outcome_is_refused():
    with pytest.raises(BagError, match="'great' is not one of"):
        outcome_from_text({OUTCOME: "great"}, "x")
