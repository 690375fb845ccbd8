"""How fast a checkpoint's policy learns: LeRobot's own settings where it is one of LeRobot's."""

import json

import pytest

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.algorithms.sft import SftConfig
from so101.policies.training_settings import training_settings


def write(directory, policy, config=None):
    (directory / "policy.json").write_text(json.dumps(policy))
    if config is not None:
        (directory / "config.json").write_text(json.dumps(config))
    return directory


PI0 = {"type": "pi0", "optimizer_lr": 2.5e-5, "optimizer_weight_decay": 0.01}
PI0 |= {"optimizer_grad_clip_norm": 1.0, "optimizer_betas": [0.9, 0.95]}


@pytest.mark.parametrize(
    ("tuning", "asked", "rate"),
    [
        (None, "", 2.5e-5),
        (None, "expert", 2.5e-5),
        (None, "lora", 2.5e-4),
        ({"mode": "lora"}, "", 2.5e-4),
        ({"mode": "lora"}, "full", 2.5e-5),
    ],
)
def test_a_lerobot_policy_learns_at_its_own_rate_adapters_ten_times_faster(
    tmp_path, tuning, asked, rate
):
    path = write(tmp_path, {"class": "lerobot", "config": {"tuning": tuning}}, PI0)
    found = training_settings(path, asked)
    assert found.pop("learning_rate") == pytest.approx(rate)
    assert (found["weight_decay"], found["grad_clip"], found["draws"]) == (0.01, 1.0, 1)
    for kind in (SftConfig, GroupReinforceConfig):
        assert set(found) <= set(kind.__dataclass_fields__)


def test_what_its_config_does_not_say_is_left_to_the_algorithm(tmp_path):
    act = {"type": "act", "optimizer_lr": 1e-5, "optimizer_weight_decay": 1e-4}
    found = training_settings(write(tmp_path, {"class": "lerobot", "config": {}}, act))
    assert found["learning_rate"] == 1e-5 and "grad_clip" not in found


def test_a_flow_policy_says_nothing(tmp_path):
    assert training_settings(write(tmp_path, {"class": "flow", "config": {}})) == {}
