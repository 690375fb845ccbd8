"""`so101 record --continuous`: the same demonstrations, all in one split bag."""

import pytest
from integration import graphs
from integration.conftest import SEED, START
from rosbags.highlevel import AnyReader

from so101.data.bags.bag import open_bag
from so101.data.bags.messages import decode
from so101.data.episodes.episode_reader import read_episodes
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.raw_images import raw_image
from so101.simulation import gl
from so101_bringup.cli import main

DEMONSTRATIONS = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("continuous")
    params = graphs.write_params(root / "params.yaml", recorder_node={"split_s": 2.0})
    ended = graphs.run(
        "record",
        root,
        seed=SEED,
        start=START,
        demonstrations=DEMONSTRATIONS,
        continuous=True,
        params_file=params,
    )
    assert ended.code == 0, ended.text
    return root


def test_all_demonstrations_are_in_one_bag_as_they_would_be_in_many(store, record_job):
    (entry,) = EpisodeStore(store / "episodes").episodes()
    assert entry.outcome is None
    assert len(list(entry.path.glob("*.mcap"))) > 1
    found = {episode.facts.id: episode for episode in read_episodes(entry.path)}
    alone = graphs.episodes_of(record_job.store)
    succeeded = [e for e in found.values() if e.outcome is Outcome.SUCCESS]
    assert len(succeeded) == DEMONSTRATIONS
    for name, episode in found.items():
        graphs.assert_same_columns(episode, alone[name])


def test_others_read_it_and_nothing_is_missing(store):
    (entry,) = EpisodeStore(store / "episodes").episodes()
    with AnyReader([entry.path]) as reader:
        assert sum(1 for _ in reader.messages()) == entry.messages
        assert {"/joint_states", "/episode", "/robot_description", "/task"} <= {*reader.topics}
    (checked,) = EpisodeStore(store / "episodes").verify()
    assert checked.problems == ()
    for file in entry.path.glob("*.mcap"):
        counts = open_bag(file).counts()
        assert all(counts[f"/{name}"] for name in ("task", "robot_description", "episode"))


def test_the_command_line_lists_and_verifies_it(store, capsys):
    assert main(["episodes", "list", "--store", str(store)]) == 0
    assert "continuous-0000" in capsys.readouterr().out
    assert main(["episodes", "verify", "--store", str(store)]) == 0
    assert "continuous-0000" in capsys.readouterr().out


def test_ctrl_c_closes_the_bag(tmp_path):
    with graphs.running(
        "record", tmp_path, seed=SEED, start=START, demonstrations=50, continuous=True
    ) as graph:
        graph.wait_for_line("demo-0000")
        assert graph.interrupt() < 5.0
        assert graph.wait().code == 130
    (entry,) = EpisodeStore(tmp_path / "episodes").episodes()
    assert not entry.is_incomplete
    (checked,) = EpisodeStore(tmp_path / "episodes").verify()
    assert checked.problems == ()


@pytest.mark.skipif(gl.find_backend() is None, reason=gl.HINT)
def test_raw_frames_are_recorded_on_request(tmp_path):
    ended = graphs.run(
        "record", tmp_path, state=False, seed=SEED, start=START, demonstrations=1, images="both"
    )
    assert ended.code == 0, ended.text
    (checked,) = EpisodeStore(tmp_path / "episodes").verify()
    assert checked.problems == ()
    bag = open_bag(checked.entry.path)
    for camera in ("wrist", "front"):
        raw = bag.messages([f"/{camera}_camera/image_raw"])
        jpeg = bag.messages([f"/{camera}_camera/image_raw/compressed"])
        assert len(raw) == len(jpeg) > 10
        frame = raw_image(decode(raw[0].data, "sensor_msgs/msg/Image", "bag"))
        assert frame.shape == (240, 320, 3)
        assert frame.std() > 1.0
