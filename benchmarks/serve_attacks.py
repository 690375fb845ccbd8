"""What hostile peers cost a robot: its latency with and without them, in one run.

A server (``so101 serve`` as users start it, a small policy) answers one robot that asks ten times
a second. Quiet and hostile phases take turns; in a hostile one a second process keeps one class of
attack up. Reported for each class: p50 and p99 of the robot's round trips in the quiet phases
around it and in the hostile one, their ratio, what the server's memory grew by, and how long the
slowest hostile session lived. Attackers are throttled to a rate (``--rate``), because all three
processes share this machine: what they cost as neighbours is not the server's doing. The last rows
are a crowd of a thousand connections and all attacks at once.

    python benchmarks/serve_attacks.py [--seconds 60] [--rounds 3] [--rate 5] [--small]
        [--only ATTACK] [--out FILE]
"""

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from parts.serve_attackers import ATTACKS, NEED_TOKEN, Target, crowd, request
from websockets.sync.client import ClientConnection, connect

from so101.action import ActionSpace
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.flow.config import FlowConfig, FlowNorms
from so101.policies.flow.policy import FlowPolicy
from so101.policies.remote.wire.messages import SUBPROTOCOL, Answer
from so101.policies.remote.wire.protocol import unpack_answer
from so101.policies.transforms import Normalizer
from so101.robot import so101
from so101.spec import PolicySpec

TOKEN = "benchmark-token-benchmark"
ASK_HZ = 10.0
Attack = Callable[[Target], list[float]]


def policy() -> FlowPolicy:
    """Return a small policy of joint positions alone, its weights random."""
    robot = so101()
    spec = PolicySpec(action_space=ActionSpace())
    joints = Normalizer.from_range(robot.lower, robot.upper)
    norms = FlowNorms(positions=joints, actions=joints, objects=None)
    return FlowPolicy(spec, FlowConfig(width=128, depth=3), norms)


def start(checkpoint: Path) -> tuple[subprocess.Popen[str], int]:
    """Start the server; return its process and port."""
    environ = {**os.environ, "SO101_TOKEN": TOKEN, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "so101_bringup.cli", "serve", "--port", "0"]
    child = subprocess.Popen(
        [*command, "--checkpoint", str(checkpoint)], stdout=subprocess.PIPE, text=True, env=environ
    )
    for line in child.stdout or ():
        if "checkpoint" in line:
            return child, int(line.split("127.0.0.1:")[1].split()[0])
    raise SystemExit("the server did not start")


def memory_mb(process: int) -> float:
    """Return a process's resident memory [MB]."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


class Robot:
    """A well-behaved peer."""

    def __init__(self, connection: ClientConnection) -> None:
        """Ask over a connection."""
        self._connection, self._number = connection, 0
        unpack_answer(connection.recv())

    def round_trips(self, seconds: float) -> list[float]:
        """Ask at a steady rate for some time; return each round trip [ms]."""
        found, end = [], time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            self._number += 1
            self._connection.send(request(self._number))
            if not isinstance(unpack_answer(self._connection.recv()), Answer):
                raise SystemExit("the robot was not answered")
            found.append(1e3 * (time.monotonic() - began))
            time.sleep(max(0.0, 1.0 / ASK_HZ - (time.monotonic() - began)))
        return found


def attack_until(attack: Attack, target: Target, over: threading.Event, rate: float) -> float:
    """Repeat an attack at a rate; return the longest life of a session [s]."""
    longest = 0.0
    while not over.is_set():
        began = time.monotonic()
        with suppress(ConnectionError, TimeoutError):  # turned away at the door
            longest = max(longest, *attack(target))
        over.wait(max(0.0, 1.0 / rate - (time.monotonic() - began)))
    return longest


def attacker(port: int, name: str, rate: float) -> None:
    """Be the hostile process until the standard input ends; print the longest session's life."""
    has_token = name not in NEED_TOKEN
    target, over = Target(port, TOKEN if has_token else ""), threading.Event()
    attacks: dict[str, Attack] = {
        key: lambda at, one=one: [one(at).closed_s] for key, one in ATTACKS.items()
    }
    attacks["a thousand connections"] = lambda at: [one.closed_s for one in crowd(at, 1000)]
    chosen = list(ATTACKS) if name == "all at once" else [name]
    with ThreadPoolExecutor(len(chosen)) as pool:
        print("ready", flush=True)
        running = [
            pool.submit(attack_until, attacks[one], target, over, rate / len(chosen))
            for one in chosen
        ]
        sys.stdin.read()
        over.set()
        print(max(one.result() for one in running))


def hostile(port: int, name: str, rate: float, ask: Callable[[], list[float]]) -> Any:
    """Return the robot's round trips while an attack is up, and its longest session [s]."""
    command = [sys.executable, __file__, "--attack", name, "--port", str(port)]
    child = subprocess.Popen(
        [*command, "--rate", str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if child.stdout is None or not child.stdout.readline():
        raise SystemExit(f"the attacker {name} did not start")
    found = ask()
    said, _ = child.communicate()
    return found, float(said)


def measure(name: str, robot: Robot, server: tuple[int, int], arguments: Any) -> dict[str, float]:
    """Return one attack's row: quiet and hostile phases in turn."""
    process, port = server
    quiet: list[float] = []
    loud: list[float] = []
    longest, before = 0.0, memory_mb(process)
    seconds = arguments.seconds / arguments.rounds
    for _ in range(arguments.rounds):
        quiet += robot.round_trips(seconds)
        found, lived = hostile(port, name, arguments.rate, lambda: robot.round_trips(seconds))
        loud, longest = loud + found, max(longest, lived)
    row = {
        "quiet_p50_ms": statistics.median(quiet),
        "quiet_p99_ms": float(np.percentile(quiet, 99)),
        "hostile_p50_ms": statistics.median(loud),
        "hostile_p99_ms": float(np.percentile(loud, 99)),
        "growth_mb": memory_mb(process) - before,
        "longest_session_s": longest if math.isfinite(longest) else -1.0,
    }
    row["p99_ratio"] = row["hostile_p99_ms"] / row["quiet_p99_ms"]
    return {key: round(value, 3) for key, value in row.items()}


def main() -> None:
    """Measure every attack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="hostile time per attack")
    parser.add_argument("--rounds", type=int, default=3, help="phases of it")
    parser.add_argument("--rate", type=float, default=5.0, help="hostile sessions per second")
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--only", metavar="ATTACK", help="one row of them")
    parser.add_argument("--attack", default="", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.attack:
        attacker(arguments.port, arguments.attack, arguments.rate)
        return
    names = [*ATTACKS, "a thousand connections", "all at once"]
    if arguments.small:
        arguments.seconds, arguments.rounds = 2.0, 1
        names = ["unauthenticated", "oversize streamed", "all at once"]
    if arguments.only and arguments.only not in names:
        parser.error(f"--only {arguments.only!r}: not one of {', '.join(names)}")
    names = [arguments.only] if arguments.only else names
    result: dict[str, Any] = {"ask_hz": ASK_HZ, "rate": arguments.rate}
    with tempfile.TemporaryDirectory(prefix="so101-attacks-") as root:
        record = TrainingRecord(algorithm="sft", step=1)
        child, port = start(save_checkpoint(Path(root), "sft", policy(), record).path)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            with connect(
                f"ws://127.0.0.1:{port}",
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
                additional_headers=headers,
                compression=None,
                proxy=None,
            ) as connection:
                robot = Robot(connection)
                robot.round_trips(2.0)
                for name in names:
                    result[name] = measure(name, robot, (child.pid, port), arguments)
                    print(name, json.dumps(result[name]), flush=True)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30.0)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
