"""The loader lets good checkpoints through; what is wrong with a bad one is the answer."""

import threading
import time
from dataclasses import replace

import pytest
import torch
from bad_checkpoints import WAYS, planted
from contracts.policy_factories import CAMERAS, make_policy

from policy_node.loader import CheckpointLoader, Loaded, Refused
from policy_node.params import PolicyParams
from policy_node.part import PartConfig
from so101.action import ActionSpace
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord

torch.set_num_threads(1)


def save(root, policy, step=1):
    return save_checkpoint(root, "sft", policy, TrainingRecord(algorithm="sft", step=step))


CONFIG = PartConfig.of(PolicyParams())


@pytest.fixture
def loader():
    return CheckpointLoader((), CONFIG)


def refusal(loader, path, previous=None):
    answer = loader.load(path, previous)
    assert isinstance(answer, Refused)
    assert answer.path == path
    assert str(path) in answer.problem
    return answer.problem


def test_a_good_checkpoint(loader, tmp_path):
    saved = save(tmp_path, make_policy(seed=2))
    answer = loader.load(saved.path, None)
    assert isinstance(answer, Loaded)
    assert (answer.path, answer.sha256) == (saved.path, saved.sha256)
    assert answer.policy.spec == make_policy().spec


@pytest.mark.parametrize("name", ["model.safetensors", "policy.json", "training.json"])
def test_a_flipped_byte(loader, tmp_path, name):
    path = save(tmp_path, make_policy()).path
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(bytes(content))
    assert name in refusal(loader, path)


def test_other_cameras(loader, tmp_path):
    path = save(tmp_path, make_policy(cameras=CAMERAS)).path
    problem = refusal(loader, path)
    assert all(camera in problem for camera in CAMERAS)
    assert isinstance(CheckpointLoader(CAMERAS, CONFIG).load(path, None), Loaded)


def test_other_decision_ticks(loader, tmp_path):
    path = save(tmp_path, make_policy(space=ActionSpace(execute_steps=4))).path
    assert "decides every 4 ticks, the graph every 8" in refusal(loader, path)


def test_other_joints(loader, tmp_path):
    policy = make_policy()
    spec = replace(policy.spec, joints=("lift", *policy.spec.joints[1:]))

    class Other:
        def __getattr__(self, name):
            return spec if name == "spec" else getattr(policy, name)

    assert "lift" in refusal(loader, save(tmp_path, Other()).path)


def test_weights_that_are_not_finite(loader, tmp_path):
    policy = make_policy()
    with torch.no_grad():
        next(iter(policy.parameters()))[0, 0] = float("nan")
    assert "not finite" in refusal(loader, save(tmp_path, policy).path)


@pytest.mark.parametrize("how", WAYS)
def test_what_its_hashes_agree_with_is_refused_and_not_run(loader, tmp_path, how):
    refusal(loader, planted(tmp_path / "checkpoints", tmp_path, how))
    assert not (tmp_path / "canary").exists()


def test_a_directory_that_is_none(loader, tmp_path):
    refusal(loader, tmp_path / "nowhere")


def wait_for(loader, timeout_s=20.0):
    end_s = time.monotonic() + timeout_s
    while (answer := loader.take()) is None:
        assert time.monotonic() < end_s
        time.sleep(0.005)
    return answer


def test_in_the_background_a_bad_one_stops_nobody(loader, tmp_path):
    good = save(tmp_path, make_policy())
    assert loader.take() is None
    loader.want(tmp_path / "nowhere", None)
    assert isinstance(wait_for(loader), Refused)
    loader.want(good.path, None)
    assert wait_for(loader).sha256 == good.sha256
    assert loader.take() is None


def test_of_several_that_wait_only_the_newest_is_loaded(loader, tmp_path, monkeypatch):
    paths = [save(tmp_path, make_policy(seed=k), step=k + 1).path for k in range(4)]
    is_open, is_loading, load = threading.Event(), threading.Event(), loader.load

    def slow(path, previous):
        is_loading.set()
        assert is_open.wait(20.0)
        return load(path, previous)

    monkeypatch.setattr(loader, "load", slow)
    loader.want(paths[0], None)
    assert is_loading.wait(20.0)
    for path in paths[1:]:
        loader.want(path, None)
    is_open.set()
    assert [wait_for(loader).path for _ in range(2)] == [paths[0], paths[3]]
    assert loader.take() is None
