"""From bags to a checkpoint that a policy node can load, whatever happens on the way."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from learner_node import training
from learner_node.algorithm_table import ALGORITHMS
from learner_node.algorithms.sft import Sft
from learner_node.fine_tuning import request_of
from learner_node.job import JobDirectory, JobStatus
from learner_node.params import LearnerParams
from learner_node.planning import TrainingRequest, bag_sha256, plan
from learner_node.trainer import TrainerConfig
from learner_node.training import run
from so101.errors import BagError, CheckpointError, ConfigError, TrainingError
from so101.policies.checkpoints.checkpoint import load_policy, load_training_state
from so101.policies.checkpoints.roles import latest
from so101.robot import CAMERAS, JOINTS
from so101.spec import PolicySpec

REQUEST = TrainingRequest(
    spec=PolicySpec(uses_objects=True),
    steps=12,
    seed=5,
    settings={"batch_size": 8, "warmup_steps": 2},
    policy={"width": 16, "depth": 1},
)
OFTEN = TrainerConfig(save_every=3, report_every=4)


def weights(path):
    return [item.detach() for item in load_policy(path, JOINTS, CAMERAS).parameters()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_job_becomes_a_checkpoint_that_says_how_it_came_about(setup):
    store, checkpoints, directory = setup
    job = plan(REQUEST, store, checkpoints)
    directory.create(job)
    datasets, reports = [], []
    checkpoint = run(
        directory,
        store,
        checkpoints,
        trainer_config=OFTEN,
        on_dataset=datasets.append,
        report=reports.append,
    )
    assert checkpoint == latest(checkpoints, "candidate")
    record = checkpoint.record
    assert (record.algorithm, record.seed, record.step) == ("sft", 5, 12)
    assert len(record.episodes) == 3
    assert all(len(episode.sha256) == 64 for episode in record.episodes)
    assert record.config["batch_size"] == 8
    assert record.metrics["dataset_steps"] == len(datasets[0])
    assert record.loss_curve == tuple((item.step, item.loss) for item in reports)
    assert np.isfinite(record.metrics["loss"])
    assert load_training_state(checkpoint.path)["counters"][0] == 12
    assert directory.read().status is JobStatus.DONE
    assert directory.read().checkpoint == checkpoint.sha256


@pytest.mark.parametrize("stop", [0, 7])
def test_stopping_and_running_again_gives_the_same_weights(setup, tmp_path, stop):
    store, checkpoints, directory = setup
    straight = JobDirectory(tmp_path / "jobs" / "straight")
    job = plan(REQUEST, store, checkpoints)
    straight.create(job)
    directory.create(job)
    want = run(straight, store, tmp_path / "other", trainer_config=OFTEN)
    calls = iter(range(100))
    stopped = run(
        directory,
        store,
        checkpoints,
        trainer_config=OFTEN,
        should_stop=lambda: next(calls) == stop,
    )
    assert stopped is None
    assert directory.read().status is JobStatus.RUNNING
    assert latest(checkpoints, "candidate") is None if checkpoints.exists() else True
    done = run(directory, store, checkpoints, trainer_config=OFTEN)
    assert same(weights(done.path), weights(want.path))
    assert done.sha256 == want.sha256


@pytest.mark.parametrize(
    "where",
    ["so101.policies.checkpoints.checkpoint.assign", "learner_node.job.JobDirectory.finish"],
)
def test_dying_after_publishing_publishes_once(setup, monkeypatch, where):
    store, checkpoints, directory = setup
    directory.create(plan(REQUEST, store, checkpoints))

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(KeyboardInterrupt):
            run(directory, store, checkpoints, trainer_config=OFTEN)
    assert directory.read().status is JobStatus.RUNNING
    checkpoint = run(directory, store, checkpoints, trainer_config=OFTEN)
    assert directory.read().status is JobStatus.DONE
    assert [item.name for item in checkpoint.path.parent.iterdir()] == ["step_000012"]
    assert latest(checkpoints, "candidate") == checkpoint
    assert run(directory, store, checkpoints) == checkpoint


def test_training_goes_on_from_a_parent(setup, tmp_path):
    store, checkpoints, directory = setup
    directory.create(plan(REQUEST, store, checkpoints))
    first = run(directory, store, checkpoints)
    child = JobDirectory(tmp_path / "jobs" / "two")
    request = replace(REQUEST, parent="sft/step_000012", settings={"learning_rate": 0.0})
    child.create(plan(request, store, checkpoints))
    second = run(child, store, checkpoints)
    assert second.path.name == "step_000024"
    assert second.record.parent == first.sha256
    assert same(weights(first.path), weights(second.path))


def test_an_episode_that_changed_or_is_gone_is_not_trained_on(setup):
    store, checkpoints, directory = setup
    directory.create(plan(REQUEST, store, checkpoints))
    bag = store.episodes()[1].path
    mcap = next(bag.glob("*.mcap"))
    before = bag_sha256(bag)
    (bag / "notes.txt").write_text("a good one")
    assert bag_sha256(bag) == before
    content = bytearray(mcap.read_bytes())
    content[len(content) // 2] ^= 1
    mcap.write_bytes(content)
    with pytest.raises(TrainingError, match="changed since"):
        run(directory, store, checkpoints)
    assert directory.read().status is JobStatus.FAILED
    with pytest.raises(TrainingError, match="failed before"):
        run(directory, store, checkpoints)
    shutil.rmtree(bag)
    with pytest.raises(TrainingError, match="is gone"):
        training.load_dataset(directory.read().job, store)


def test_a_policy_that_must_not_drive_is_never_published(setup, monkeypatch):
    store, checkpoints, directory = setup
    directory.create(plan(REQUEST, store, checkpoints))

    def refuse(policy, previous, where):
        raise CheckpointError(f"{where}: plans positions that are not finite")

    monkeypatch.setattr(training, "check_canary", refuse)
    with pytest.raises(CheckpointError, match="sft: step 12"):
        run(directory, store, checkpoints)
    assert not list(checkpoints.glob("*/step_*"))
    assert directory.read().status is JobStatus.FAILED


def test_asked_for_again_it_is_the_candidate_again(setup):
    store, checkpoints, directory = setup
    directory.create(plan(REQUEST, store, checkpoints))
    first = run(directory, store, checkpoints)
    other = JobDirectory(directory.path.with_name("other"))
    other.create(plan(replace(REQUEST, name="other"), store, checkpoints))
    run(other, store, checkpoints)
    assert latest(checkpoints, "candidate") != first
    assert run(directory, store, checkpoints) == first == latest(checkpoints, "candidate")


def test_an_algorithm_says_where_its_batches_come_from(setup, monkeypatch):
    seen = []

    class Picky(Sft):
        def source(self, dataset):
            seen.append(dataset)
            return dataset

    monkeypatch.setitem(ALGORITHMS, "picky", Picky)
    store, checkpoints, directory = setup
    directory.create(plan(replace(REQUEST, algorithm="picky", steps=2), store, checkpoints))
    checkpoint = run(directory, store, checkpoints, on_dataset=seen.append)
    assert len(seen) == 2 and seen[0] is seen[1]
    assert checkpoint.record.algorithm == "picky"


def test_an_algorithm_gets_only_episodes_with_the_arrays_it_needs(setup, monkeypatch):
    class Curious(Sft):
        aux_topics = ("noise",)

    monkeypatch.setitem(ALGORITHMS, "curious", Curious)
    store, checkpoints, directory = setup
    directory.create(plan(replace(REQUEST, algorithm="curious"), store, checkpoints))
    with pytest.raises(BagError, match="has no array noise of the policy; it has none"):
        run(directory, store, checkpoints)


@pytest.mark.parametrize("name", ["sfd", "group_reinforce"])
def test_what_cannot_fine_tune_is_refused_before_anything_is_collected(name):
    assert request_of(LearnerParams(cameras=())).algorithm == "sft"
    with pytest.raises(ConfigError, match=rf"'{name}' is not one of sft"):
        request_of(LearnerParams(cameras=(), algorithm=name))
