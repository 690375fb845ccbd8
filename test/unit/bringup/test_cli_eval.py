"""`so101 eval` with time-consuming inference: what is simulated, said and refused."""

import json
from pathlib import Path

import pytest
from contracts.policy_factories import make_policy

from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101_bringup import cli


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = TrainingRecord(algorithm="sft", step=1)
    return str(save_checkpoint(tmp_path, "sft", make_policy(), record).path)


def test_latency_and_schedule_are_simulated_and_said(capsys, checkpoint):
    words = ["--latency", "0.1", "--jitter", "0.3", "--schedule", "sync", "--json", "e.json"]
    assert cli.main(["eval", checkpoint, "--episodes", "1", *words]) == 0
    said = capsys.readouterr().out
    assert "schedule sync, latency 0.1 s ± 30%" in said
    values = json.loads(Path("e.json").read_text())
    assert (values["schedule"], values["latency_s"], values["jitter"]) == ("sync", 0.1, 0.3)
    assert 0.1 < values["stalled"] < 0.25
    assert f"stalled   {100 * values['stalled']:.1f} % of the time, 0 chunks" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--schedule", "eager"], "no schedule 'eager': choose one of sync, async, rtc, ensemble"),
        (["--latency", "-1"], "simulated latency: -1.0 s is outside"),
        (["--jitter", "2"], "jitter 2.0 is outside"),
        (["--ros", "--jitter", "0.3"], "not --ros"),
        (["--server", "ws://127.0.0.1:1"], "add --ros"),
        (["--instruction", "stack the cups"], "add --ros"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(capsys, checkpoint, words, message):
    assert cli.main(["eval", checkpoint, *words]) == cli.USER_ERROR
    told = capsys.readouterr()
    assert message in told.err and len(told.err.splitlines()) == 1
