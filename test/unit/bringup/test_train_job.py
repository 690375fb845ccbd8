"""Fine-tuning from the command line says what it left out."""

from dataclasses import replace

import pytest
import torch
from factories import make_episode, record_episode

from so101.arrays import frozen
from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.policies.checkpoints.roles import latest
from so101.robot import so101
from so101.spec import PolicySpec
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
