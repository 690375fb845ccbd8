"""What was said of an episode: the history only grows, what is taken back no longer counts."""

import errno
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from factories import make_bag
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.data.episodes.episode_reader import read_episode
from so101.data.labels.label_file import MAX_BYTES
from so101.data.labels.labels import (
    FILE_NAME,
    MAX_NOTE,
    append_label,
    last_words,
    live_labels,
    merge_labels,
    read_labels,
    resolve_advantage,
    resolve_outcome,
    who_said,
)
from so101.data.labels.value_series import read_series
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.errors import BagError, StoreError
from so101.events import LabelEvent

ROOT = Path(__file__).parents[3]
RATERS = ("ada", "bob", "cyd")
OUTCOMES = ["", "success", "failure", "truncated", "discarded"]
raters = st.sampled_from(RATERS)
words = st.builds(
    LabelEvent,
    stamp_ns=st.integers(0, 2**63),
    episode=st.just("e"),
    rater=raters,
    outcome=st.sampled_from(OUTCOMES),
    advantage=st.none() | st.floats(-9, 9),
    reasons=st.lists(st.text(max_size=4), max_size=2).map(tuple),
    note=st.text(max_size=9),
)
undos = st.builds(
    LabelEvent, stamp_ns=st.just(1), episode=st.just("e"), rater=raters, undoes=raters
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "ada", "\ud800"])
)
KEYS = ["stamp_ns", "episode", "rater", "outcome", "advantage", "reasons", "note", "undoes"]
KEYS += ["name", "ticks_ns", "values", "replaced_ns"]
entries = st.lists(st.fixed_dictionaries({key: leaves | st.lists(leaves) for key in KEYS}))
JSON = st.fixed_dictionaries(
    {"schema_version": st.sampled_from([1, 2, 2, 2, 3]), "labels": entries, "values": entries}
)


def at_its_time(said):
    """Give everything that is said a time of its own."""
    return tuple(replace(one, stamp_ns=1000 + i) for i, one in enumerate(said))


histories = st.lists(words | undos, max_size=12).map(at_its_time)


def said(rater, outcome="", **values):
    return LabelEvent(stamp_ns=1, episode="e", rater=rater, outcome=outcome, **values)


def undo(of, by="ada", stamp_ns=2):
    return LabelEvent(stamp_ns=stamp_ns, episode="e", rater=by, undoes=of)


class TestTakingBack:
    @given(history=histories, word=words.map(lambda word: replace(word, stamp_ns=1)), by=raters)
    def test_a_word_taken_back_leaves_what_was_before(self, history, word, by):
        assert live_labels((*history, word, undo(word.rater, by))) == live_labels(history)

    @given(history=histories, of=raters)
    def test_nobody_else_is_touched(self, history, of):
        after = live_labels((*history, undo(of)))
        others = [w for w in live_labels(history) if w.rater != of]
        assert [w for w in after if w.rater != of] == others
        mine = [w for w in live_labels(history) if w.rater == of]
        assert [w for w in after if w.rater == of] == mine[:-1]

    @given(history=histories, words=st.lists(words, max_size=4))
    def test_as_many_undos_as_words_walk_all_the_way_back(self, history, words):
        words = [replace(word, stamp_ns=i + 1) for i, word in enumerate(words)]
        back = [undo(word.rater, stamp_ns=i) for i, word in enumerate(reversed(words))]
        assert live_labels((*history, *words, *back)) == live_labels(history)

    @given(history=histories, data=st.data())
    def test_what_arrives_again_is_not_said_again(self, history, data):
        again = data.draw(st.lists(st.sampled_from(history), max_size=4)) if history else []
        assert live_labels((*history, *again)) == live_labels(history)

    def test_without_a_time_nobody_knows_that_it_is_the_same(self):
        word = replace(said("ada", "failure"), stamp_ns=0)
        back = undo("ada", stamp_ns=0)
        assert live_labels((word, back, word)) == (word,)
        assert live_labels((word, word, back, back)) == ()

    @given(history=histories)
    def test_what_stands_was_said_in_that_order(self, history):
        places = [next(i for i, w in enumerate(history) if w is s) for s in live_labels(history)]
        assert places == sorted(set(places))
        assert not any(history[place].undoes for place in places)

    @given(history=histories)
    def test_the_last_words_are_one_of_each_rater_newest_last(self, history):
        standing = live_labels(history)
        newest = {word.rater: place for place, word in enumerate(standing)}
        assert last_words(history) == tuple(standing[i] for i in sorted(newest.values()))

    def test_the_word_of_the_next_rater_counts_again(self):
        history = (said("bob", "success", advantage=1.0), said("ada", "failure"))
        assert resolve_outcome(None, history) is Outcome.FAILURE
        assert who_said(None, history) == "ada"
        history = (*history, undo("ada"))
        assert resolve_outcome(None, history) is Outcome.SUCCESS
        assert (who_said(None, history), resolve_advantage(history)) == ("bob", 1.0)
        history = (*history, undo("bob"))
        assert resolve_outcome(Outcome.TRUNCATED, history) is Outcome.TRUNCATED
        assert (who_said(Outcome.TRUNCATED, history), resolve_advantage(history)) == ("", None)

    def test_nobody_completes_an_incomplete_episode(self):
        history = (said("ada", "success"),)
        assert resolve_outcome(Outcome.INCOMPLETE, history) is Outcome.INCOMPLETE
        assert who_said(Outcome.INCOMPLETE, history) == ""

    def test_what_came_while_it_ran_is_in_the_bag_too_and_is_one_word(self):
        live = said("ada", "failure")
        early = said("bob", "success")
        assert merge_labels([early, live], [live]) == (early, live)
        merged = merge_labels([early, live], [live, undo("ada")])
        assert resolve_outcome(None, merged) is Outcome.SUCCESS


class TestFile:
    @settings(max_examples=25)
    @given(history=st.lists(words | undos, max_size=8).map(at_its_time))
    def test_the_history_only_grows(self, history):
        """Whatever is appended or refused, what was written stays, line by line."""
        with tempfile.TemporaryDirectory() as name:
            path, kept, lines = Path(name), (), []
            for label in history:
                is_refused = bool(label.undoes) and not any(
                    word.rater == label.undoes for word in live_labels(kept)
                )
                if is_refused:
                    with pytest.raises(StoreError, match="no label that can be taken back"):
                        append_label(path, label)
                else:
                    append_label(path, label)
                    append_label(path, label)
                    kept = (*kept, label)
                    text = (path / FILE_NAME).read_text(encoding="utf-8")
                    now = [line.rstrip(",]") for line in text.splitlines() if "rater" in line]
                    assert now[:-1] == lines
                    lines = now
                assert read_labels(path) == kept

    @pytest.mark.parametrize(
        ("label", "message"),
        [
            (said("ada", "superb"), "'superb' is not one of success, failure"),
            (said("ada", "incomplete"), "'incomplete' is not one of success, failure"),
            (said("ada", advantage=float("nan")), "advantage nan is not finite"),
            (said("ada", advantage=float("inf")), "advantage inf is not finite"),
            (said("ada", note="x" * (MAX_NOTE + 1)), "2001 characters, at most 2000"),
            (said(" ", "success"), "rater ' ': a name has 1 to 128 characters"),
            (said("x" * 129, "success"), "a name has 1 to 128 characters"),
            (replace(undo("ada"), outcome="success"), "not both at once"),
            (replace(undo("ada"), advantage=0.0), "not both at once"),
            (replace(undo("ada"), reasons=("x",)), "not both at once"),
            (undo("ada"), "e: ada has no label that can be taken back"),
        ],
    )
    def test_what_no_label_can_say_is_refused_and_nothing_is_written(
        self, tmp_path, label, message
    ):
        with pytest.raises(StoreError, match=message):
            append_label(tmp_path, label)
        assert not list(tmp_path.iterdir())

    def test_version_1_is_read_and_its_history_kept(self, tmp_path):
        old = {
            "stamp_ns": 5,
            "episode": "e",
            "rater": "ada",
            "outcome": "failure",
            "advantage": -0.5,
            "reasons": ["slow"],
        }
        file = tmp_path / FILE_NAME
        file.write_text(json.dumps({"schema_version": 1, "labels": [old]}, indent=1))
        first = LabelEvent(
            stamp_ns=5,
            episode="e",
            rater="ada",
            outcome="failure",
            advantage=-0.5,
            reasons=("slow",),
        )
        assert read_labels(tmp_path) == (first,)
        append_label(tmp_path, undo("ada"))
        assert read_labels(tmp_path) == (first, undo("ada"))
        content = json.loads(file.read_text())
        assert content["schema_version"] == 2
        assert content["labels"][0] == old

    def test_a_later_version_is_refused_and_left_as_it_is(self, tmp_path):
        file = tmp_path / FILE_NAME
        text = '{"schema_version": 3, "labels": [], "songs": ["la"]}'
        file.write_text(text)
        for call in (
            lambda: read_labels(tmp_path),
            lambda: append_label(tmp_path, said("ada", "success")),
        ):
            with pytest.raises(BagError, match=r"labels\.json: schema version 3, expected 1 to 2"):
                call()
        assert file.read_text() == text

    def test_what_somebody_else_wrote_there_stays(self, tmp_path):
        append_label(tmp_path, said("ada", "success"))
        file = tmp_path / FILE_NAME
        content = json.loads(file.read_text())
        content["labels"][0]["mood"] = "\ud800 cheerful"
        content["songs"] = {"la": 1}
        file.write_text(json.dumps(content))
        append_label(tmp_path, said("bob", "failure"))
        after = json.loads(file.read_text())
        assert after["songs"] == {"la": 1}
        assert after["labels"][0]["mood"] == "\ud800 cheerful"
        assert [label["rater"] for label in after["labels"]] == ["ada", "bob"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([], "schema version None"),
            ({"schema_version": True, "labels": []}, "schema version True"),
            ({"schema_version": 0, "labels": []}, "schema version 0"),
            ({"schema_version": 2}, "'labels' is not a list"),
            ({"schema_version": 2, "labels": [], "values": {}}, "'values' is not a list"),
            ({"schema_version": 2, "labels": [1]}, "broken label"),
            ({"schema_version": 2, "labels": [{"rater": "ada"}]}, "broken label"),
        ],
    )
    def test_a_broken_file_is_named(self, tmp_path, content, message):
        (tmp_path / FILE_NAME).write_text(json.dumps(content))
        with pytest.raises(BagError, match=rf"labels\.json: {message}"):
            read_labels(tmp_path)

    @pytest.mark.parametrize(
        "change", [{"advantage": float("nan")}, {"outcome": "superb"}, {"stamp_ns": None}]
    )
    def test_a_broken_label_is_named(self, tmp_path, change):
        append_label(tmp_path, said("ada", "success"))
        content = json.loads((tmp_path / FILE_NAME).read_text())
        content["labels"][0] |= change
        (tmp_path / FILE_NAME).write_text(json.dumps(content))
        with pytest.raises(BagError, match="broken label"):
            read_labels(tmp_path)

    @settings(max_examples=150)
    @given(content=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
    def test_any_content_is_read_or_named(self, content):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / FILE_NAME).write_bytes(content)
            for read in (read_labels, read_series):
                with suppress(BagError):
                    assert isinstance(read(Path(name)), tuple)

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_a_full_disk_leaves_what_was_there(self, tmp_path, monkeypatch, call):
        append_label(tmp_path, said("ada", "success"))

        def refuse(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(f"so101.data.durable.os.{call}", refuse)
        with pytest.raises(StoreError, match=r"labels\.json: no space left"):
            append_label(tmp_path, said("ada", "failure"))
        assert read_labels(tmp_path) == (said("ada", "success"),)
        assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]

    def test_it_stays_small_enough_to_be_read(self, tmp_path):
        append_label(tmp_path, said("ada", "success"))
        file = tmp_path / FILE_NAME
        content = json.loads(file.read_text())
        content["pad"] = "x" * (MAX_BYTES - len(file.read_text()) - 40)
        file.write_text(json.dumps(content))
        before = file.read_text()
        with pytest.raises(StoreError, match="would be larger than 16777216 bytes"):
            append_label(tmp_path, said("bob", "failure", note="n" * 200))
        assert file.read_text() == before
        file.write_text(before + " " * (MAX_BYTES - len(before) + 1))
        with pytest.raises(BagError, match="larger than 16777216 bytes"):
            read_labels(tmp_path)


SPEAKER = """
import sys
from pathlib import Path
from so101.data.stores.episode_store import EpisodeStore
from so101.events import LabelEvent
root, rater = Path(sys.argv[1]), sys.argv[2]
store = EpisodeStore(root / "20260102-030405-e" if rater == "bob" else root)
for stamp in range(15):
    store.add_label(LabelEvent(stamp_ns=stamp, episode="e", rater=rater, outcome="success"))
    if stamp % 5 == 4:
        store.add_label(LabelEvent(stamp_ns=stamp, episode="e", rater=rater, undoes=rater))
"""


def test_two_processes_that_speak_at_once_lose_nothing(tmp_path):
    """One of them names the store, the other the bag."""
    make_bag(directory=tmp_path / "20260102-030405-e", cameras=(), steps=4, episode="e")
    speakers = [
        subprocess.Popen([sys.executable, "-c", SPEAKER, str(tmp_path), rater], cwd=ROOT)
        for rater in ("ada", "bob")
    ]
    assert [speaker.wait(60) for speaker in speakers] == [0, 0]
    history = EpisodeStore(tmp_path).label_history("e")
    for rater in ("ada", "bob"):
        mine = [label for label in history if label.rater == rater]
        assert [label.stamp_ns for label in mine if not label.undoes] == [*range(15)]
        assert sum(bool(label.undoes) for label in mine) == 3
    assert len(live_labels(history)) == 24


def test_a_bag_that_is_a_single_file_has_no_place_for_labels(tmp_path):
    bag = make_bag(directory=tmp_path / "bag", cameras=(), steps=4, episode="e")
    (file,) = bag.glob("*.mcap")
    (entry,) = EpisodeStore(file).episodes()
    with pytest.raises(StoreError, match=r"e_0\.mcap: a single file; labels\.json needs a direc"):
        EpisodeStore(file).add_label(replace(said("ada", "success"), episode=entry.facts.id))


def test_a_label_taken_back_no_longer_counts_for_list_or_reader(tmp_path):
    make_bag(
        directory=tmp_path / "20260102-030405-e",
        cameras=(),
        steps=4,
        episode="e",
        outcome=Outcome.SUCCESS,
    )
    store = EpisodeStore(tmp_path)
    store.add_label(said("ada", "failure", advantage=2.0))
    entry = store.find("e")
    assert (entry.outcome, entry.rater) == (Outcome.FAILURE, "ada")
    assert read_episode(entry.path).labels == {"advantage": 2.0}
    store.add_label(undo("ada", by="bob"))
    entry = store.find("e")
    assert (entry.outcome, entry.rater) == (Outcome.SUCCESS, "")
    episode = read_episode(entry.path)
    assert (episode.outcome, episode.labels) == (Outcome.SUCCESS, {})
    assert len(store.label_history("e")) == 2 and store.labels("e") == ()
