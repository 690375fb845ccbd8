"""Recording through the nodes: repeats to the bit, loses nothing, executes what was planned."""

import json

import numpy as np
import pytest
from integration import graphs
from integration.conftest import DEMONSTRATIONS, SEED, START
from integration.graphs import assert_same_columns, episodes_of

from so101.clock import CONTROL_HZ, POLICY_GRID
from so101.data.bags.bag import open_bag
from so101.data.bags.custom_data import published_from_text
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.rewards.pick_rater import PickRater
from so101.robot import CAMERAS
from so101.simulation import gl
from so101.simulation.build import make_cell
from so101.simulation.playback import play
from so101_bringup.recorded_trials import recorded_motion


@pytest.fixture(scope="module")
def recorded(record_job):
    return episodes_of(record_job.store)


def test_a_session_says_what_it_did_and_where_it_lies(record_job):
    assert record_job.run.code == 0, record_job.run.text
    assert f"{DEMONSTRATIONS} successful demonstrations" in record_job.run.text
    assert str(record_job.store / "episodes") in record_job.run.text


def test_another_session_with_the_same_seed_repeats_to_the_bit(recorded, rl_job):
    """Whatever else ran beside it, however fast the machine was."""
    again = episodes_of(rl_job.store)
    assert len(recorded) >= DEMONSTRATIONS
    for name, episode in recorded.items():
        assert_same_columns(episode, again[name])
        assert again[name].facts == episode.facts


def test_what_was_published_was_recorded(record_job):
    for checked in EpisodeStore(record_job.store / "episodes").verify():
        assert checked.problems == ()
        published = published_from_text(checked.entry.custom_data, "bag")
        counts = open_bag(checked.entry.path).counts()
        found = {
            name: sum(counts[t] for t in counts if t.endswith(f"/{name}")) for name in published
        }
        assert found == published
        assert published["joint_states"] > 100


def test_a_plan_that_the_gate_let_through_is_what_was_executed(recorded):
    """actions[t + k] == chunk[k], for the points executed before the next plan."""
    followed = planned = 0
    for episode in recorded.values():
        rows = {int(stamp): row for row, stamp in enumerate(episode.stamps_ns)}
        stamps = sorted(episode.planned)
        for stamp, following in zip(stamps, [*stamps[1:], None], strict=True):
            if stamp not in rows:
                continue
            first = rows[stamp]
            last = len(episode) if following is None else rows.get(following, len(episode))
            actions = episode.actions[first:last]
            chunk = episode.planned[stamp][: len(actions)]
            planned += 1
            followed += bool(np.abs(actions[: len(chunk)] - chunk).max() < 1e-9)
    assert planned > 50
    assert followed > 0.6 * planned


def test_decisions_are_on_the_grid_and_teleoperation_acts_from_the_first_tick(recorded):
    for episode in recorded.values():
        first = POLICY_GRID.floor(int(episode.stamps_ns[0]))
        offsets = [POLICY_GRID.floor(stamp) - first for stamp in sorted(episode.planned)]
        assert offsets == list(range(0, len(episode), 8))  # the last one too
        assert set(episode.sources) == {SOURCE_CODES[ControlSource.TELEOP]}
        assert not episode.is_gap.any()


def test_every_episode_ends_once_and_says_how(recorded):
    for episode in recorded.values():
        is_over = episode.outcome in (Outcome.SUCCESS, Outcome.FAILURE)
        assert bool(episode.terminated[-1]) == is_over
        assert bool(episode.truncated[-1]) == (not is_over)
        assert not episode.terminated[:-1].any()


def test_a_recording_that_is_played_back_repeats(record_job):
    """As `so101 playback` does it: the gate changes nothing, and the arm is off by nothing."""
    entry = EpisodeStore(record_job.store / "episodes").episodes()[0]
    found = play(recorded_motion(entry.path), make_cell(cameras=()), PickRater())
    assert found.ticks / CONTROL_HZ > 1.0
    assert (found.max_error_rad, found.changed_ticks, found.reasons) == (0.0, 0, ())
    assert found.is_success == (entry.outcome is Outcome.SUCCESS)


@pytest.mark.skipif(gl.find_backend() is None, reason=gl.HINT)
def test_cameras_lose_no_image_and_change_nothing_else(recorded, tmp_path):
    ended = graphs.run("record", tmp_path, state=False, seed=SEED, start=START, demonstrations=1)
    assert ended.code == 0, ended.text
    seen = episodes_of(tmp_path)["demo-0000"]
    blind = recorded["demo-0000"]
    for name in ("positions", "velocities", "commands", "actions", "rewards", "is_gap"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(blind, name), err_msg=name)
    assert set(seen.images) == set(CAMERAS)
    for images in seen.images.values():
        assert all(image is not None and image.startswith(b"\xff\xd8") for image in images)
        assert len(set(images)) > 0.9 * len(images)  # the arm moves, so hardly two are the same
    (checked,) = EpisodeStore(tmp_path / "episodes").verify()
    assert checked.problems == ()


def test_stock_readers_open_a_bag(record_job):
    readers = pytest.importorskip("rosbags.highlevel")
    entry = EpisodeStore(record_job.store / "episodes").episodes()[0]
    with readers.AnyReader([entry.path]) as reader:
        count = sum(1 for _ in reader.messages())
        topics = set(reader.topics)
        connections = [c for c in reader.connections if c.topic == "/joint_states"]
        _, _, data = next(reader.messages(connections))
        message = reader.deserialize(data, connections[0].msgtype)
    assert count == entry.messages
    assert {"/joint_states", "/joint_commands", "/episode", "/simulation/objects"} <= topics
    assert len(message.position) == 6
    assert json.loads(entry.custom_data["seed"]) == entry.facts.seed
