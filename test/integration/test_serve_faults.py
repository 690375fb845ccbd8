"""Hostile peers of `so101 serve`: closed in time, memory bounded, robots served meanwhile.

Everything goes over real sockets on loopback. The short form tries each attack once; the long one
(``make chaos``) keeps all of them up. Here a robot is only answered throughout; how much its
latency suffers is in ``test_serve_latency.py``.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from contracts.policy_factories import make_policy
from serving import HEADERS, TOKEN, Robot

from benchmarks.parts.serve_attackers import ATTACKS, NEED_TOKEN, Target, crowd, frame
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.remote.wire.messages import Answer

ROOT = Path(__file__).parents[2]
CLOSED_S = 5.0
GROWTH_MB = 50.0
PATIENCE_S = 60.0
INSIDE = [name for name in ATTACKS if name not in NEED_TOKEN]


class Process:
    """A running `so101 serve`."""

    def __init__(self, process, log):
        self.process, self.log = process, log
        self.port = 0
        for line in process.stdout:
            if "checkpoint" in line:
                self.port = int(line.split("127.0.0.1:")[1].split()[0])
                break

    def memory_mb(self):
        """Return its resident memory [MB]."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024

    def is_alive(self):
        return self.process.poll() is None

    def said(self):
        return self.log.read_text()


@contextmanager
def process(checkpoint, tmp_path, token=None):
    """Run the command until the block ends."""
    log = tmp_path / "stderr.txt"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **({"SO101_TOKEN": token} if token else {})}
    command = [sys.executable, "-m", "so101_bringup.cli", "serve", "--port", "0"]
    with log.open("w") as errors:
        child = subprocess.Popen(
            [*command, "--checkpoint", str(checkpoint)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        )
        try:
            yield Process(child, log)
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(20.0)
            finally:
                child.kill()
                child.stdout.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    record = TrainingRecord(algorithm="sft", step=1)
    return save_checkpoint(tmp_path_factory.mktemp("run"), "sft", make_policy(), record).path


@pytest.fixture(scope="module")
def open_server(checkpoint, tmp_path_factory):
    """A server on loopback without a token: the attacks that get in."""
    with process(checkpoint, tmp_path_factory.mktemp("open")) as server:
        yield server


@pytest.fixture(scope="module")
def closed_server(checkpoint, tmp_path_factory):
    """A server with a token."""
    with process(checkpoint, tmp_path_factory.mktemp("closed"), TOKEN) as server:
        yield server


def patient(server, headers=None):
    """Connect as a robot does: again and again."""
    end = time.monotonic() + 20.0
    while True:
        try:
            return Robot(server, headers)
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


class Good:
    """A robot that asks all the time."""

    def __init__(self, server, headers=None):
        self.answers, self.failures, self.slowest_s = 0, [], 0.0
        self._robot = patient(server, headers)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._is_over.set()
        self._thread.join(30.0)
        self._robot.__exit__()

    def _ask(self):
        while not self._is_over.is_set():
            began = time.monotonic()
            try:
                found = self._robot.ask()
            except Exception as error:
                self.failures.append(error)
                return
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if isinstance(found, Answer):
                self.answers += 1
            else:
                self.failures.append(found)
            time.sleep(0.02)


def check(session):
    """Check what became of one hostile session."""
    assert session.closed_s <= CLOSED_S
    for word in (b"Traceback", b'File "', b"so101/", b".py"):
        assert word not in session.said
    assert len(session.said) < 5000


@pytest.mark.parametrize("name", INSIDE)
def test_an_attack_is_closed_in_time_and_told_nothing(name, open_server):
    with Good(open_server) as good:
        check(ATTACKS[name](Target(open_server.port)))
        time.sleep(0.1)
    assert good.failures == []
    assert good.answers > 0
    assert open_server.is_alive()


@pytest.mark.parametrize("name", [*NEED_TOKEN, "evil origin", "slow handshake", "no websocket"])
def test_who_does_not_know_the_token_is_closed_in_time(name, closed_server):
    with Good(closed_server, HEADERS) as good:
        session = ATTACKS[name](Target(closed_server.port))
        check(session)
        time.sleep(0.1)
    assert b" 101 " not in session.said
    assert good.failures == [] and good.answers > 0


@pytest.fixture
def many_files():
    """Room for a thousand sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"this system allows {hard} open files, needs 4096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_connections_are_closed_and_cost_little(open_server, many_files):
    before = open_server.memory_mb()
    with Good(open_server) as good:
        sessions = crowd(Target(open_server.port), 1000)
        for session in sessions:
            check(session)
        assert len(sessions) == 1000
    assert good.failures == [] and good.answers > 0
    assert open_server.memory_mb() - before < GROWTH_MB
    with patient(open_server) as late:  # and there is room again
        assert isinstance(late.ask(), Answer)


def test_unfinished_messages_do_not_fill_the_memory(open_server):
    """Thirty peers send 7 MB each of a message that they never end."""
    before, target = open_server.memory_mb(), Target(open_server.port)
    peak = 0.0
    with Good(open_server) as good, ExitStack() as stack:
        for _ in range(30):
            try:
                peer = stack.enter_context(target.enter())
                peer.sendall(frame(8 * 1024 * 1024) + b"x" * (7 * 1024 * 1024))
            except OSError:
                continue  # it was cut already
            peak = max(peak, open_server.memory_mb())
    assert peak - before < GROWTH_MB
    assert good.failures == [] and good.answers > 0


def flood(target, name, is_over, all_came, found):
    """Repeat an attack until it is over; note every session.

    In turns until each has come through the door: who needs no answer would crowd out the others.
    """
    while not is_over.is_set():
        try:
            found.append((name, ATTACKS[name](target)))
        except (ConnectionError, TimeoutError):
            found.append((name, None))  # turned away at the door
            time.sleep(0.1)
        if not all_came.is_set():
            time.sleep(0.1)


def run_all(server, seconds, headers=None, names=INSIDE, token=""):
    """Keep every attack up at once; return sessions, the good robot and the highest memory.

    Until each has come through once, and then for so long as fast as they can.
    """
    found, highest, is_over, all_came = [], 0.0, threading.Event(), threading.Event()
    until_s, target = time.monotonic() + PATIENCE_S, Target(server.port, token)
    threads = [
        threading.Thread(target=flood, args=(target, name, is_over, all_came, found))
        for name in names
    ]
    with Good(server, headers) as good:
        for thread in threads:
            thread.start()
        while time.monotonic() < until_s:
            if not all_came.is_set() and {name for name, one in found if one} == set(names):
                until_s = time.monotonic() + seconds
                all_came.set()
            highest = max(highest, server.memory_mb())
            time.sleep(0.05)
        is_over.set()
        for thread in threads:
            thread.join(30.0)
    return found, good, highest


def check_all(server, seconds):
    before = server.memory_mb()
    found, good, highest = run_all(server, seconds)
    counts = Counter(name for name, session in found if session is not None)
    assert set(counts) == set(INSIDE)
    for _, session in found:
        if session is not None:
            check(session)
    assert highest - before < GROWTH_MB
    assert good.failures == [] and good.answers > 0
    assert server.is_alive()
    assert "Traceback" not in server.said()


def test_all_attacks_at_once_for_a_moment(open_server):
    check_all(open_server, 6.0)


@pytest.mark.chaos
def test_all_attacks_at_once_for_minutes(checkpoint, tmp_path):
    with process(checkpoint, tmp_path) as server:
        check_all(server, 300.0)


@pytest.mark.chaos
def test_a_thousand_connections_again_and_again(checkpoint, tmp_path, many_files):
    with process(checkpoint, tmp_path) as server:
        before = server.memory_mb()
        with Good(server) as good:
            for _ in range(20):
                for session in crowd(Target(server.port), 1000):
                    check(session)
        assert good.failures == []
        assert server.memory_mb() - before < GROWTH_MB


def test_a_signal_ends_the_server_in_order(checkpoint, tmp_path):
    with process(checkpoint, tmp_path) as server, Robot(server) as robot:
        assert isinstance(robot.ask(), Answer)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10.0) == 0
        assert "Traceback" not in server.said()
