"""The supervisor leaves no process behind, ends in bounded time and tells why. No ROS here."""

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from functools import partial

import pytest

from so101.errors import ConfigError, StoreError
from so101_bringup.deaths import Patience
from so101_bringup.node_spec import NodeSpec
from so101_bringup.supervisor import (
    INTERRUPTED,
    Program,
    Supervisor,
    Timing,
    parameter_text,
    program_of,
)

FAST = Timing(
    interrupt_s=0.5,
    terminate_s=0.3,
    first_pause_s=0.05,
    longest_pause_s=0.1,
    patience=Patience(most=2),
)
WAITING = "print('up', flush=True)\nimport time\ntime.sleep(60)"
STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True)\n"
    "time.sleep(60)"
)
POLITE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGINT, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
    "print('up', flush=True)\n"
    "time.sleep(60)"
)


def program(name, code, **more):
    return Program(name=name, argv=(sys.executable, "-c", code), **more)


class Screen:
    """Collects lines; acts when one is seen."""

    def __init__(self):
        self.lines = []
        self.reactions = {}

    def __call__(self, line):
        self.lines.append(line)
        for text, react in list(self.reactions.items()):
            if text in line:
                del self.reactions[text]
                react()

    def text(self):
        return "\n".join(self.lines)


def supervise(programs, screen, timing=FAST, log_directory=None, react=None):
    supervisor = Supervisor(programs, dict(os.environ), log_directory, screen, timing)
    for text, call in (react or {}).items():
        screen.reactions[text] = partial(call, supervisor)
    start = time.monotonic()
    ending = asyncio.run(supervisor.run())
    return ending, time.monotonic() - start


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(predicate, timeout_s=8.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if predicate():
            return True
        time.sleep(0.02)
    return False


def test_lines_carry_the_name_and_go_to_a_log_file(tmp_path):
    screen = Screen()
    code = (
        "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.stdout.write('no newline')"
    )
    ending, _ = supervise([program("talker", code)], screen, log_directory=tmp_path / "logs")
    assert "[talker] out" in screen.lines
    assert "[talker] err" in screen.lines
    assert "[talker] no newline" in screen.lines
    log = (tmp_path / "logs" / "talker.log").read_text().splitlines()
    assert sorted(log) == ["err", "no newline", "out"]
    assert (ending.exit_code, ending.reason) == (1, "talker ended with exit code 0")


def test_a_run_directory_that_is_deleted_costs_only_the_logs_from_then_on(tmp_path, capsys):
    screen, logs = Screen(), tmp_path / "logs"

    def delete(supervisor):
        shutil.rmtree(logs)
        supervisor.stop(reason="done")  # its word needs a log file of its own

    ending, _ = supervise([program("a", POLITE)], screen, log_directory=logs, react={"up": delete})
    assert (ending.exit_code, ending.reason) == (0, "done")
    assert "[a] bye" in screen.lines
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("so101: no more logs from here on: ")
    assert str(logs) in told


def test_a_very_long_line_is_kept():
    screen = Screen()
    supervise([program("a", "print('#' * 200_000)")], screen)
    assert sum(line.count("#") for line in screen.lines) == 200_000


def test_stopping_asks_politely_and_returns_zero():
    screen = Screen()
    ending, took_s = supervise(
        [program("a", POLITE)], screen, react={"up": lambda s: s.stop(reason="done")}
    )
    assert (ending.exit_code, ending.reason) == (0, "done")
    assert "[a] bye" in screen.lines
    assert took_s < 5.0


def test_a_program_that_does_not_listen_is_killed_in_bounded_time():
    screen = Screen()
    _, took_s = supervise([program("a", STUBBORN)], screen, react={"up": lambda s: s.stop()})
    assert took_s < 5.0
    assert "a does not end: killed" in screen.text()


def test_the_death_of_an_essential_program_ends_the_others_with_its_code():
    screen = Screen()
    programs = [program("main", "raise SystemExit(7)"), program("other", WAITING)]
    ending, _ = supervise(programs, screen)
    assert (ending.exit_code, ending.reason) == (7, "main ended with exit code 7")


def test_a_crash_is_named():
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    ending, _ = supervise([program("main", code)], Screen())
    assert (ending.exit_code, ending.reason) == (1, "main was killed by SIGSEGV")


def test_the_death_of_an_unimportant_program_is_only_told():
    screen = Screen()
    programs = [
        program("extra", "raise SystemExit(3)", is_essential=False),
        program("main", POLITE),
    ]
    ending, _ = supervise(programs, screen, react={"going on": lambda s: s.stop()})
    assert ending.exit_code == 0
    assert "extra ended with exit code 3; going on without it" in screen.text()


@pytest.mark.case(46)
def test_a_respawning_program_is_started_again_with_growing_pauses_then_given_up():
    screen = Screen()
    code = "print('born'); raise SystemExit(4)"
    programs = [program("a", code, is_essential=False, respawn=True), program("main", WAITING)]
    ending, _ = supervise(programs, screen)
    assert screen.text().count("[a   ] born") == 1 + FAST.patience.most
    assert "again in 0.05 s" in screen.text()
    assert "again in 0.1 s" in screen.text()
    assert (ending.exit_code, ending.reason) == (4, "a ended with exit code 4")


def test_a_wrong_configuration_is_not_tried_again():
    screen = Screen()
    code = "print('born'); raise SystemExit(2)"
    ending, _ = supervise([program("a", code, is_essential=False, respawn=True)], screen)
    assert screen.text().count("[a] born") == 1
    assert ending.exit_code == 2


def test_a_missing_executable_is_told():
    screen = Screen()
    ending, _ = supervise([Program(name="a", argv=("/nowhere/python",))], screen)
    assert ending.exit_code == 2
    assert "a cannot be started" in screen.text()


def test_what_a_program_started_goes_with_it():
    screen = Screen()
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('pid', child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    supervise([program("a", code)], screen, react={"pid": lambda s: s.stop()})
    pid = int(next(line for line in screen.lines if "pid" in line).split()[-1])
    assert wait_until(lambda: is_gone(pid) or is_zombie(pid))


def test_a_pipe_that_somebody_holds_is_closed_all_the_same():
    """A daemon in a session of its own outlives its parent and keeps the parent's output."""
    screen = Screen()
    code = (
        "import subprocess, sys\n"
        "code = 'import time; time.sleep(60)'\n"
        "daemon = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        "print('pid', daemon.pid, flush=True)"
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ending, lasted_s = supervise([program("a", code)], screen)
        gc.collect()
    os.kill(int(screen.lines[0].split()[-1]), signal.SIGKILL)
    assert ending.reason == "a ended with exit code 0"
    assert lasted_s < 10.0
    assert [w for w in seen if issubclass(w.category, ResourceWarning)] == []


def is_zombie(pid):
    """Dead, but its adoptive parent has not asked for the exit code."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


OUTER = """
import asyncio, os, sys
from so101_bringup.supervisor import Program, Supervisor, Timing
code = {code!r}
programs = [Program(name=n, argv=(sys.executable, "-c", "import os\\nprint(os.getpid(), flush=True)\\n" + code)) for n in "ab"]
timing = Timing(interrupt_s=1.0, terminate_s=0.5)
supervisor = Supervisor(programs, dict(os.environ), None, lambda line: print(line, flush=True), timing)
sys.exit(asyncio.run(supervisor.run()).exit_code)
"""  # noqa: E501


@pytest.fixture
def outer(request):
    """Start a supervisor of two programs as a process; return it and the programs' ids."""
    processes = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", OUTER.format(code=code)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(request.config.rootpath)},
            start_new_session=True,
        )
        processes.append(process)
        pids, ready = [], 0
        while len(pids) < 2 or ready < 2:
            word = process.stdout.readline().split()[-1]
            ready += word == "up"
            pids += [int(word)] if word.isdigit() else []
        return process, pids

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.case(46)
@pytest.mark.parametrize("code", [WAITING, STUBBORN], ids=["waiting", "stubborn"])
def test_no_orphans_when_the_supervisor_itself_is_killed(outer, code):
    process, pids = outer(code)
    process.kill()
    assert wait_until(lambda: all(is_gone(pid) or is_zombie(pid) for pid in pids))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_ctrl_c_ends_everything_within_bounds(outer, number, code):
    process, pids = outer(STUBBORN)
    start = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=10) == code
    assert time.monotonic() - start < 5.0
    assert all(is_gone(pid) for pid in pids)


def test_a_second_ctrl_c_does_not_wait(outer):
    process, pids = outer(STUBBORN)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == INTERRUPTED
    assert time.monotonic() - start < 1.4  # less than the patience with SIGINT and SIGTERM
    assert all(is_gone(pid) for pid in pids)


def test_logs_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot hold logs"):
        Supervisor([], {}, tmp_path / "file" / "logs")


def test_the_command_line_of_a_node():
    node = NodeSpec(
        executable="policy_node",
        name="policy",
        namespace="robot1",
        config_files=("policy_node.yaml",),
        parameters={"seed": 3, "task": 'say "no": now', "cameras": (), "gains": (1.0, 2.5)},
        own_files=("/home/me/mine.yaml",),
        remappings=(("joint_states", "arm/joint_states"),),
        respawn=True,
        is_essential=False,
    )
    made = program_of(node, python="python3")
    assert made.argv[:3] == ("python3", "-m", "policy_node.node")
    text = " ".join(made.argv)
    assert "-r __node:=policy -r __ns:=/robot1 -r joint_states:=arm/joint_states" in text
    assert "seed:=3" in made.argv
    assert 'task:="say \\"no\\": now"' in made.argv
    assert 'cameras:=[""]' in made.argv
    assert "gains:=[1.0, 2.5]" in made.argv
    assert made.argv[-2:] == ("--params-file", "/home/me/mine.yaml")
    assert (made.name, made.is_essential, made.respawn) == ("policy", False, True)


def test_a_node_of_a_ros_installation_is_refused():
    with pytest.raises(ConfigError, match="rviz2 needs a ROS installation"):
        program_of(NodeSpec(package="rviz2", executable="rviz2", name="rviz2"))


def test_a_parameter_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        parameter_text(float("nan"))


def test_what_a_person_has_to_put_right_is_in_the_reason():
    """A node that ends with exit code 2 has said in its last line what is wrong."""
    code = "import sys; print('node: error: no OpenGL; install it'); sys.exit({})"
    (wrong, _), (broken, _) = (
        supervise([program("node", code.format(number), is_essential=True)], Screen())
        for number in (2, 3)
    )
    assert wrong.reason == "node ended with exit code 2: no OpenGL; install it"
    assert broken.reason == "node ended with exit code 3"
