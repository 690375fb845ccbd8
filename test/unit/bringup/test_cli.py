"""The command line answers wrong words, another ROS and Ctrl-C in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from so101.errors import ConfigError
from so101_bringup import cli, cli_graph
from so101_bringup.agreement import checked_graph
from so101_bringup.cli_common import calibration_file
from so101_bringup.environment import FOREIGN_VARIABLES, WHEELS_MARK, is_clean

ROOT = Path(__file__).parents[3]
VERBS = (
    "rl",
    "record",
    "up",
    "motion",
    "call",
    "eval",
    "train",
    "playback",
    "serve",
    "bench-learn",
    "report",
    "episodes",
    "checkpoints",
    "calibrate",
    "servo-twin",
    "doctor",
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Default stores are relative; no test may leave one in the checkout."""
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    """Run the command and return its exit code."""
    try:
        return cli.main(arguments)
    except SystemExit as ending:
        return ending.code


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "so101_bringup.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=options.pop("cwd", ROOT),
        **options,
    )


def test_help_fits_on_a_screen_and_names_every_verb(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    named = {line.split()[0] for line in lines if line.startswith("    ")}
    assert set(VERBS) <= named


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys, verb):
    assert run(verb, "--help") == 0
    assert f"so101 {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recrod"], "unknown verb 'recrod'; did you mean 'record'?"),
        (["xyzzy"], "unknown verb 'xyzzy'; known: rl"),
        (["episodes", "lisst"], "unknown action 'lisst'; did you mean 'list'?"),
        ([], "required: VERB"),
        (["rl", "--sed", "x"], "--sed"),
        (["rl", "--seed", "x"], "invalid int value: 'x'"),
        (["rl", "--speed", "9"], "speed: 9.0 is outside 0..2"),
        (["rl", "--target", "1.5"], "target_success: 1.5 is outside 0..1"),
        (["rl", "--start", "moon"], "moon"),
        (["rl", "--server", "ws://gpu:8000"], "what the learner here makes never would"),
        (["rl", "--schedule", "later"], "'later' is not one of sync, async, rtc, ensemble"),
        (["up", "--server", "gpu:8000"], "'gpu:8000' is no address; say ws://host:port"),
        (["up", "--server", "ws://gpu:8000", "--checkpoint", "a"], "leave out the checkpoint a"),
        (["up", "--server-token-file", "t"], "server_token_file: is for a server"),
        (["up", "--usb-port", "/dev/arm"], "calibration: name the arm's calibration file"),
        (["up", "--robot", "real"], "usb_port: name the serial adapter"),
        (["record", "--robot", "sim", "--usb-port", "/dev/arm"], "are for --robot real"),
        (["record", "--usb-port", "/dev/arm", "--calibration", "c.json"], "teleop: choose leader"),
        (["eval", "/nowhere"], "/nowhere: no such checkpoint directory"),
        (["train", "--store", "/nowhere"], "/nowhere/episodes: no such directory"),
        (["playback", "1", "--store", "/nowhere"], "/nowhere: no such directory"),
        (["episodes", "list", "--store", "/nowhere"], "/nowhere: no such directory"),
        (["report", "/nowhere"], "/nowhere: no such directory"),
        (["call", "no/such"], "unknown service 'no/such'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys, arguments, message):
    assert run(*arguments) == cli.USER_ERROR
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith("so101")
    assert message in told.err


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["arm/estop"], ("arm/estop", True)),
        (["arm/arm"], ("arm/arm", True)),
        (["arm/arm", "false"], ("arm/arm", False)),
        (["arm/torque"], ("arm/torque", None)),  # which way is not obvious: it asks
        (["arm/recover"], ("arm/recover", None)),
    ],
)
def test_who_wants_to_stop_an_arm_types_one_word(monkeypatch, words, asked):
    calls = []

    class Client:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def call(self, service, value):
            calls.append((service, value))

    monkeypatch.setattr("so101.ros.client.GraphClient", Client)
    assert cli.main(["call", *words]) == 0
    assert calls == [asked]


def test_a_calibration_is_named_by_its_arm_or_its_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path))
    file = tmp_path / "robots/so_follower/blue.json"
    file.parent.mkdir(parents=True)
    file.touch()
    assert calibration_file("follower", "blue") == str(file)
    assert calibration_file("follower", "blue.json") == "blue.json"
    assert calibration_file("follower", "./blue") == "./blue"
    assert calibration_file("follower", "") == ""
    with pytest.raises(ConfigError, match="no calibration of the leader 'blue'"):
        calibration_file("leader", "blue")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken():
        raise ValueError("bug")

    monkeypatch.setattr(cli, "build_parser", broken)
    with pytest.raises(ValueError, match="bug"):
        cli.main(["rl"])


def test_an_error_of_several_lines_is_said_in_one(monkeypatch, capsys):
    def refuse():
        raise ConfigError("first\nsecond")

    monkeypatch.setattr(cli, "build_parser", refuse)
    assert cli.main(["rl"]) == cli.USER_ERROR
    assert capsys.readouterr().err == "so101: error: first second\n"


def test_ctrl_c_counts_whatever_an_import_makes_of_it(monkeypatch, capsys):
    def torn():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ImportError("half a module")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(cli, "build_parser", torn)
    assert cli.main(["rl"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "so101: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_clean_environment_is_clean():
    libraries = f"{sys.prefix}/lib:{sys.prefix}/lib/python3/site-packages/ros_rcl.libs"
    own = {WHEELS_MARK: "1", "LD_LIBRARY_PATH": libraries, "HOME": "/home/ada"}
    assert is_clean(own)
    assert is_clean({**own, "LD_LIBRARY_PATH": ""})
    assert not is_clean({**own, "LD_LIBRARY_PATH": f"/opt/ros/jazzy/lib:{libraries}"})
    for name in set(FOREIGN_VARIABLES) - {WHEELS_MARK, "LD_LIBRARY_PATH"}:
        assert not is_clean({**own, name: "/opt/ros/jazzy"}), name
    sourced = {"ROS_DISTRO": "jazzy", "PYTHONPATH": "/opt/ros/jazzy"}
    assert is_clean(sourced)  # a distribution's own Python: nothing there is foreign


@pytest.mark.ros
def test_another_ros_in_the_environment_stays_out(tmp_path):
    """As after ``source /opt/ros/.../setup.bash``: modules and libraries that must not be used."""
    poison = tmp_path / "opt" / "ros"
    poison.mkdir(parents=True)
    for name in ("numpy", "rclpy", "yaml"):
        (poison / f"{name}.py").write_text("raise RuntimeError('poisoned')\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(poison),
        "AMENT_PREFIX_PATH": str(poison),
        "RMW_IMPLEMENTATION": "rmw_of_another_ros",
        "LD_LIBRARY_PATH": f"{poison}:{os.environ.get('LD_LIBRARY_PATH', '')}",
    }
    process = start("episodes", "list", "--store", str(tmp_path), env=environment)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "no episodes\n"


@pytest.mark.ros
def test_ctrl_c_while_starting_ends_in_one_line(tmp_path):
    """Wherever it strikes: imports, the checkpoint, the first episode."""
    marker = f"{tmp_path}/started"
    code = (
        "import sys, threading, time, os, signal\n"
        "def strike():\n"
        f"    open({marker!r}, 'w').close()\n"
        "    time.sleep(0.3)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "from so101_bringup import cli\n"
        "threading.Thread(target=strike, daemon=True).start()\n"
        "def slow():\n"
        "    import torch\n"
        "    time.sleep(30)\n"
        "cli.build_parser = slow\n"
        "sys.exit(cli.main(['rl']))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert process.returncode == cli.INTERRUPTED, process.stderr
    assert process.stderr == "so101: interrupted\n"


def test_what_people_start_themselves_is_left_out_of_the_graph():
    words = ["record", "--state", "--teleop", "joy", "--elsewhere", "teleop_node, motion_node"]
    options = cli_graph._options(cli.build_parser().parse_args(words))
    assert options.elsewhere == ("teleop_node", "motion_node")
    assert not {node.name for node in checked_graph("record", options)} & set(options.elsewhere)
