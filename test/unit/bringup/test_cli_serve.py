"""The verb `serve`: what it refuses before it loads anything, and what it serves."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from contracts.policy_factories import make_policy
from serving import HEADERS, TOKEN, Robot

from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.checkpoints.roles import promote
from so101.policies.remote.wire.messages import Answer
from so101_bringup import cli

ROOT = Path(__file__).parents[3]


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a --checkpoint, or a run to --follow"),
        (["--checkpoint", "nowhere"], "nowhere: no such checkpoint directory"),
        (["--checkpoint", ".", "--host", "0.0.0.0"], "needs a token"),
        (["--checkpoint", ".", "--cert", "cert.pem"], "--cert and --key belong together"),
        (["--checkpoint", ".", "--cert", "a", "--key", "b"], "no certificate and its key"),
        (["--checkpoint", ".", "--port", "70000"], "port"),
        (["--checkpoint", ".", "--token-file", "none"], "none: no token"),
        (["--checkpoint", ".", "--openpi", "keys.yaml"], "unit"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SO101_TOKEN", raising=False)
    (tmp_path / "keys.yaml").write_text("unit: degrees\n")
    assert cli.main(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_the_token_is_no_argument(capsys):
    with pytest.raises(SystemExit):
        cli.main(["serve", "--checkpoint", ".", "--token", TOKEN])
    assert "unrecognized arguments: --token" in capsys.readouterr().err


def test_a_run_is_served_behind_its_token_until_a_signal(tmp_path, token_file):
    record = TrainingRecord(algorithm="sft", step=1)
    root = tmp_path / "run" / "checkpoints"
    checkpoint = save_checkpoint(root, "sft", make_policy(), record)
    promote(root, checkpoint.path)
    command = [sys.executable, "-m", "so101_bringup.cli", "serve", "--port", "0"]
    child = subprocess.Popen(
        [*command, "--follow", str(tmp_path / "run"), "--token-file", str(token_file)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with child:
        line = child.stdout.readline()
        assert checkpoint.sha256[:12] in line and TOKEN not in line
        port = int(line.split("127.0.0.1:")[1].split()[0])
        with Robot(SimpleNamespace(port=port), HEADERS) as robot:
            found = robot.ask()
            assert isinstance(found, Answer) and found.checkpoint == checkpoint.sha256
            child.send_signal(signal.SIGTERM)
            assert child.wait(30.0) == 0
        assert child.stdout.read() == "so101 serve: ended\n"
