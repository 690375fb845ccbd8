"""One thread, as in every process of the graph; a store of three episodes."""

import shutil

import pytest
import torch
from factories import make_bag

from learner_node.job import JobDirectory
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    for i in range(3):
        outcome = Outcome.SUCCESS if i else Outcome.FAILURE
        make_bag(
            directory=root / f"20260101-00000{i}-e{i}",
            episode=f"e{i}",
            seed=i,
            cameras=(),
            outcome=outcome,
        )
    return root


@pytest.fixture
def setup(bags, tmp_path):
    root = shutil.copytree(bags, tmp_path / "episodes")
    return EpisodeStore(root), tmp_path / "checkpoints", JobDirectory(tmp_path / "jobs" / "one")
