"""Fine-tuning from the command line says what it left out."""

from dataclasses import replace

import pytest
import torch
from factories import make_episode, make_rollout, record_episode
from rosbag2_layout import Rosbag2Writer, offered

from so101.arrays import frozen
from so101.data.bags.messages import encode
from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.policies.checkpoints.roles import latest
from so101.robot import so101
from so101.spec import PolicySpec
from so101_bringup.cli import main
from so101_bringup.paths import RunPaths
from so101_bringup.train_job import train

torch.set_num_threads(1)


@pytest.fixture
def paths(tmp_path):
    """A run of two demonstrations; in both, the arm stands still for a while."""
    paths = RunPaths(root=tmp_path / "run")
    middle = (so101().lower + so101().upper) / 2  # a policy that leaves the limits is refused
    for number, past_last in enumerate((25, 30)):
        made = make_episode(steps=40, seed=number, idle=[(10, past_last)])
        facts = replace(made.facts, phase="demonstrations")
        motion = {
            name: frozen(middle + 0.8 * getattr(made, name))
            for name in ("positions", "commands", "actions")
        }
        directory = paths.episodes / f"20260102-03040{number}-{facts.id}"
        record_episode(directory, replace(made, facts=facts, **motion))
    return paths


def test_idle_ticks_that_are_left_out_are_told_and_kept_in_the_checkpoint(paths):
    lines = []
    assert train(paths.root, is_state=True, steps=1, seed=0, say=lines.append) == 0
    store = EpisodeStore(paths.episodes)
    dataset = EpisodeDataset.from_store(store, PolicySpec(uses_objects=True), DatasetConfig())
    idle = sum(dataset.trimmed.values())
    recorded = sum(len(read_episode(entry.path)) for entry in store.episodes())
    assert idle == recorded - len(dataset) == 8 + 13  # of 15 and 20: the last see motion coming
    assert any(f"{len(dataset)} ticks, {idle} idle ones left out" in line for line in lines)
    metrics = latest(paths.checkpoints, "candidate").record.metrics
    assert (metrics["dataset_steps"], metrics["trimmed_steps"]) == (len(dataset), idle)


def test_a_bag_of_other_names_is_read_as_it_is_told(tmp_path, capsys):
    """A leader's joint states are what its follower was asked for."""
    rollout = make_rollout(steps=20, cameras=())
    told = {
        "joint_states": "/follower/joint_states",
        "joint_commands": "/leader/joint_states",
        "simulation/objects": "/follower/simulation/objects",
    }
    kept = [m for m in rollout.messages if m.topic.name in told]
    writer = Rosbag2Writer(tmp_path / "ep1")
    for name in dict.fromkeys(m.topic for m in kept):
        writer.create_topic(told[name.name], name.type, [offered()])
    for m in kept:
        writer.write(told[m.topic.name], encode(m.message), m.log_time_ns, m.stamp_ns)
    bag = writer.close()
    words = ["train", "--state", "--steps", "1", "--set", "batch_size=8", "--episodes", str(bag)]
    words += ["--store", str(tmp_path / "run")]
    renames = "reader.renames={/leader/joint_states: joint_commands}"
    assert main(words) == 2
    assert "several robots, name one: /follower/, /leader/" in capsys.readouterr().err
    assert main([*words, "--set", "reader.namespace=follower"]) == 2
    assert "no topic /follower/joint_commands" in capsys.readouterr().err
    assert main([*words, "--set", "reader.namespace=follower", "--set", "reader.rename=x"]) == 2
    assert "did you mean 'renames'" in capsys.readouterr().err
    assert main([*words, "--set", "reader.namespace=follower", "--set", renames]) == 0
    assert "ticks" in capsys.readouterr().out
