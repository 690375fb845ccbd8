"""The guide's way from bags in rosetta's layout to a policy: read under our names, not copied."""

import numpy as np
import pytest
from factories import make_rollout
from rosbags.rosbag2 import StoragePlugin, Writer

from so101.data.bags.messages import definition, encode
from so101.data.episodes.episode_reader import read_episode
from so101.data.episodes.segments import ReaderConfig
from so101.data.stores.episode_store import EpisodeStore
from so101.topics import JOINT_COMMANDS, JOINT_STATES, image_topic
from so101_bringup.cli import main

THEIRS = {
    JOINT_STATES: "/follower_arm/joint_states",
    JOINT_COMMANDS: "/leader_arm/joint_states",
    image_topic("front"): "/front_camera/image_raw/compressed",
}
"""Topics of rosetta's contract for the SO-101; the cameras have our names."""

RENAMES = {
    "/follower_arm/joint_states": "joint_states",
    "/leader_arm/joint_states": "joint_commands",
    "/reward": "their_reward",
}
MORE = {"/joy": "sensor_msgs/msg/Joy", "/reward": "std_msgs/msg/Float64"}
"""It records everything; ``/reward`` is a name of ours with another type, and so renamed, too."""

STEPS = 30


@pytest.fixture
def rosettas(tmp_path):
    """A directory with a bag as its recorder leaves it: a prompt, no word of episodes."""
    path = tmp_path / "bags" / "take_0001"
    path.parent.mkdir()
    bag = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    with bag:
        bag.set_custom_data("lerobot.operator_prompt", "stack the cups")
        kinds = {name: topic.type for topic, name in THEIRS.items()} | MORE
        topics = {
            name: bag.add_connection(
                name, kind, msgdef=definition(kind).text, rihs01=definition(kind).hash
            )
            for name, kind in kinds.items()
        }
        for message in make_rollout(steps=STEPS).messages:
            if message.topic in THEIRS:
                name = THEIRS[message.topic]
                bag.write(topics[name], message.log_time_ns, encode(message.message))
    return path.parent


def test_such_a_bag_is_an_episode_with_its_prompt(rosettas):
    (entry,) = EpisodeStore(rosettas).episodes()
    assert (entry.facts.id, entry.facts.words) == ("take_0001", "stack the cups")
    assert entry.is_demonstration
    episode = read_episode(entry.path, ReaderConfig(renames=RENAMES))
    assert len(episode) >= STEPS - 1
    assert np.isfinite(episode.actions).all()
    assert episode.images["front"][0][:3] == b"\xff\xd8\xff"
    assert episode.facts.words == "stack the cups"


def test_the_guides_command_trains_on_it(rosettas, tmp_path, capsys):
    words = ["train", "--episodes", str(rosettas), "--store", str(tmp_path / "run")]
    words += ["--steps", "1", "--set", "batch_size=2", "--set", "cameras=[front]"]
    words += ["--set", "image_height=32", "--set", "image_width=32"]
    named = ", ".join(f"{theirs}: {ours}" for theirs, ours in RENAMES.items())
    assert main([*words, "--set", f"reader.renames={{{named}}}"]) == 0
    assert "1 bag of demonstrations" in capsys.readouterr().out
    assert main(words) == 2
    assert "several robots, name one: /follower_arm/" in capsys.readouterr().err
