"""Verbs on a run's directory: episodes, checkpoints, training, evaluation, playback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from contracts.policy_factories import make_policy
from factories import make_bag

from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_lock import StoreLock
from so101.episode import Outcome
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord, verify
from so101.policies.checkpoints.roles import latest, promote
from so101.policies.checkpoints.tensor_file import read_tensors
from so101_bringup import cli

torch.set_num_threads(1)
ROOT = Path(__file__).parents[3]
FOREIGN = ROOT.parent / "shared" / "data" / "rosbag2"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ada")


@pytest.fixture
def store(tmp_path):
    """A run with three demonstrations, one of them a failure."""
    root = tmp_path / "run"
    for number, outcome in enumerate([Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS]):
        make_bag(
            directory=root / "episodes" / f"20260102-03040{number}-demo-000{number}",
            cameras=(),
            steps=40,
            seed=number,
            outcome=outcome,
            episode=f"demo-000{number}",
            custom_data={"phase": "demonstrations", "source": "teleop"},
        )
    return root


@pytest.fixture
def checkpoint(tmp_path):
    record = TrainingRecord(algorithm="sft", step=3, metrics={"loss": 0.25})
    return save_checkpoint(tmp_path / "made" / "checkpoints", "sft", make_policy(), record)


def run(capsys, *arguments):
    """Run a verb; return its exit code, its output and its complaint."""
    code = cli.main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def labels(store, episode):
    return EpisodeStore(store / "episodes").labels(episode)


class TestEpisodes:
    def test_a_run_or_a_directory_of_bags_can_be_listed(self, capsys, store):
        for path in (store, store / "episodes"):
            code, out, _ = run(capsys, "episodes", "list", "--store", path)
            assert code == 0
            assert [f"demo-000{i}" in out for i in range(4)] == [True, True, True, False]
            assert "2 success" in out and "1 failure" in out

    def test_one_can_be_shown_by_number_or_id(self, capsys, store):
        by_number = run(capsys, "episodes", "show", "2", "--store", store)
        by_id = run(capsys, "episodes", "show", "demo-0001", "--store", store)
        assert by_number == by_id
        assert by_number[0] == 0
        assert re.search(r"outcome +failure", by_id[1])

    def test_labels_are_added_and_shown(self, capsys, store):
        selection = ("episodes", "label", "1,3", "--store", store)
        said = ("--outcome", "failure", "--advantage", "-0.5", "--reason", "slow", "--reason", "x")
        assert run(capsys, *selection, *said)[0] == 0
        for episode in ("demo-0000", "demo-0002"):
            (label,) = labels(store, episode)
            assert (label.outcome, label.advantage, label.rater) == ("failure", -0.5, "ada")
            assert label.reasons == ("slow", "x")
        assert labels(store, "demo-0001") == ()
        out = run(capsys, "episodes", "show", "1", "--store", store)[1]
        assert "ada says: failure, advantage -0.5, slow, x" in out

    def test_the_last_word_of_a_rater_counts(self, capsys, store):
        for outcome in ("failure", "success"):
            run(
                capsys,
                *("episodes", "label", "demo-0001", "--store", store),
                *("--outcome", outcome, "--rater", "bob"),
            )
        assert [label.outcome for label in labels(store, "demo-0001")] == ["success"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["1"], "say something"),
            (["9", "--outcome", "success"], "outside 1..3"),
            (["nobody", "--outcome", "success"], "nobody"),
            (["1", "--outcome", "superb"], "superb"),
            (["1", "--advantage", "nan"], "not finite"),
        ],
    )
    def test_a_wrong_label_is_refused(self, capsys, store, arguments, message):
        code, out, err = run(capsys, "episodes", "label", *arguments, "--store", store)
        assert (code, out) == (cli.USER_ERROR, "")
        assert message in err
        assert not list(store.rglob("labels.json"))

    def test_damage_is_found(self, capsys, store):
        assert run(capsys, "episodes", "verify", "--store", store)[0] == 0
        file = next(store.rglob("demo-0002_0.mcap"))
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        code, out, _ = run(capsys, "episodes", "verify", "--store", store)
        assert code == 2
        assert "3 episodes checked, 1 with problems" in out

    @pytest.mark.parametrize(
        "name", ["mcap_talker", "mcap_split", "sqlite3_talker", "sqlite3_cdr_test"]
    )
    def test_bags_that_are_none_of_ours_are_named_not_thrown(self, capsys, name):
        bag = FOREIGN / name
        if not bag.exists():
            pytest.skip(f"{bag} is not here")
        code, out, err = run(capsys, "episodes", "verify", "--store", bag)
        assert (code, err) == (2, "")
        assert "no topic joint_states, joint_commands, episode" in out
        assert re.search(r"holds \S+ \(\w+/msg/\w+\)", out)

    def test_everything_can_be_had_as_numbers(self, capsys, store):
        def read(*arguments):
            code, out, _ = run(capsys, "episodes", *arguments, "--json", "--store", store)
            assert code == 0
            return json.loads(out)

        listed = read("list")
        assert [one["id"] for one in listed] == ["demo-0000", "demo-0001", "demo-0002"]
        assert [one["outcome"] for one in listed] == ["success", "failure", "success"]
        shown = read("show", "2")
        assert {key: shown[key] for key in listed[1]} == listed[1]
        assert (shown["steps"], shown["in_control"]) == (40, {"policy": 40})
        assert {stream["stream"] for stream in shown["streams"]} >= {"joint_states"}
        verified = read("verify")
        assert [one["problems"] for one in verified] == [[], [], []]
        assert read("recover") == []
        (counted,) = read("stats")
        assert (counted["episodes"], counted["outcomes"]) == (3, {"success": 2, "failure": 1})
        assert read("prune") == {"is_deleted": False, "size_bytes": 0, "episodes": []}

    def test_episodes_are_counted_for_a_person(self, capsys, store):
        out = run(capsys, "episodes", "stats", "--store", store)[1]
        head, row, *_ = out.splitlines()
        assert head.split()[:5] == ["phase", "source", "episodes", "success", "failure"]
        assert row.split()[:5] == ["demonstrations", "teleop", "3", "2", "1"]
        assert out.splitlines()[-1].startswith("3 episodes, ")

    def test_nothing_is_deleted_before_somebody_says_so(self, capsys, store):
        label = ("episodes", "label", "2", "--outcome", "discarded", "--store", store)
        assert run(capsys, *label)[0] == 0
        call = ("episodes", "prune", "--store", store)
        code, out, _ = run(capsys, *call)
        assert code == 0
        assert "demo-0001" in out and "MB would be deleted; --yes does it" in out
        assert len(EpisodeStore(store / "episodes").episodes()) == 3
        code, out, _ = run(capsys, *call, "--yes")
        assert code == 0 and "MB deleted" in out
        left = EpisodeStore(store / "episodes").episodes()
        assert [entry.facts.id for entry in left] == ["demo-0000", "demo-0002"]
        assert run(capsys, *call, "--yes")[:2] == (0, "nothing to prune\n")
        code, _, err = run(capsys, *call, "--outcome", "failure", "--yes")
        assert code == cli.USER_ERROR and "may have been learned from" in err

    def test_recovering_needs_the_store(self, capsys, store):
        assert run(capsys, "episodes", "recover", "--store", store)[1] == "nothing to recover\n"
        lock = StoreLock(store / "episodes" / ".lock")
        code, _, err = run(capsys, "episodes", "recover", "--store", store)
        lock.release()
        assert code == cli.USER_ERROR and "in use" in err


class TestCheckpoints:
    def call(self, capsys, store, *arguments):
        return run(capsys, "checkpoints", *arguments, "--store", store)

    def test_a_checkpoint_comes_in_is_promoted_and_goes_out(self, capsys, store, checkpoint):
        code, out, _ = self.call(capsys, store, "load", checkpoint.path)
        assert code == 0
        root = store / "checkpoints"
        assert out == f"candidate {root / 'sft/step_000003'}\n"
        assert latest(root, "candidate").sha256 == checkpoint.sha256
        assert self.call(capsys, store, "promote")[0] == 0
        assert latest(root, "promoted").sha256 == checkpoint.sha256
        assert self.call(capsys, store, "save", "keep")[0] == 0
        assert self.call(capsys, store, "save", "./out/best")[0] == 0
        for path in (root / "keep/step_000003", Path("out/best")):
            assert verify(path).sha256 == checkpoint.sha256
        lines = self.call(capsys, store, "list")[1].splitlines()
        assert len(lines) == 3
        assert "candidate, promoted" in lines[1] and "loss 0.2500" in lines[1]

    def test_loading_it_again_or_from_anywhere_is_fine(self, capsys, store, checkpoint):
        self.call(capsys, store, "load", checkpoint.path)
        assert self.call(capsys, store, "load", checkpoint.path)[0] == 0
        self.call(capsys, store, "promote")
        self.call(capsys, store, "save", "./best")
        assert self.call(capsys, store, "load", "./best")[0] == 0
        assert (store / "checkpoints/best/step_000003").is_dir()

    def test_another_checkpoint_of_the_same_name_is_not_overwritten(
        self, capsys, store, checkpoint
    ):
        other = save_checkpoint(
            store / "checkpoints", "sft", make_policy(seed=9), checkpoint.record
        )
        code, _, err = self.call(capsys, store, "load", checkpoint.path)
        assert code == cli.USER_ERROR and "another checkpoint" in err
        assert verify(other.path) == other

    def test_promotion_can_be_taken_back(self, capsys, store):
        root = store / "checkpoints"
        first, second = (
            save_checkpoint(
                root, "sft", make_policy(seed=n), TrainingRecord(algorithm="sft", step=n)
            )
            for n in (1, 2)
        )
        promote(root, first.path)
        assert self.call(capsys, store, "promote", second.path)[0] == 0
        assert latest(root, "promoted") == second
        assert self.call(capsys, store, "rollback")[0] == 0
        assert latest(root, "promoted") == first
        code, _, err = self.call(capsys, store, "rollback")
        assert code == cli.USER_ERROR and "no earlier" in err

    def test_a_damaged_one_is_listed_and_refused(self, capsys, store, checkpoint):
        weights = checkpoint.path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
        code, _, err = self.call(capsys, store, "load", checkpoint.path)
        assert code == cli.USER_ERROR and "damaged" in err
        assert not (store / "checkpoints/sft").exists()
        out = self.call(capsys, checkpoint.path.parents[2], "list")[1]
        assert "damaged" in out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["promote"], "no candidate"),
            (["save", "x"], "no checkpoint is promoted"),
            (["load", "/nowhere"], "/nowhere"),
        ],
    )
    def test_what_is_not_there_is_said(self, capsys, store, arguments, message):
        code, out, err = self.call(capsys, store, *arguments)
        assert (code, out) == (cli.USER_ERROR, "")
        assert message in err


class TestEvaluation:
    def test_a_checkpoint_is_evaluated_in_process(self, capsys, tmp_path, checkpoint):
        arguments = ("eval", checkpoint.path, "--episodes", "1", "--seed", "2", "--json", "e.json")
        code, out, _ = run(capsys, *arguments)
        assert code == 0
        assert "success   0/1 = 0.00" in out and "seed 2500000" in out
        values = json.loads(Path("e.json").read_text())
        assert values["successes"] == 0 and values["checkpoint"] == str(checkpoint.path)

    def test_a_run_means_its_promoted_checkpoint_else_the_candidate(self, capsys, checkpoint):
        from so101.policies.checkpoints.copy import find_checkpoint

        root = checkpoint.path.parents[1]
        newer = save_checkpoint(
            root, "sft", make_policy(), TrainingRecord(algorithm="sft", step=4)
        )
        for path in (root, root.parent):
            assert find_checkpoint(path) == newer.path
        promote(root, checkpoint.path)
        for path in (root, root.parent, checkpoint.path):
            assert find_checkpoint(path) == checkpoint.path

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--episodes", "0"], "episodes=0"),
            (["--start", "moon"], "moon"),
            (["--seed", "-1"], "seed=-1"),
        ],
    )
    def test_what_cannot_be_run_is_refused(self, capsys, checkpoint, arguments, message):
        code, out, err = run(capsys, "eval", checkpoint.path, *arguments)
        assert (code, out) == (cli.USER_ERROR, "")
        assert message in err


class TestTraining:
    def test_it_trains_on_the_demonstrations_once(self, capsys, store):
        arguments = ("train", "--store", store, "--state", "--steps", "2")
        code, out, _ = run(capsys, *arguments)
        assert code == 0
        assert "2 bags of demonstrations, 2 steps" in out
        assert "2 episodes, " in out
        candidate = latest(store / "checkpoints", "candidate")
        assert out.splitlines()[-1] == f"checkpoint {candidate.path}"
        assert {ref.id for ref in candidate.record.episodes} == {"demo-0000", "demo-0002"}
        assert run(capsys, *arguments)[1].splitlines()[-1] == out.splitlines()[-1]

    def test_a_store_in_use_is_refused(self, capsys, store):
        lock = StoreLock(store / ".lock", "so101 rl")
        code, _, err = run(capsys, "train", "--store", store, "--state")
        lock.release()
        assert code == cli.USER_ERROR and "in use" in err

    def test_without_demonstrations_it_says_so(self, capsys, store):
        run(capsys, "episodes", "label", "all", "--outcome", "failure", "--store", store)
        code, _, err = run(capsys, "train", "--store", store, "--state")
        assert code == cli.USER_ERROR
        assert "no episodes" in err or "no successful demonstration" in err

    def test_ctrl_c_saves_and_the_same_command_goes_on(self, capsys, store):
        arguments = ("train", "--store", str(store), "--state", "--steps", "100")
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "so101_bringup.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
            cwd=ROOT,
        )
        for line in process.stdout:
            if "/100 steps" in line:
                break
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - began < 5.0
        assert (process.returncode, err) == (cli.INTERRUPTED, "")
        assert out.splitlines()[-1] == "so101: interrupted; the same command goes on where it was"
        (state,) = (store / "jobs").rglob("training_state.safetensors")
        assert 50 <= int(read_tensors(state)["counters"][0]) < 100
        code, out, _ = run(capsys, *arguments)
        assert code == 0
        assert "100/100 steps" in out and " 50/100 steps" not in out
