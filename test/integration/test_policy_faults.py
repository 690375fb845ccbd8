"""A policy on a server that dies, hangs, dawdles, lies and comes back as another one.

Time waits for nobody here, as on a robot: the arm ends its chunk, stands smoothly, and goes on
without a jump; the policy node lives all the while and says what it waits for.
"""

import os
import signal
import socket
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from integration import graphs
from integration.conftest import SEED, START
from integration.test_free_time import Person, start_episode
from integration.waving_server import wave

from so101.clock import CONTROL_GRID, nanoseconds
from so101.episode import EpisodeState
from so101.events import ControlEvent
from so101.topics import CONTROL_SOURCE

SERVER = graphs.ROOT / "test" / "integration" / "waving_server.py"
TOKEN = "a-token-of-a-test-only"
ONE, OTHER = "1" * 64, "2" * 64
JUMP_RAD = 0.02
"""What a command may be off from where its two predecessors lead [rad]."""

DEADLINE_S = 3.0
SILENCE_S = 2.0
"""Longer than a very busy machine holds up a node that lives, shorter than any outage here [s]."""

OFF_WAVE_RAD = 0.1
"""The gate lags behind what is followed, and a busy machine behind the gate [rad]."""


class ServerProcess:
    """A policy server of its own, on the same port in all its lives."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process = None

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    def start(self, sha256):
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), str(self.port), sha256],
            cwd=graphs.ROOT,
            env={**os.environ, "PYTHONPATH": str(graphs.ROOT), "SO101_TOKEN": TOKEN},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def tell(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait(10.0)
            for pipe in (self._process.stdin, self._process.stdout):
                pipe.close()
            self._process = None


class Watcher(Person):
    """Somebody who keeps every command and every word of policy and arbiter."""

    def __init__(self, domain, monkeypatch):
        self.commands, self.infos, self.heard_ns, self.changes = {}, [], [], []
        super().__init__(domain, monkeypatch)
        self._endpoints.hear(CONTROL_SOURCE, ControlEvent, self.changes.append)

    def _on_command(self, message):
        super()._on_command(message)
        self.commands[self.now_ns] = self.command

    def _on_policy(self, info):
        super()._on_policy(info)
        self.infos.append(info)
        self.heard_ns.append(self.now_ns)

    def says(self, since, *words):
        """Wait until the policy has said that it waits for something, in one of some words."""

        def is_said():
            told = [info.waiting_for for info in self.infos[since:]]
            return any(word in one for one in told for word in words)

        self.until(is_said)

    def until_still(self, duration_s=1.2 * SILENCE_S):
        """Wait until the arm has stood for longer than a silent policy keeps control."""
        graphs.wait_until(lambda: self.is_still_for(duration_s), graphs.PATIENCE_S)

    def until_waving(self, duration_s=1.5):
        """Wait until the arm has followed the wave for a while; return since when [ns].

        Counted from a chunk heard from now on: while a server was being started nobody looked,
        and what was sent meanwhile comes at once. An arm that stands where the wave turns is near
        it for up to a second.
        """
        since, began_ns = len(self.infos), None
        self.until(lambda: any(one.inference_ms > 0.0 for one in self.infos[since:]))

        def is_waving():
            nonlocal began_ns
            is_off = np.abs(self.command - wave([self.now_ns])[0]).max() > OFF_WAVE_RAD
            if began_ns is None or is_off:
                began_ns = self.now_ns
            return self.now_ns >= began_ns + nanoseconds(duration_s)

        self.until(is_waving)
        return began_ns

    def steps_since(self, stamp_ns):
        """Return by how much each command differs from the one before [rad]."""
        chosen = [command for stamp, command in self.commands.items() if stamp >= stamp_ns]
        return np.array([np.abs(b - a).max() for a, b in pairwise(chosen)])

    def jumps_since(self, stamp_ns):
        """Return by how much each command is off from where its two predecessors lead [rad].

        However fast it moves: an arm that catches up does so at the limit of its speed. Where a
        command was not heard, the next two are left out.
        """
        ticks = {CONTROL_GRID.floor(stamp): one for stamp, one in self.commands.items()}
        first = CONTROL_GRID.ceil(stamp_ns)
        at = [k for k in ticks if k - 2 >= first and k - 1 in ticks and k - 2 in ticks]
        assert len(at) > (max(ticks) - first) / 2
        return np.array([np.abs(ticks[k] - 2 * ticks[k - 1] + ticks[k - 2]).max() for k in at])


@pytest.fixture
def server():
    one = ServerProcess()
    yield one
    one.kill()


@pytest.mark.case(18, 19)
@pytest.mark.timeout(300)  # 45 s on idle cores, and twice that beside whatever keeps them busy
def test_whatever_befalls_its_server_the_arm_stands_smoothly_and_goes_on(
    tmp_path, monkeypatch, server
):
    """One long story, because every graph takes seconds to start."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    free = {"lockstep": False}
    options = {
        "seed": SEED,
        "start": START,
        "speed": 1.0,
        "server": server.url,
        "server_token_file": str(token),
        "params_file": graphs.write_params(
            tmp_path / "params.yaml",
            simulation_node=free,
            intervention_node={**free, "alive_timeout": SILENCE_S},
            policy_node={"inference_timeout": DEADLINE_S},
            reward_node={"time_limit": 600.0},
        ),
    }
    with graphs.running("up", tmp_path / "run", **options) as graph:
        graphs.wait_until(lambda: graph.pids("policy_node.node") != [], graphs.PATIENCE_S)
        watcher = Watcher(graph.domain, monkeypatch)
        watcher.says(0, "cannot be reached")  # it waits for a server that is not there yet
        server.start(ONE)
        watcher.until(lambda: watcher.policy.checkpoint == ONE)
        start_episode(watcher)
        began_ns = watcher.until_waving()
        killed(watcher, server)
        hung(watcher, server)
        not_finite(watcher, server)
        assert [one for one in watcher.changes if one.stamp_ns > began_ns] == []
        slow(watcher, server)
        assert watcher.jumps_since(began_ns).max() < JUMP_RAD
        another_one(watcher, server)
        watcher.close()
        assert graph.interrupt() < 5.0
    logs = (tmp_path / "run" / "logs").rglob("*.log")
    assert not any(TOKEN in log.read_text(errors="replace") for log in logs)


def killed(watcher, server):
    """The connection is lost at once, and the chunk in force is still followed to its end."""
    said, lost_ns = len(watcher.infos), watcher.now_ns
    server.kill()
    watcher.says(said, "connect")  # was lost, or cannot be made again
    watcher.until_still()
    assert watcher.steps_since(lost_ns).max() > 1e-4
    server.start(ONE)
    watcher.until_waving()


def hung(watcher, server):
    """A deadline passes, of an answer or a ping; the policy lives, and drops what comes later."""
    said = len(watcher.infos)
    server.signal(signal.SIGSTOP)
    watcher.says(said, "no answer", "no sign of life")
    watcher.until_still()
    server.signal(signal.SIGCONT)
    watcher.until_waving()


def not_finite(watcher, server):
    server.tell("nan 1")
    before = watcher.policy.refused
    watcher.until(lambda: watcher.policy.refused > before + 1)
    watcher.until_still()
    server.tell("nan 0")
    watcher.until_waving()


def slow(watcher, server):
    """Ten ticks per chunk: the arm stands in between, and what is past is left out.

    So the last points of a chunk find it where they are due, not a third of a second behind.
    """
    said = len(watcher.infos)
    server.tell("delay 0.33")

    def late():
        """Return the stamps of late chunks that were heard of well before their end."""
        new = zip(watcher.infos[said:], watcher.heard_ns[said:], strict=True)
        return [
            info.stamp_ns
            for info, heard_ns in new
            if info.inference_ms > 330.0 and heard_ns < info.stamp_ns + nanoseconds(0.47)
        ]

    watcher.until(lambda: len(late()) > 2)
    watcher.until_still(0.05)  # the last one's end has come
    off = []
    for end_ns in (stamp_ns + nanoseconds(16 / 30) for stamp_ns in late()):
        stamp_ns = max(stamp for stamp in watcher.commands if stamp <= end_ns + 1)
        off.append(np.abs(watcher.commands[stamp_ns] - wave([stamp_ns])[0]).max())
    assert np.median(off) < JUMP_RAD
    assert watcher.policy.overtaken >= 3
    assert watcher.policy.latency_ms > 330.0
    server.tell("delay 0")
    watcher.until_waving()


def another_one(watcher, server):
    """Its weights are not those of the episode, which is over; the next one is theirs."""
    server.kill()
    server.start(OTHER)
    watcher.until(lambda: watcher.episode.state is EpisodeState.DISCARDED)
    watcher.until(lambda: watcher.policy.checkpoint == OTHER)
    start_episode(watcher)
    assert watcher.episode.facts.checkpoint == OTHER
    watcher.until_waving()
