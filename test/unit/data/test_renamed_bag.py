"""The guide's way from a bag in rosetta's layout to an episode that policies are trained on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from factories import make_rollout
from rosbags.rosbag2 import StoragePlugin, Writer

from so101.data.bags.messages import definition, encode
from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.topics import JOINT_COMMANDS, JOINT_STATES, image_topic

ROOT = Path(__file__).parents[3]
THEIRS = {
    JOINT_STATES: "/follower_arm/joint_states",
    JOINT_COMMANDS: "/leader_arm/joint_states",
    image_topic("front"): "/front_camera/image_raw/compressed",
}
"""Topics of rosetta's contract for the SO-101."""

MORE = {"/joy": "sensor_msgs/msg/Joy", "/reward": "std_msgs/msg/Float64"}
"""It records everything; what is not named stays behind."""


@pytest.fixture
def rosettas(tmp_path):
    """A bag as its recorder leaves it: its topics, its prompt, no word of episodes."""
    rollout = make_rollout(steps=30)
    bag = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    with bag:
        bag.set_custom_data("lerobot.operator_prompt", "pick up the cube")
        kinds = {name: topic.type for topic, name in THEIRS.items()} | MORE
        topics = {
            name: bag.add_connection(
                name, kind, msgdef=definition(kind).text, rihs01=definition(kind).hash
            )
            for name, kind in kinds.items()
        }
        for message in rollout.messages:
            if message.topic in THEIRS:
                name = THEIRS[message.topic]
                bag.write(topics[name], message.log_time_ns, encode(message.message))
    return tmp_path / "bag"


def copy(bag, store, *pairs):
    script = ROOT / "examples" / "renamed_bag.py"
    argv = [sys.executable, str(script), str(bag), str(store), "theirs-0001", *pairs]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def test_a_bag_of_rosetta_becomes_a_demonstration(rosettas, tmp_path):
    pairs = [f"{theirs}={ours.name}" for ours, theirs in THEIRS.items()]
    done = copy(rosettas, tmp_path / "store", *pairs)
    assert done.returncode == 0, done.stderr
    (entry,) = EpisodeStore(tmp_path / "store").episodes()
    assert entry.is_demonstration
    assert (entry.facts.id, entry.facts.task) == ("theirs-0001", "pick up the cube")
    assert str(entry.path) == done.stdout.strip()
    episode = read_episode(entry.path)
    assert episode.outcome is Outcome.SUCCESS
    assert len(episode) >= 29
    assert np.isfinite(episode.actions).all()
    assert episode.images["front"][0][:3] == b"\xff\xd8\xff"


def test_a_topic_that_is_not_in_it_is_named_with_those_that_are(rosettas, tmp_path):
    done = copy(rosettas, tmp_path / "store", "/arm/joint_states=joint_states")
    assert done.returncode == 2
    assert "no topic /arm/joint_states" in done.stderr
    assert "/follower_arm/joint_states" in done.stderr
    assert "Traceback" not in done.stderr
