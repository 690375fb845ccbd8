"""The processes of a benchmark that is killed do not outlive it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STUBBORN = "import signal,time;signal.signal(signal.SIGTERM,signal.SIG_IGN);print(1,flush=True)"
PARENT = f"""
import subprocess, sys
from parts.children import Children
code = {STUBBORN!r} + ";time.sleep(600)"
with Children() as children:
    started = [children.start([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in "ab"]
    for one in started:
        one.stdout.readline()
    print(*(one.pid for one in started), flush=True)
    sys.stdin.readline()
"""
BARE = """
import os, sys, threading
from pathlib import Path
import loop_overhead
from parts.children import Children
from parts.loop_notes import Setting
start, pids = Children.start, []
def noted(self, *args, **options):
    process = start(self, *args, **options)
    pids.append(process.pid)
    if len(pids) == 4:
        print(*pids, flush=True)
    return process
Children.start = noted
setting = Setting(
    seconds=600.0, decision_ticks=2, waits_for_frames=False, is_bare=True, checkpoint=""
)
loop_overhead.measure(setting, Path(sys.argv[1]), int(sys.argv[2]))
"""


def is_there(pid):
    """Tell whether a process runs; one that nobody has buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def killed_at_work(code, *arguments, number=signal.SIGKILL):
    """Kill a benchmark once its processes are there; return them."""
    benchmark = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'benchmarks'}:{ROOT}", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with benchmark:
        pids = [int(word) for word in benchmark.stdout.readline().split()]
        assert pids and all(is_there(pid) for pid in pids)
        benchmark.send_signal(number)
    return pids


def wait_for_the_end(pids):
    """Wait until processes are gone; the test's time-out bounds it."""
    while any(is_there(pid) for pid in pids):
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_benchmark_started_ends_though_it_ignores_sigterm(number):
    wait_for_the_end(killed_at_work(PARENT, number=number))


@pytest.mark.ros
def test_the_bare_listener_ends_with_its_benchmark(tmp_path, ros_domain):
    wait_for_the_end(killed_at_work(BARE, str(tmp_path), str(ros_domain)))
