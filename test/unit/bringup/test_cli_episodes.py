"""The verb episodes as a person meets it: tables, labels with notes and undo, pictures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from factories import make_bag, make_rollout

from so101.clock import POLICY_GRID
from so101.data.episodes.episode_reader import read_episode, read_episodes
from so101.data.labels.value_series import ValueSeries
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.events import LabelEvent
from so101_bringup import cli

LIST = """\
#  episode              time         phase           outcome     said by   seconds   MB
1  demo-0000            01-02 03:04  demonstrations  success     recorder      1.0  N.N
2  demo-0001            01-02 03:04  demonstrations  failure     recorder      1.0  N.N
3  demo-0002            01-02 03:04  demonstrations  failure     bob           1.0  N.N
4  group-00-rollout-00  01-02 03:04  rollouts        unlabelled  -             1.0  N.N

4 episodes, 4.0 s, N.N MB: 2 failure, 1 success, 1 unlabelled
task: 4 'pick up the cube'
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ada")


@pytest.fixture
def store(tmp_path):
    """Three demonstrations and a rollout, the second a failure, the last not labelled."""
    root = tmp_path / "store"
    made = [
        ("demo-0000", "demonstrations", Outcome.SUCCESS),
        ("demo-0001", "demonstrations", Outcome.FAILURE),
        ("demo-0002", "demonstrations", Outcome.SUCCESS),
        ("group-00-rollout-00", "rollouts", None),
    ]
    for number, (episode, phase, outcome) in enumerate(made):
        make_bag(
            directory=root / f"20260102-03040{number}-{episode}",
            cameras=(),
            steps=30,
            seed=number,
            outcome=outcome,
            episode=episode,
            custom_data={"phase": phase},
        )
    return root


def call(capsys, store, *arguments):
    """Run an action; return its exit code, what it printed and its complaint."""
    action, *rest = (str(argument) for argument in arguments)
    code = cli.main(["episodes", action, *rest, "--store", str(store)])
    told = capsys.readouterr()
    return code, told.out, told.err


def say(capsys, store, *arguments):
    code, out, err = call(capsys, store, "label", *arguments)
    assert (code, err) == (0, "")
    return out


def outcomes(store):
    return [e.outcome and e.outcome.value for e in EpisodeStore(store).episodes()]


class TestTables:
    def test_the_list_can_be_read(self, capsys, store):
        say(capsys, store, "3", "--outcome", "failure", "--rater", "bob")
        code, out, _ = call(capsys, store, "list")
        assert code == 0
        assert re.sub(r"0\.\d(?=$| MB)", "N.N", out, flags=re.MULTILINE) == LIST

    def test_no_table_is_wider_than_a_terminal(self, capsys, tmp_path):
        root = tmp_path / "wide"
        for number in range(12):
            make_bag(
                directory=root / f"20260102-0304{number + 10}-{'x' * 60}-{number}",
                cameras=(),
                steps=4,
                outcome=Outcome.TRUNCATED,
                episode=f"{'x' * 60}-{number}",
                custom_data={"phase": "y" * 60, "task": "z" * 60},
            )
        store = EpisodeStore(root)
        for entry in store.episodes():
            store.add_label(
                LabelEvent(stamp_ns=1, episode=entry.facts.id, rater="r" * 99, outcome="discarded")
            )
        table = call(capsys, root, "list")[1].split("\n\n")[0]
        assert max(map(len, table.splitlines())) <= 100
        assert len(table.splitlines()) == 13

    def test_a_bag_cannot_command_the_terminal(self, capsys, tmp_path):
        make_bag(
            directory=tmp_path / "store" / "20260102-030405-e",
            cameras=(),
            steps=4,
            episode="\x1b[2Jred\n#",
            custom_data={"phase": "\x1b]0;title\x07", "task": "\x9b31m"},
        )
        for action in (("list",), ("verify",), ("show", "1"), ("stats",)):
            out = call(capsys, tmp_path / "store", *action)[1]
            assert "?[2Jred #" in out or action[0] in ("verify", "stats")
            assert all(c.isprintable() or c == "\n" for c in out)

    def test_what_was_never_finished_is_not_forgotten(self, capsys, store):
        part = store / "20260102-030500-demo-0009.part"
        part.mkdir()
        out = call(capsys, store, "list")[1]
        assert out.splitlines()[-1].startswith("1 unfinished: being recorded now, or 'so101 episo")
        out = call(capsys, store, "recover")[1]
        assert [line.split() for line in out.splitlines()] == [
            ["recording", "became", "messages", "what", "was", "wrong"],
            [part.name, "quarantine", "0", "holds", "no", ".mcap", "file"],
        ]
        assert "unfinished" not in call(capsys, store, "list")[1]

    def test_the_check_is_a_table_with_the_problems_below(self, capsys, store):
        file = next(store.rglob("demo-0001_0.mcap"))
        file.write_bytes(file.read_bytes()[:-300])
        code, out, _ = call(capsys, store, "verify")
        assert code == 2
        lines = out.splitlines()
        assert lines[0].split() == ["#", "episode", "messages", "verdict"]
        assert re.fullmatch(r"1  20260102-030400-demo-0000 +\d+  ok", lines[1])
        assert re.fullmatch(r"2  20260102-030401-demo-0001 +\d+  \d problems?", lines[2])
        *problems, _, totals = lines[6:]
        assert problems[1:] == ["2  demo-0001_0.mcap: its sha256 has changed"]
        assert problems[0].startswith("2  demo-0001_0.mcap: cut inside a record at byte ")
        assert totals == "4 episodes checked, 1 with problems"

    def test_of_somebody_else_s_bag_the_topics_are_named(self, capsys, store):
        bag = store / "20260102-030401-demo-0001"
        (bag / "metadata.yaml").unlink()
        (file,) = bag.glob("*.mcap")
        file.write_bytes(file.read_bytes()[:-300])
        out = call(capsys, store, "verify")[1]
        cut, *holds = out.split("\n\n")[1].splitlines()
        assert "cut inside a record" in cut
        assert holds[0].startswith("2  holds /joint_states (sensor_msgs/msg/JointState), ")
        assert all(line.startswith("   /") for line in holds[1:]) and len(holds) > 5
        assert max(map(len, holds)) <= 100

    def test_what_would_be_deleted_has_the_numbers_of_the_list(self, capsys, store):
        say(capsys, store, "3", "--outcome", "discarded")
        for more in ((), ("--yes",)):
            out = call(capsys, store, "prune", *more)[1]
            assert out.splitlines()[1].split()[:2] == ["3", "demo-0002"]

    def test_everything_said_can_be_had_as_json(self, capsys, store):
        said = json.loads(say(capsys, store, "1-2", "--outcome", "success", "--json"))
        assert [one["id"] for one in said] == ["demo-0000", "demo-0001"]
        assert [one["outcome_before"] for one in said] == ["success", "failure"]
        assert [one["outcome"] for one in said] == ["success", "success"]
        (label,) = said[0]["labels"]
        assert (label["rater"], label["outcome"], label["undoes"]) == ("ada", "success", "")
        shown = json.loads(call(capsys, store, "show", "2", "--json")[1])
        assert shown["rater"] == "ada"
        assert [one["state"] for one in shown["history"]] == ["counts"]
        assert shown["labels"] == [said[1]["labels"][0]]
        listed = json.loads(call(capsys, store, "list", "--json")[1])
        assert [one["rater"] for one in listed] == ["ada", "ada", "", ""]


class TestLabel:
    def test_it_says_what_was_said_and_what_became_of_it(self, capsys, store):
        words = ("--outcome", "failure", "--reason", "slow", "--note", "hit the box")
        out = say(capsys, store, "demo-0000", *words)
        assert out.splitlines() == [
            "episode    who  outcome               said",
            "demo-0000  ada  failure, was success  failure, slow, note: hit the box",
        ]
        assert outcomes(store)[0] == "failure"

    def test_undo_takes_the_last_word_back_step_by_step(self, capsys, store):
        for outcome in ("failure", "truncated"):
            say(capsys, store, "1", "--outcome", outcome)
        out = say(capsys, store, "1", "--undo")
        assert "ada  failure, was truncated  takes back the last word" in out
        say(capsys, store, "1", "--undo", "--note", "my mistake")
        assert outcomes(store)[0] == "success"
        code, out, err = call(capsys, store, "label", "1", "--undo")
        assert (code, out) == (cli.USER_ERROR, "")
        assert "demo-0000: nobody has said anything that could be taken back" in err

    def test_undo_leaves_everybody_else_alone_unless_it_is_told_to(self, capsys, store):
        say(capsys, store, "1", "--outcome", "failure", "--rater", "bob")
        say(capsys, store, "1", "--advantage", "0.5", "--rater", "cyd")
        code, _, err = call(capsys, store, "label", "1", "--undo")
        assert code == cli.USER_ERROR
        assert "ada has said nothing that could be taken back, but bob, cyd: --rater NAME" in err
        say(capsys, store, "1", "--undo", "--rater", "cyd")
        assert [one.rater for one in EpisodeStore(store).labels("demo-0000")] == ["bob"]
        say(capsys, store, "1", "--advantage", "1", "--rater", "cyd")
        say(capsys, store, "1", "--undo", "--all")
        assert EpisodeStore(store).labels("demo-0000") == ()
        assert outcomes(store)[0] == "success"

    def test_several_are_taken_back_or_none(self, capsys, store):
        say(capsys, store, "1", "--outcome", "failure")
        code, _, err = call(capsys, store, "label", "1,2", "--undo")
        assert code == cli.USER_ERROR and err.startswith("so101: error: demo-0001: nobody")
        assert outcomes(store)[0] == "failure"

    def test_a_note_alone_does_not_cancel_the_word_before(self, capsys, store):
        say(capsys, store, "1", "--outcome", "failure", "--reason", "slow", "--advantage", "-1")
        say(capsys, store, "1", "--note", "look at the gripper")
        (label,) = EpisodeStore(store).labels("demo-0000")
        assert (label.outcome, label.reasons, label.advantage) == ("failure", ("slow",), -1.0)
        assert label.note == "look at the gripper"
        say(capsys, store, "2", "--note", "fine")
        assert [one.note for one in EpisodeStore(store).labels("demo-0001")] == ["fine"]
        assert outcomes(store)[:2] == ["failure", "failure"]

    def test_the_history_says_what_counts(self, capsys, store):
        assert "nobody has said anything" in call(capsys, store, "show", "1", "--history")[1]
        say(capsys, store, "1", "--outcome", "failure")
        say(capsys, store, "1", "--outcome", "truncated", "--note", "cut")
        say(capsys, store, "1", "--outcome", "failure", "--rater", "bob")
        say(capsys, store, "1", "--undo", "--rater", "bob")
        out = call(capsys, store, "show", "1", "--history")[1]
        table = out.split("\n\n")[-1].splitlines()
        assert [re.sub(r"^[-\d]+ [:\d]+", "T", line) for line in table[1:]] == [
            "T  ada  replaced    failure",
            "T  ada  counts      truncated, note: cut",
            "T  bob  taken back  failure",
            "T  bob  -           takes back the last word",
        ]
        plain = call(capsys, store, "show", "1")[1]
        assert plain.splitlines()[-1] == "ada says: truncated, note: cut"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["1", "--note", "x" * 2001], "a note of 2001 characters, at most 2000"),
            (["1", "--undo", "--outcome", "success"], "say the new one in a second command"),
            (["1", "--outcome", "success", "--all"], "--all goes with --undo"),
            (["1", "--outcome", "success", "--rater", "x" * 200], "a name has 1 to 128"),
            (["1", "--note", ""], "say something"),
        ],
    )
    def test_what_makes_no_sense_is_one_line(self, capsys, store, arguments, message):
        code, out, err = call(capsys, store, "label", *arguments)
        assert (code, out, err.count("\n")) == (cli.USER_ERROR, "", 1)
        assert message in err
        assert not list(store.rglob("labels.json"))

    def test_a_broken_sidecar_is_named_and_kept(self, capsys, store):
        file = store / "20260102-030400-demo-0000" / "labels.json"
        file.write_text('{"schema_version": 9}')
        for action in (("show", "1"), ("label", "1", "--outcome", "success")):
            code, out, err = call(capsys, store, *action)
            assert (code, out, err.count("\n")) == (cli.USER_ERROR, "", 1)
            assert f"{file}: schema version 9, expected 1 to 2" in err
        assert file.read_text() == '{"schema_version": 9}'
        assert "unusable" in call(capsys, store, "list")[1]


class TestPicture:
    def test_it_is_drawn_where_one_says(self, capsys, store):
        before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
        for target, file in ((".", "20260102-030400-demo-0000.png"), ("x.png", "x.png")):
            code, out, _ = call(capsys, store, "show", "1", "--png", target)
            assert code == 0
            assert out.splitlines()[-1] == f"written to {file}"
            assert Path(file).read_bytes().startswith(b"\x89PNG")
        shown = json.loads(call(capsys, store, "show", "1", "--json", "--png", "x.png")[1])
        assert shown["png"] == "x.png"
        assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("nowhere", "neither a directory that exists nor a .png file"),
            ("nowhere/x.png", "nowhere/x.png: cannot be written"),
            ("store/20260102-030400-demo-0000", "lies in a bag"),
            ("store/20260102-030400-demo-0000/x.png", "lies in a bag"),
            ("store/20260102-030401-demo-0001/x.png", "lies in a bag"),
        ],
    )
    def test_where_it_must_not_be_it_is_one_line(self, capsys, store, target, message):
        code, out, err = call(capsys, store, "show", "1", "--png", target)
        assert (code, out, err.count("\n")) == (cli.USER_ERROR, "", 1)
        assert message in err
        assert not list(store.rglob("*.png"))

    def test_late_numbers_are_shown(self, capsys, store):
        root = EpisodeStore(store)
        ticks = read_episode(root.find("demo-0000").path).stamps_ns
        root.add_values(
            ValueSeries(
                stamp_ns=1,
                episode="demo-0000",
                name="advantage",
                rater="gae",
                ticks_ns=ticks[:3],
                values=np.array([-1.0, 0.0, 4.0]),
            )
        )
        out = call(capsys, store, "show", "1")[1]
        assert re.search(
            r"values advantage +at 3 of 30 ticks, -1 to 4, mean 1$", out, re.MULTILINE
        )
        shown = json.loads(call(capsys, store, "show", "1", "--json")[1])
        assert shown["values"]["advantage"] == [-1.0, 0.0, 4.0, *[None] * 27]


@pytest.fixture
def several(tmp_path):
    """A store of one bag that holds two episodes."""
    first = make_rollout(steps=20, episode="one", cameras=())
    begins = POLICY_GRID.stamp(330)
    second = make_rollout(
        steps=15, episode="two", start_ns=begins, seed=1, cameras=(), outcome=Outcome.FAILURE
    )
    both = first._replace(messages=first.messages + second.messages)
    directory = tmp_path / "store" / "20260102-030405-all"
    make_bag(
        directory=directory, rollout=both, cameras=(), custom_data={"id": "all"}, outcome=None
    )
    return tmp_path / "store"


def test_episodes_of_one_bag_are_listed_shown_and_labelled_by_their_ids(capsys, several):
    code, said, _ = call(capsys, several, "show", "1")
    assert code == 0
    assert re.search(r"1  one +\w+ +success +recorder", said)
    assert re.search(r"2  two +\w+ +failure +recorder", said)
    code, said, _ = call(capsys, several, "show", "1", "--of", "two")
    assert code == 0
    assert "15 (" in said
    assert call(capsys, several, "label", "1", "--of", "two", "--outcome", "discarded")[0] == 0
    (bag,) = EpisodeStore(several).episodes()
    assert bag.outcome is None  # a word on one of its episodes is none on the bag
    found = {one.facts.id: one.outcome for one in read_episodes(bag.path)}
    assert found == {"one": Outcome.SUCCESS, "two": Outcome.DISCARDED}
    assert call(capsys, several, "label", "1", "--of", "one", "--undo")[0] != 0
    assert call(capsys, several, "label", "1", "--of", "two", "--undo")[0] == 0
    assert read_episodes(bag.path)[1].outcome is Outcome.FAILURE


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("show", "1", "--of", "three"), "holds 2 episodes, 0 are called 'three'"),
        (("show", "1", "--png", "."), "holds 2 episodes, say which: --of ID"),
        (("label", "1", "--of", "three", "--outcome", "success"), "0 are called 'three'"),
    ],
)
def test_which_of_several_is_asked_for(capsys, several, arguments, complaint):
    code, _, said = call(capsys, several, *arguments)
    assert code == 2
    assert complaint in said
