"""Checkpoints with something wrong in them that their hashes agree with, for tests."""

import shutil
import struct

import torch
from contracts.policy_factories import make_policy

from so101.action import ActionSpace
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord, file_sha256, record_to_json
from so101.policies.checkpoints.json_file import read_json, write_json


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
    """Return one under a root. What it would run makes the file ``canary``."""
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
