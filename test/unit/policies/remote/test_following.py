"""What is loaded to be served, and what is not: bad checkpoints change nothing."""

import shutil
import struct

import numpy as np
import pytest
import torch
from contracts.policy_factories import make_observation, make_policy
from serving import Robot, serving

from so101.action import ActionSpace
from so101.errors import CheckpointError
from so101.policies.checkpoint import save_checkpoint
from so101.policies.checkpoint_files import TrainingRecord, file_sha256, record_to_json
from so101.policies.checkpoint_roles import assign, promote
from so101.policies.json_file import read_json, write_json
from so101.policies.remote.following import Follower, load_served


def publish(root, policy=None, step=1):
    record = TrainingRecord(algorithm="sft", step=step)
    return save_checkpoint(root, "sft", policy or make_policy(seed=step), record)


def reseal(path):
    """Make a checkpoint's hashes right again after something was planted in it."""
    values = read_json(path / "training.json")
    values.pop("sha256")
    files = {name: file_sha256(path / name) for name in values.pop("files")}
    record = TrainingRecord(algorithm="sft", step=values["step"])
    write_json(path / "training.json", record_to_json(record, files))


def pickled(canary):
    """Return a pickle that makes a file when it is read."""
    return b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."


def planted(root, tmp_path, how):
    """Return a checkpoint with something wrong in it that its hashes agree with."""
    path = publish(root, step=7).path
    weights = path / "model.safetensors"
    if how == "a pickle as weights":
        weights.write_bytes(pickled(tmp_path / "canary"))
    elif how == "a torch file as weights":
        torch.save({"a": torch.zeros(1)}, weights)
    elif how == "a header of exabytes":
        weights.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    elif how == "weights of another network":
        other = publish(root.parent / "other", make_policy(space=ActionSpace(horizon=50)), 7)
        shutil.copy(other.path / "model.safetensors", weights)
    elif how == "weights that are not finite":
        policy = make_policy()
        with torch.no_grad():
            for tensor in policy.parameters():
                tensor.fill_(float("nan"))
        shutil.rmtree(path)
        path = publish(root, policy, 7).path
    elif how == "a link that leads out":
        outside = tmp_path / "outside.safetensors"
        shutil.move(weights, outside)
        weights.symlink_to(outside)
    elif how == "another arm":
        values = read_json(path / "policy.json")
        write_json(path / "policy.json", {**values, "joints": ["a", "b", "c", "d", "e", "f"]})
    if how != "a link that leads out":
        reseal(path)
    return path


WAYS = [
    "a pickle as weights",
    "a torch file as weights",
    "a header of exabytes",
    "weights of another network",
    "weights that are not finite",
    "a link that leads out",
    "another arm",
]


@pytest.mark.parametrize("how", WAYS)
def test_a_bad_checkpoint_is_refused_and_the_old_policy_serves_on(tmp_path, how):
    root = tmp_path / "checkpoints"
    first = publish(root)
    promote(root, first.path)
    served = load_served(first.path)
    follower = Follower(root, load_served)
    with serving(served.policy, sha256=served.sha256) as server, Robot(server) as robot:
        assert follower.poll(served.sha256, server.swap) == ""
        before = robot.ask(noise=np.zeros((16, 6), dtype=np.float32)).chunk.positions
        bad = planted(root, tmp_path, how)
        point(root, bad)
        line = follower.poll(served.sha256, server.swap)
        assert line.startswith("refused, the old checkpoint serves on: ")
        assert follower.poll(served.sha256, server.swap) == ""  # not tried again
        after = robot.ask(noise=np.zeros((16, 6), dtype=np.float32))
    assert after.checkpoint == first.sha256
    assert np.array_equal(after.chunk.positions, before)
    assert not (tmp_path / "canary").exists()
    with pytest.raises(CheckpointError):
        load_served(bad)


def point(root, path):
    """Promote a checkpoint as a writer without scruples would."""
    pointers = read_json(root / "latest.json")
    pointers["roles"]["promoted"] = f"{path.parent.name}/{path.name}"
    write_json(root / "latest.json", pointers)


def test_what_is_promoted_serves_from_then_on(tmp_path):
    first, second = publish(tmp_path, step=1), publish(tmp_path, step=2)
    promote(tmp_path, first.path)
    served = load_served(first.path)
    follower = Follower(tmp_path, load_served)
    noise = np.zeros((16, 6), dtype=np.float32)
    with serving(served.policy, sha256=served.sha256) as server, Robot(server) as robot:
        assert robot.ask(noise=noise).checkpoint == first.sha256
        assert follower.poll(server.served.sha256, server.swap) == ""
        promote(tmp_path, second.path)
        line = follower.poll(server.served.sha256, server.swap)
        found = robot.ask(noise=noise)
    assert line == f"serving sft/step_000002 {second.sha256[:12]}"
    assert found.checkpoint == second.sha256
    local = make_policy(seed=2).infer(make_observation(), noise=noise)
    assert np.array_equal(found.chunk.positions, local.chunk.positions)


def test_a_candidate_is_not_followed(tmp_path):
    first = publish(tmp_path, step=1)
    promote(tmp_path, first.path)
    follower = Follower(tmp_path, load_served)
    assign(tmp_path, "candidate", publish(tmp_path, step=2).path)
    assert follower.poll(first.sha256, pytest.fail) == ""


def test_a_checkpoint_that_peers_were_not_told_of_is_refused(tmp_path):
    first = publish(tmp_path, step=1)
    promote(tmp_path, first.path)
    served = load_served(first.path)
    with serving(served.policy, sha256=served.sha256) as server:
        longer = make_policy(space=ActionSpace(horizon=50))
        promote(tmp_path, publish(tmp_path, longer, step=2).path)
        line = Follower(tmp_path, load_served).poll(served.sha256, server.swap)
        assert "differ from those that are served" in line
        assert server.served.sha256 == first.sha256


def test_a_directory_without_checkpoints_is_waited_for(tmp_path):
    follower = Follower(tmp_path / "checkpoints", load_served)
    assert follower.poll("", pytest.fail) == ""
