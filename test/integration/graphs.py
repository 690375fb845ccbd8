"""Real graphs for tests: processes under a supervisor, a ROS domain each, nothing left."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from conftest import free_domain

from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Episode, Outcome
from so101_bringup.environment import clean_environment

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("session_driver.py")
MARK = "SO101_TEST_GRAPH"
"""Environment variable by which every process of a graph is found again."""

PATIENCE_S = 90.0
"""Longest wait for a graph on a busy machine; every wait ends as soon as it can [s]."""


@dataclass(frozen=True)
class Run:
    """How a graph ended: exit code, the lines for the person, the errors."""

    code: int
    lines: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join((*self.lines, *self.errors))


class RunningGraph:
    """One graph that runs."""

    def __init__(self, graph: str, domain: int, options: dict[str, Any]) -> None:
        self.domain = domain
        self._mark = uuid.uuid4().hex
        environment = {
            **clean_environment(os.environ),
            "ROS_DOMAIN_ID": str(domain),
            "PYTHONPATH": str(ROOT),
            MARK: self._mark,
        }
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER), graph, json.dumps({"robot": "sim", **options})],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._errors: list[str] = []
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self.lines)),
            threading.Thread(target=self._read, args=(self._process.stderr, self._errors)),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for_line(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        """Return the next line for the person that contains a text."""
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                line = self._news.get(timeout=min(left_s, 0.2))
            except queue.Empty:
                if self._process.poll() is not None and self._news.empty():
                    break
                continue
            if text in line:
                return line
        raise AssertionError(f"no line with {text!r}: {self.lines} {self._errors}")

    def wait(self, timeout_s: float = PATIENCE_S) -> Run:
        """Wait for the end."""
        code = self._process.wait(timeout_s)
        for reader in self._readers:
            reader.join(timeout=5.0)
        return Run(code, tuple(self.lines), tuple(self._errors))

    @property
    def has_ended(self) -> bool:
        """Tell whether the graph is over, for whatever reason."""
        return self._process.poll() is not None

    def spend(self, duration_s: float) -> None:
        """Let it run for a while."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(duration_s)

    def interrupt(self) -> float:
        """Press Ctrl-C; return how long the graph took to end [s]."""
        began_s = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30.0)
        return time.monotonic() - began_s

    def pids(self, module: str = "") -> list[int]:
        """Return the processes of this graph, or those of them that run a module."""
        return [pid for pid, argv in _marked(self._mark) if not module or module in argv]

    def kill(self, module: str) -> int:
        """Kill -9 the process that runs a module and return its pid."""
        (pid,) = self.pids(module)
        os.kill(pid, signal.SIGKILL)
        return pid

    def end(self) -> None:
        """End everything that is left, whatever the test did."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(15.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.wait(5.0)

    def _read(self, stream: Any, lines: list[str]) -> None:
        with stream:
            for line in stream:
                lines.append(line.rstrip("\n"))
                if lines is self.lines:
                    self._news.put(lines[-1])


@contextmanager
def running(graph: str, store: Path, **options: Any) -> Iterator[RunningGraph]:
    """Start a graph in state mode on a store; end it on the way out, and with it every process."""
    with free_domain() as domain:
        started = RunningGraph(graph, domain, {"state": True, "store": str(store), **options})
        try:
            yield started
        finally:
            started.end()


def run(graph: str, store: Path, timeout_s: float = PATIENCE_S, **options: Any) -> Run:
    """Run a graph to its end."""
    with running(graph, store, **options) as started:
        ended = started.wait(timeout_s)
        assert started.pids() == []
        return ended


def wait_until(
    holds: Callable[[], bool],
    timeout_s: float = 20.0,
    why: Callable[[], str] = lambda: "it never came true",
) -> None:
    """Wait for something that no event tells; in vain, say why."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, why()
        time.sleep(0.02)


def write_params(path: Path, **nodes: dict[str, Any]) -> str:
    """Write a parameter file and return its path."""
    content = {node: {"ros__parameters": values} for node, values in nodes.items()}
    path.write_text(json.dumps(content))  # JSON is YAML
    return str(path)


def episodes_of(store: Path) -> dict[str, Episode]:
    """Read every episode of a run that ended, by id, in the order of recording.

    One that a killed or interrupted graph left behind may hold less than two ticks.
    """
    entries = EpisodeStore(store / "episodes").episodes()
    ended = [entry for entry in entries if entry.outcome is not Outcome.INCOMPLETE]
    return {entry.facts.id: read_episode(entry.path) for entry in ended}


def assert_same_columns(one: Episode, other: Episode) -> None:
    """Every column is the same to the last bit, and so is what was planned."""
    for name in (
        "stamps_ns",
        "positions",
        "velocities",
        "effort",
        "commands",
        "actions",
        "sources",
        "rewards",
        "terminated",
        "truncated",
        "objects",
        "is_gap",
    ):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert list(one.planned) == list(other.planned)
    for stamp_ns, chunk in one.planned.items():
        np.testing.assert_array_equal(chunk, other.planned[stamp_ns])
    assert one.outcome == other.outcome


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    needle = f"{MARK}={mark}".encode()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            if needle in (directory / "environ").read_bytes().split(b"\0"):
                argv = (directory / "cmdline").read_bytes()
                if argv:  # a zombie has none
                    yield int(directory.name), argv.replace(b"\0", b" ").decode()
        except OSError:
            continue
