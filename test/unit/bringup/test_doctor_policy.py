"""`so101 doctor` on a policy: does it fit, is it quick enough, and is success worth anything?"""

import json

import pytest
from contracts.policy_factories import make_policy, make_spec

from so101.action import ActionSpace
from so101.episode import Outcome
from so101.evaluation import Evaluation, Trial
from so101.policies.checkpoints.canary import CanaryConfig, canary_observations
from so101.policies.checkpoints.checkpoint import UNITS, save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.hold_policy import HoldPolicy
from so101.robot import JOINTS
from so101.spec import PolicySpec
from so101_bringup import cli
from so101_bringup.doctor.checkpoint import check_joints, check_units, check_views
from so101_bringup.doctor.graphics import ask_torch, check_gpu
from so101_bringup.doctor.latency import ROUNDS, check_latency, measure
from so101_bringup.doctor.null_policy import check_null, hold_still
from so101_bringup.doctor.policy_rounds import look_at_policy

CARD = {"torch": "2.9", "built": "12.8", "cards": [["H100", 80 * 2**30]], "error": ""}


def make_checkpoint(tmp_path, **options):
    record = TrainingRecord(algorithm="sft", step=1)
    return save_checkpoint(tmp_path, "sft", make_policy(**options), record).path


def found_at(path, cameras=("wrist", "front"), *, is_real=False):
    return {one.name: one for one in look_at_policy(path, cameras, is_real=is_real)}


def test_units_of_another_software_are_refused():
    assert check_units(UNITS, UNITS).is_fine
    wrong = check_units({**UNITS, "positions": "degrees"}, UNITS)
    assert "positions is 'degrees', expected 'rad'" in wrong.text and wrong.advice
    assert not check_units(None, UNITS).is_fine


def test_joints_in_another_order_are_another_robot():
    assert check_joints(PolicySpec()).is_fine
    assert not check_joints(PolicySpec(joints=JOINTS[::-1])).is_fine


def test_what_a_policy_looks_at_has_to_be_shown():
    spec = make_spec(cameras=("wrist", "front"))
    assert check_views(spec, ("front", "wrist"), is_real=True).is_fine
    absent = check_views(spec, ("front", "top"), is_real=True)
    assert "it looks at wrist; this robot has front, top" in absent.text and absent.advice
    unused = check_views(spec, ("front", "wrist", "top"), is_real=True)
    assert unused.is_fine and "top is not looked at" in unused.text


def test_poses_of_objects_are_known_in_simulation_only():
    spec = make_spec()
    assert check_views(spec, (), is_real=False).is_fine
    assert not check_views(spec, (), is_real=True).is_fine


def test_a_chunk_has_to_arrive_before_the_one_in_force_is_over():
    space = ActionSpace(rate_hz=30, horizon=16, execute_steps=10)  # leaves 200 ms
    assert check_latency([0.01, 0.199], space).is_fine
    late = check_latency([0.201, 0.01], space)
    assert not late.is_fine and "leaves 200 ms" in late.text
    assert not check_latency([0.001], ActionSpace(horizon=1, execute_steps=1)).is_fine


def test_the_first_inference_is_not_counted():
    policy = HoldPolicy()
    warm = [moment for number in range(10, 10 + ROUNDS) for moment in (number, number + 0.5)]
    ticks = iter([0.0, 9.0, *warm])
    took = measure(policy, canary_observations(policy.spec, CanaryConfig()), lambda: next(ticks))
    assert took == [0.5] * ROUNDS


def trial(seed, outcome):
    return Trial(seed=seed, outcome=outcome, duration_s=1.0)


def test_holding_still_must_not_succeed():
    failed = [trial(seed, Outcome.TRUNCATED) for seed in range(3)]
    assert check_null(Evaluation(trials=tuple(failed))).is_fine
    one = check_null(Evaluation(trials=(*failed[:2], trial(2, Outcome.SUCCESS))))
    assert not one.is_fine and "1 of 3" in one.text


def test_the_simulated_task_is_not_done_by_holding_still():
    assert check_null(hold_still()).is_fine


@pytest.mark.parametrize(
    ("told", "driver", "is_fine", "text"),
    [
        (CARD, "driver 570", True, "H100, 80 GiB"),
        ({**CARD, "cards": []}, "", True, "computes on the CPU"),
        ({**CARD, "cards": []}, "driver 570", False, "torch sees no card"),
        ({**CARD, "cards": [], "built": ""}, "driver 570", False, "built without CUDA"),
        ({**CARD, "error": "out of memory"}, "driver 570", False, "out of memory"),
        ({**CARD, "torch": "", "error": "No module named torch"}, "", False, "does not load"),
    ],
)
def test_gpu(told, driver, is_fine, text):
    found = check_gpu(told, driver)
    assert found.is_fine is is_fine
    assert text in found.text


def test_torch_is_asked_in_another_process_whatever_becomes_of_it():
    assert ask_torch("raise OSError('libcudart is missing')")["error"].endswith("is missing")
    assert "no answer" in ask_torch("import time; time.sleep(60)", timeout_s=0.2)["error"]
    assert ask_torch("print('noise'); print('{\"torch\": \"9\"}')") == {"torch": "9"}


def test_torch_of_this_computer_answers():
    told = ask_torch()
    assert told["torch"] and not told["error"]


def test_a_checkpoint_that_fits_has_no_problem(tmp_path):
    found = found_at(make_checkpoint(tmp_path))
    assert all(one.is_fine for one in found.values()), found
    assert set(found) == {"checkpoint", "units", "joints", "inputs", "policy", "latency"}


def test_a_checkpoint_that_lacks_a_camera_says_which(tmp_path):
    found = found_at(make_checkpoint(tmp_path, cameras=("wrist", "front")), ("front",))
    assert [name for name, one in found.items() if not one.is_fine] == ["inputs"]
    assert "wrist" in found["inputs"].text


def test_a_damaged_checkpoint_is_said_and_nothing_more(tmp_path):
    path = make_checkpoint(tmp_path)
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    found = found_at(path)
    assert list(found) == ["checkpoint"]
    assert "damaged" in found["checkpoint"].text


def test_the_command_looks_at_a_checkpoint_and_the_simulation(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = {**CARD, "cards": []}
    monkeypatch.setattr("so101_bringup.doctor.graphics.ask_torch", lambda: told)
    path = make_checkpoint(tmp_path)
    cli.main(["doctor", "--checkpoint", str(path), "--json"])
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["inputs"]["is_fine"] and found["latency"]["numbers"]["slowest_s"] > 0
    assert found["null policy"]["numbers"] == {"successes": 0, "episodes": 3}
    assert "GPU" in found
