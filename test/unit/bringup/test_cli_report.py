"""`so101 report` writes a page, a figure and numbers, or says in one line why not."""

import json

import pytest
from factories import make_bag

from so101.data.bags.custom_data import facts_to_text
from so101.episode import Outcome
from so101.episode_plan import EpisodePlan
from so101_bringup import cli


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path):
    facts = EpisodePlan(seed=2).rollout(0, 0)
    make_bag(
        directory=tmp_path / "run/episodes/20260102-030405-a",
        cameras=(),
        outcome=Outcome.SUCCESS,
        custom_data=facts_to_text(facts),
    )
    return tmp_path / "run"


def run(capsys, *arguments):
    code = cli.main(["report", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_page_figure_and_numbers_are_written(capsys, store, tmp_path):
    code, out, _ = run(capsys, store, "--json", tmp_path / "numbers.json")
    assert code == 0
    assert (store / "report/report.html").read_text().startswith("<!DOCTYPE html>")
    assert (store / "report/report.png").read_bytes().startswith(b"\x89PNG")
    values = json.loads((tmp_path / "numbers.json").read_text())
    assert (values["seed"], values["rollouts"], values["before"]) == (2, 1, None)
    assert "not evaluated" in out and "report.html" in out


def test_another_directory_can_be_named(capsys, store, tmp_path):
    assert run(capsys, store, "--out", tmp_path / "deep/out")[0] == 0
    assert {path.name for path in (tmp_path / "deep/out").iterdir()} == {
        "report.html",
        "report.png",
    }
    assert not (store / "report").exists()


def test_what_cannot_be_reported_is_said_in_one_line(capsys, store, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for arguments, message in (
        (["nowhere"], "nowhere: no such directory"),
        ([], "runs/rl: no such directory"),
        (["empty"], "empty: no rollouts among 0 episodes"),
        ([store, "--out", tmp_path / "file"], "cannot be written"),
        ([store, "--json", tmp_path / "nowhere/n.json"], "cannot be written"),
    ):
        code, _, err = run(capsys, *arguments)
        assert code == cli.USER_ERROR
        assert len(err.splitlines()) == 1
        assert message in err
