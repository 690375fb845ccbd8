"""`so101 doctor` on recorded episodes: which are mostly pauses, and which cannot be read."""

from dataclasses import replace

import pytest
from factories import make_bag, make_episode, record_episode

from so101.episode import Outcome
from so101_bringup import cli
from so101_bringup.doctor.idle import MOST, check_idle, idle_share, read_shares


def test_motion_is_not_idle_and_a_pause_is():
    assert idle_share(make_episode(steps=40)) == 0.0
    paused = idle_share(make_episode(steps=40, idle=[(10, 30)]))
    assert 0.2 < paused < 0.5


def test_an_episode_without_ticks_is_not_idle():
    episode = make_episode()
    assert idle_share(replace(episode, actions=episode.actions[:0])) == 0.0


def test_episodes_that_are_mostly_pauses_are_named():
    (found,) = check_idle({"a": 0.1, "b": MOST + 0.01, "c": MOST}, {})
    assert not found.is_fine
    assert "b" in found.advice and "c" not in found.advice.split(":")[0]
    assert found.numbers == {"a": 0.1, "b": MOST + 0.01, "c": MOST}


def test_episodes_of_motion_are_fine():
    (found,) = check_idle({"a": 0.1, "b": 0.3, "c": 0.2}, {})
    assert found.is_fine
    assert "3 episodes: 20%" in found.text and "30% in b" in found.text


def test_an_empty_store_is_fine():
    assert [one.is_fine for one in check_idle({}, {})] == [True]


def test_what_cannot_be_read_is_a_problem_of_its_own(tmp_path):
    good = record_episode(tmp_path / "good", make_episode(idle=[(5, 35)], episode="paused"))
    bad = make_bag(directory=tmp_path / "bad", cameras=(), outcome=Outcome.SUCCESS)
    next(bad.glob("*.mcap")).write_bytes(b"nothing")
    shares, refused = read_shares([good, bad])
    assert list(shares) == ["paused"] and shares["paused"] > 0.5
    assert list(refused) == [bad.name]
    idle, unread = check_idle(shares, refused)
    assert not idle.is_fine and not unread.is_fine
    assert bad.name in unread.text


def test_discarded_episodes_do_not_matter(tmp_path):
    episode = make_episode(idle=[(0, 40)], outcome=Outcome.DISCARDED, episode="thrown-away")
    assert read_shares([record_episode(tmp_path / "bag", episode)]) == ({}, {})


@pytest.mark.parametrize(("idle", "code"), [([], 0), ([(2, 38)], 1)])
def test_the_command_looks_through_a_store(capsys, tmp_path, monkeypatch, idle, code):
    monkeypatch.chdir(tmp_path)
    record_episode(tmp_path / "store" / "one", make_episode(idle=idle, episode="one"))
    verdicts = []
    cli.main(["doctor", "--store", str(tmp_path / "store")])
    for line in capsys.readouterr().out.splitlines():
        if line[9:].startswith("idle ticks"):
            verdicts.append(line.startswith("PROBLEM"))
    assert verdicts == [bool(code)]
