"""Verbs on remote stores, and uploading while episodes are recorded."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from factories import make_bag
from remote_stores import NAMES, make_store

from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.errors import ConfigError, StoreError
from so101_bringup import cli
from so101_bringup.preparation import prepare
from so101_bringup.run_job import options_of, run_job
from so101_bringup.upload_job import LONGEST_PAUSE_S, watch, watcher_argv

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOGNAME", "ada")


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("bags") / "episodes")


@pytest.fixture
def run_directory(bags, tmp_path):
    shutil.copytree(bags, tmp_path / "run" / "episodes", copy_function=shutil.copy2)
    return tmp_path / "run"


@pytest.fixture
def url(tmp_path):
    return f"file://{tmp_path}/remote"


def run(capsys, *arguments):
    """Run a verb; return its exit code, its output and its complaint."""
    code = cli.main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def episodes(capsys, action, *arguments):
    return run(capsys, "episodes", action, *arguments)


def test_upload_says_what_it_did_and_is_repeatable(capsys, run_directory, url):
    code, out, err = episodes(capsys, "upload", "--store", run_directory, "--to", url)
    assert (code, err) == (0, "")
    assert [f"{name}: sent and read back" in out for name in NAMES] == [True] * 3
    assert "3 episodes sent" in out.splitlines()[-1]
    code, out, _ = episodes(capsys, "upload", "--store", run_directory, "--to", url, "--json")
    assert (code, json.loads(out)["present"]) == (0, list(NAMES))
    (run_directory / "episodes" / NAMES[0] / "metadata.yaml").write_text("rosbag2: [")
    code, out, _ = episodes(capsys, "upload", "--store", run_directory, "--to", url)
    assert code == 3
    assert f"{NAMES[0]}: cannot be sent" in out and "2 were there" in out
    code, out, _ = episodes(
        capsys, "upload", "--store", run_directory, "--to", url, "--check", "--delete-local"
    )
    assert "2 deleted here" in out
    assert [p.name for p in (run_directory / "episodes").glob("2026*")] == [NAMES[0]]


def test_reading_verbs_take_a_url(capsys, run_directory, url, tmp_path):
    episodes(capsys, "upload", "--store", run_directory, "--to", url)
    by_directory = episodes(capsys, "list", "--store", run_directory)
    assert episodes(capsys, "list", "--store", url) == by_directory
    assert episodes(capsys, "label", "1", "--outcome", "failure", "--store", url)[0] == 0
    listed = json.loads(episodes(capsys, "list", "--json", "--store", url)[1])
    assert [one["outcome"] for one in listed] == ["failure", "success", "success"]
    (stats,) = json.loads(episodes(capsys, "stats", "--json", "--store", url)[1])
    assert stats["size_bytes"] > 3000
    code, out, _ = episodes(capsys, "verify", "--store", url, "--cache", tmp_path / "mine")
    assert (code, len(list((tmp_path / "mine").rglob("*.mcap")))) == (2, 3)
    assert "no topic joint_states" in out and "sha256" not in out
    assert "3 episodes in the index" in episodes(capsys, "index", "--store", url)[1]
    code, out, _ = episodes(
        capsys, "download", "--store", url, "--to", tmp_path / "new", "--only", "e1"
    )
    assert (code, "1 episodes copied" in out) == (0, True)
    assert [e.facts.id for e in EpisodeStore(tmp_path / "new").episodes()] == ["e1"]


def test_a_whole_episode_is_shown_by_url(capsys, tmp_path, url):
    root = tmp_path / "episodes"
    make_bag(directory=root / NAMES[0], cameras=(), steps=9, outcome=Outcome.SUCCESS)
    episodes(capsys, "upload", "--store", root, "--to", url)
    code, out, _ = episodes(capsys, "show", "1", "--store", url)
    assert (code, "joint_states" in out) == (0, True)


@pytest.mark.parametrize("action", ["prune", "recover", "upload"])
def test_what_makes_no_sense_remotely_is_refused(capsys, url, action):
    more = ["--to", url] if action == "upload" else []
    code, out, err = episodes(capsys, action, "--store", url, *more)
    assert (code, out) == (cli.USER_ERROR, "")
    assert err == f"so101: error: {action}: works on a directory; {url} is a remote store\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["episodes", "list", "--store", "http://x/y"], "unknown kind of store"),
        (["episodes", "list", "--store", "sftp://a:hush@h/y"], "no password in a URL"),
        (["episodes", "upload", "--to", "gs://x"], "no such directory"),
        (["episodes", "upload", "--store", ".", "--to", "gs://x"], "unknown kind of store"),
        (["train", "--store", "memory://x"], "with --episodes"),
        (["record", "--upload-to", "gs://x"], "unknown kind of store"),
        (["episodes", "upload", "--watch", "--check", "--to", "memory://x"], "goes without"),
    ],
)
def test_what_cannot_be_is_one_line(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, message in err, "hush" in err + out) == (cli.USER_ERROR, True, False)
    assert err.count("\n") == 1


def test_a_bad_url_is_refused_before_a_session_touches_anything(tmp_path):
    options = options_of({"robot": "sim", "state": True, "store": str(tmp_path / "new")})
    with pytest.raises(ConfigError, match="unknown kind of store"):
        run_job("record", options, {}, say=print, upload_to="ftp://x")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("code", "is_sent"), [(0, True), (3, True), (130, False), (1, False)])
def test_the_rest_is_sent_when_a_session_ended_by_itself(
    tmp_path, monkeypatch, url, code, is_sent
):
    begun, sent = [], []

    def instead(*_, others, **__):
        begun.extend(others)
        return code

    monkeypatch.setattr("so101_bringup.run_job._run_graph", instead)
    monkeypatch.setattr("so101_bringup.run_job.send_rest", lambda *where: sent.append(where[:2]))
    options = options_of({"robot": "sim", "state": True, "store": str(tmp_path / "new")})
    assert run_job("record", options, {}, say=print, upload_to=url) == code
    root = tmp_path / "new" / "episodes"
    assert [program.argv for program in begun] == [watcher_argv(root, url)]
    assert not any(program.is_essential or program.respawn for program in begun)
    assert sent == ([(root, url)] if is_sent else [])


def test_a_run_starts_from_the_demonstrations_of_a_url(capsys, run_directory, url, tmp_path):
    episodes(capsys, "upload", "--store", run_directory, "--to", url)
    episodes(capsys, "label", "3", "--outcome", "failure", "--store", url)
    options = options_of(
        {"robot": "sim", "state": True, "store": str(tmp_path / "new"), "episodes": url}
    )
    assert prepare(options).demonstrations == 2
    assert prepare(options).demonstrations == 2
    store = EpisodeStore(options.paths.episodes)
    assert [entry.facts.id for entry in store.episodes()] == ["e0", "e1"]
    episodes(capsys, "label", "all", "--outcome", "failure", "--store", url)
    with pytest.raises(StoreError, match="no demonstration"):
        prepare(options)


def test_watching_outlives_a_lost_network_and_says_what_is_left(run_directory, tmp_path, url):
    said, pauses = [], []
    blocked = tmp_path / "remote"
    blocked.touch()  # where the remote should be is a file: every attempt fails

    def sleep(pause_s):
        pauses.append(pause_s)
        if len(pauses) == 8:
            blocked.unlink()

    root = run_directory / "episodes"
    assert watch(root, url, say=said.append, should_stop=lambda: len(pauses) > 9, sleep=sleep) == 0
    assert pauses == [4, 8, 16, 32, LONGEST_PAUSE_S, *[LONGEST_PAUSE_S] * 3, 2, 2]
    assert sum("trying again in" in line for line in said) == 8
    assert [f"{name}: sent and read back" in "\n".join(said) for name in NAMES] == [True] * 3
    assert said[-1] == f"every finished episode is at {url}"
    blocked.rename(tmp_path / "aside")
    blocked.touch()
    shutil.copytree(root / NAMES[0], root / "20260102-030409-more")
    said.clear()
    stops = iter([False, True])
    watch(root, url, say=said.append, should_stop=lambda: next(stops), sleep=lambda _: None)
    assert "4 episodes are not at" in said[-1] and "so101 episodes upload --store" in said[-1]


def test_the_watching_process_yields_to_others_and_ends_when_told(run_directory, tmp_path, url):
    argv = watcher_argv(run_directory / "episodes", url)
    assert argv[0] == sys.executable
    environ = {**os.environ, "PYTHONPATH": "."}
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environ) as child:
        assert "watching" in child.stdout.readline()
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19
        for name in NAMES:
            assert name in child.stdout.readline()
        episode = run_directory / "episodes" / NAMES[0]
        shutil.copytree(episode, episode.with_name("20260102-030409-e9.part"))
        time.sleep(0.1)
        child.send_signal(signal.SIGTERM)
        rest = child.stdout.read()
        assert (child.wait(20), rest) == (0, f"every finished episode is at {url}\n")
    assert not list((tmp_path / "remote").rglob("*part*"))
