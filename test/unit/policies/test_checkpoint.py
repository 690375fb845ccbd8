"""Laws of checkpoints: whole or not at all, never overwritten, refused when damaged."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.policy_factories import CAMERAS, make_observation, make_policy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so101.errors import CheckpointError, StoreError
from so101.policies.checkpoints import checkpoint as checkpoints
from so101.policies.checkpoints.checkpoint import (
    load_policy,
    load_training_state,
    read_spec,
    save_checkpoint,
)
from so101.policies.checkpoints.files import EpisodeRef, TrainingRecord, verify
from so101.policies.checkpoints.json_file import read_json, to_text
from so101.policies.checkpoints.roles import (
    assign,
    latest,
    list_checkpoints,
    promote,
    record_gate,
    rollback,
)
from so101.robot import JOINTS

RECORD = TrainingRecord(
    algorithm="sft",
    config={"steps": 10, "learning_rate": 1e-3},
    seed=3,
    step=120,
    parent="ab" * 32,
    episodes=(EpisodeRef(id="demo-1", sha256="cd" * 32), EpisodeRef(id="demo-2")),
    metrics={"loss": 0.25},
    loss_curve=((1, 0.5), (2, 0.25)),
)
NOISE = np.random.default_rng(0).standard_normal((16, 6), dtype=np.float32)


def plan(policy):
    return policy.infer(make_observation(), noise=NOISE).chunk.positions


@pytest.fixture
def saved(tmp_path):
    state = {"step": torch.tensor(7), "moments": torch.rand(3)}
    return save_checkpoint(tmp_path, "sft", make_policy(seed=5), RECORD, state)


def test_loading_gives_the_saved_policy_to_the_bit(saved):
    policy = load_policy(saved.path, JOINTS, CAMERAS)
    assert np.array_equal(plan(policy), plan(make_policy(seed=5)))
    assert policy.spec == make_policy().spec == read_spec(saved.path)
    assert saved.record == RECORD
    assert load_training_state(saved.path)["step"] == 7


def test_the_directory_is_as_documented(saved, tmp_path):
    assert saved.path == tmp_path / "sft" / "step_000120"
    assert {item.name for item in saved.path.iterdir()} == {
        "model.safetensors",
        "policy.json",
        "training.json",
        "training_state.safetensors",
    }
    assert latest(tmp_path, "candidate") == saved
    assert latest(tmp_path, "promoted") is None


def test_nothing_is_overwritten_and_nothing_half_written_is_left(saved, tmp_path, monkeypatch):
    before = (saved.path / "model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="never overwritten"):
        save_checkpoint(tmp_path, "sft", make_policy(seed=6), RECORD)
    assert (saved.path / "model.safetensors").read_bytes() == before

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    with pytest.raises(StoreError, match="no space left"):
        save_checkpoint(tmp_path, "sft", make_policy(), replace(RECORD, step=121), {})
    assert [item.name for item in (tmp_path / "sft").iterdir()] == ["step_000120"]
    assert latest(tmp_path, "candidate") == saved


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    leftover = tmp_path / "sft" / ".step_000120.abc"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half")
    assert list_checkpoints(tmp_path) == []
    save_checkpoint(tmp_path, "sft", make_policy(), RECORD)
    assert [item.name for item in (tmp_path / "sft").iterdir()] == ["step_000120"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_any_flipped_byte_is_found_and_named(saved, data):
    name = data.draw(st.sampled_from(sorted(item.name for item in saved.path.iterdir())))
    file = saved.path / name
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = bytes([content[at] ^ data.draw(st.integers(1, 255))])
    file.write_bytes(content[:at] + flipped + content[at + 1 :])
    try:
        with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
            load_policy(saved.path, JOINTS, CAMERAS)
    finally:
        file.write_bytes(content)
    assert verify(saved.path) == saved


@pytest.mark.parametrize("name", ["model.safetensors", "policy.json", "training.json"])
def test_a_missing_file_is_named(saved, name):
    (saved.path / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        verify(saved.path)


@pytest.mark.parametrize("name", ["model.safetensors", "policy.json", "training.json"])
def test_a_link_is_refused(saved, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    os.rename(saved.path / name, elsewhere)
    (saved.path / name).symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        verify(saved.path)
    link = tmp_path / "sft" / "step_000121"
    link.symlink_to(saved.path)
    with pytest.raises(CheckpointError, match="link"):
        verify(link)


def reseal(path, **changes):
    """Write training.json as somebody who knows the format would."""
    values = {**json.loads((path / "training.json").read_text()), **changes}
    values.pop("sha256")
    seal = checkpoints_seal(values)
    (path / "training.json").write_text(to_text({**values, "sha256": seal}))


def checkpoints_seal(values):
    import hashlib

    return hashlib.sha256(to_text(values).encode()).hexdigest()


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret", ""])
def test_a_listed_file_outside_the_checkpoint_is_refused(saved, tmp_path, name):
    (tmp_path / "sft" / "secret").write_text("x")
    files = json.loads((saved.path / "training.json").read_text())["files"]
    reseal(saved.path, files={**files, name: "0" * 64})
    with pytest.raises(CheckpointError, match="leaves the checkpoint"):
        verify(saved.path)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"files": {}},
        {"files": [1]},
        {"episodes": "all"},
        {"step": "120"},
        {"metrics": {"loss": "low"}},
        {"extra": 1},
    ],
)
def test_a_training_record_of_another_form_is_refused(saved, changes):
    reseal(saved.path, **changes)
    with pytest.raises(CheckpointError, match=r"training\.json"):
        verify(saved.path)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1, "a": 2}', '{"a": NaN}', "[" * 100_000])
def test_json_is_read_strictly(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_a_checkpoint_for_another_robot_is_refused(tmp_path, saved):
    with pytest.raises(CheckpointError, match="trained for joints"):
        load_policy(saved.path, JOINTS[::-1], CAMERAS)
    seeing = save_checkpoint(tmp_path, "cameras", make_policy(cameras=CAMERAS), RECORD)
    with pytest.raises(CheckpointError, match="needs cameras front"):
        load_policy(seeing.path, JOINTS, ("wrist",))


def rewrite_policy_json(path, **changes):
    """Change policy.json and its recorded hash."""
    import hashlib

    values = {**json.loads((path / "policy.json").read_text()), **changes}
    (path / "policy.json").write_text(to_text(values))
    files = json.loads((path / "training.json").read_text())["files"]
    digest = hashlib.sha256((path / "policy.json").read_bytes()).hexdigest()
    reseal(path, files={**files, "policy.json": digest})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class": "os.system"}, "class 'os.system'"),
        ({"schema_version": 9}, "schema_version"),
        ({"config": {"width": 64, "depth": 2}}, "shape"),
        ({"config": {"width": 32, "depth": 3}}, "tensors"),
        ({"action_space": {"horizon": 8}}, "shape"),
        ({"joints": ["shoulder_pan"]}, "trained for joints"),
        ({"image_size": "large"}, "image_size"),
        ({"camera": []}, "unknown key 'camera'"),
    ],
)
def test_a_description_that_does_not_fit_its_weights_is_refused(saved, changes, said):
    rewrite_policy_json(saved.path, **changes)
    with pytest.raises(CheckpointError, match=said):
        load_policy(saved.path, JOINTS, CAMERAS)


@pytest.mark.parametrize("spoil", [lambda t: t.double(), lambda t: t * float("nan")])
def test_weights_of_another_type_or_not_finite_are_refused(tmp_path, spoil):
    from safetensors.torch import load_file, save_file

    policy = make_policy()
    policy.save(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({name: spoil(item) for name, item in load_file(file).items()}, file)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        policy.load(tmp_path)


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 200])
def test_a_name_that_is_not_one_is_refused(tmp_path, name):
    with pytest.raises(CheckpointError, match="not a checkpoint name"):
        save_checkpoint(tmp_path, name, make_policy(), RECORD)


def series(root, count):
    return [
        save_checkpoint(root, "rl", make_policy(seed=i), replace(RECORD, step=i))
        for i in range(count)
    ]


def test_rolling_back_returns_to_the_promotion_before(tmp_path):
    first, second, third = series(tmp_path, 3)
    for checkpoint in (first, second, second, third):
        promote(tmp_path, checkpoint.path)
    assert latest(tmp_path, "promoted") == third
    assert rollback(tmp_path) == second
    assert latest(tmp_path, "promoted") == second
    assert rollback(tmp_path) == first
    with pytest.raises(CheckpointError, match="no earlier"):
        rollback(tmp_path)
    assert latest(tmp_path, "promoted") == first
    assert latest(tmp_path, "candidate") == third


def test_the_list_shows_roles_and_damage(tmp_path):
    first, second = series(tmp_path, 2)
    promote(tmp_path, first.path)
    assign(tmp_path, "live", first.path)
    (second.path / "model.safetensors").write_bytes(b"")
    good, bad = list_checkpoints(tmp_path)
    assert (good.checkpoint, good.roles, good.problem) == (first, ("live", "promoted"), "")
    assert (bad.checkpoint, bad.roles) == (None, ("candidate",))
    assert "model.safetensors" in bad.problem
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        latest(tmp_path, "candidate")
    assert list_checkpoints(tmp_path / "nothing here") == []


@pytest.mark.parametrize(
    "pointer",
    ["/etc", "../../x/step_000001", "rl", "rl/step_1", 5, "rl/../step_000001"],
)
def test_a_pointer_that_leaves_the_root_is_refused(tmp_path, pointer):
    series(tmp_path, 1)
    values = {"schema_version": 1, "roles": {"candidate": pointer}, "history": []}
    (tmp_path / "latest.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"latest\.json"):
        latest(tmp_path, "candidate")


def test_only_checkpoints_of_the_root_get_roles(tmp_path):
    (checkpoint,) = series(tmp_path / "one", 1)
    (tmp_path / "two").mkdir()
    with pytest.raises(CheckpointError, match="is not a checkpoint of"):
        promote(tmp_path / "two", checkpoint.path)


def test_a_verdict_is_recorded_once_and_the_weights_stay(saved):
    judged = record_gate(saved.path, {"promoted": True, "success": 0.9})
    assert judged == verify(saved.path)
    assert judged.record.gate == {"promoted": True, "success": 0.9}
    assert judged.sha256 == saved.sha256
    with pytest.raises(CheckpointError, match="judged before"):
        record_gate(saved.path, {"promoted": False})
