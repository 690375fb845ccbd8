"""A job on disk is what was planned, whatever happens to the learner."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner_node.job import JobDirectory, JobStatus, TrainingJob, running_jobs
from so101.errors import ConfigError, TrainingError
from so101.policies.checkpoints.files import EpisodeRef
from so101.spec import PolicySpec

JOB = TrainingJob(
    name="sft",
    algorithm="sft",
    episodes=(EpisodeRef(id="a", sha256="0" * 64), EpisodeRef(id="b", sha256="1" * 64)),
    steps=20,
    seed=7,
    first_step=100,
    parent="sft/step_000100",
    settings={"learning_rate": 3e-4, "batch_size": 32},
    spec=PolicySpec(cameras=("front",), image_size=(96, 96), task="pick up the cube"),
    policy={"width": 64},
    dataset={"outcomes": ["success"]},
)


def test_a_job_is_read_as_it_was_written(tmp_path):
    directory = JobDirectory(tmp_path / "sft-1")
    assert not directory.exists()
    directory.create(JOB)
    record = directory.read()
    assert record.job == JOB
    assert record.status is JobStatus.RUNNING
    assert JOB.last_step == 120


@given(
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
    st.integers(0, 2**40),
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_any_job_survives_the_disk(tmp_path_factory, ids, seed, settings):
    episodes = tuple(EpisodeRef(id=item) for item in ids)
    job = replace(JOB, episodes=episodes, seed=seed, settings=settings)
    directory = JobDirectory(tmp_path_factory.mktemp("jobs"))
    directory.create(job)
    assert directory.read().job == job


def test_a_job_never_changes(tmp_path):
    directory = JobDirectory(tmp_path)
    directory.create(JOB)
    with pytest.raises(TrainingError, match="never changes"):
        directory.create(replace(JOB, seed=8))
    assert directory.read().job == JOB


def test_only_unfinished_jobs_are_found(tmp_path):
    for name in ("a", "b", "c"):
        JobDirectory(tmp_path / name).create(JOB)
    JobDirectory(tmp_path / "a").finish("ab" * 32)
    JobDirectory(tmp_path / "b").fail("the loss was not finite")
    assert [item.path.name for item in running_jobs(tmp_path)] == ["c"]
    done, failed = (JobDirectory(tmp_path / name).read() for name in ("a", "b"))
    assert (done.status, done.checkpoint) == (JobStatus.DONE, "ab" * 32)
    assert (failed.status, failed.problem) == (JobStatus.FAILED, "the loss was not finite")
    assert running_jobs(tmp_path / "nothing here") == []


def test_training_state_is_kept_until_the_job_is_done(tmp_path):
    directory = JobDirectory(tmp_path)
    directory.create(JOB)
    assert directory.load_state() is None
    directory.save_state({"x": torch.arange(3)})
    directory.save_state({"x": torch.arange(4)})
    assert torch.equal(directory.load_state()["x"], torch.arange(4))
    directory.finish("ab" * 32)
    assert directory.load_state() is None


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": 1}', '{"schema_version": 2}'])
def test_a_damaged_job_is_refused_by_name(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(TrainingError, match=r"job\.json"):
        JobDirectory(tmp_path).read()


def test_damaged_training_state_is_refused_by_name(tmp_path):
    directory = JobDirectory(tmp_path)
    directory.create(JOB)
    (tmp_path / "training_state.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(TrainingError, match="training_state"):
        directory.load_state()


@pytest.mark.parametrize("change", [{"episodes": ()}, {"steps": 0}])
def test_a_job_that_cannot_run_is_refused(change):
    with pytest.raises(ConfigError, match="'sft'"):
        replace(JOB, **change)
