"""A session that `ros2 bag record -a` recorded, too: the same episodes, and they train."""

import pytest
from integration import graphs
from integration.conftest import DEMONSTRATIONS
from rosbags.highlevel import AnyReader

from so101.data.bags.bag import open_bag
from so101.data.episodes.episode_reader import EpisodeReader
from so101.data.stores.episode_store import EpisodeStore
from so101.policies.checkpoints.roles import latest
from so101_bringup.cli import main
from so101_bringup.paths import RunPaths


@pytest.fixture(scope="module")
def theirs(record_job):
    assert record_job.run.code == 0, record_job.run.text
    return record_job.theirs


@pytest.fixture(scope="module")
def readable(theirs):
    """Its episodes, and what was refused."""
    return EpisodeReader(theirs).readable()


def test_the_bag_is_what_that_command_leaves(theirs):
    files = sorted(path.name for path in theirs.iterdir())
    assert files[:3] == ["ep1_0.mcap", "ep1_1.mcap", "ep1_2.mcap"]
    assert files[-1] == "metadata.yaml"
    bag = open_bag(theirs)
    assert (bag.damage, bag.custom_data, bag.is_ours) == ("", {}, False)
    assert {"/clock", "/rosout", "/parameter_events", "/diagnostics"} <= {*bag.types}
    with AnyReader([theirs]) as reader:
        assert sum(1 for _ in reader.messages()) == len(bag)


def test_the_episodes_are_those_of_our_recorder(readable, record_job):
    ours = graphs.episodes_of(record_job.store)
    found, refused = readable
    episodes = {episode.facts.id: episode for episode in found}
    first, *rest = ours  # while the first one began, they may not have found the arm yet
    assert len(rest) >= DEMONSTRATIONS - 1
    assert list(episodes)[-len(rest) :] == rest
    assert {*refused} <= {first}
    for name in rest:
        graphs.assert_same_columns(episodes[name], ours[name])
        assert episodes[name].facts == ours[name].facts
        assert episodes[name].labels == ours[name].labels


def test_it_is_listed_verified_and_trained_on_as_it_is(theirs, readable, tmp_path, capsys):
    (checked,) = EpisodeStore(theirs).verify()
    assert checked.problems == ()
    run = RunPaths(root=tmp_path / "run")
    words = ["train", "--state", "--steps", "1", "--set", "batch_size=8"]
    words += ["--episodes", str(theirs), "--store", str(run.root)]
    assert main(words) == 0, capsys.readouterr()
    ticks = sum(len(one) for one in readable[0])
    metrics = latest(run.checkpoints, "candidate").record.metrics
    assert metrics["dataset_steps"] + metrics["trimmed_steps"] == ticks
