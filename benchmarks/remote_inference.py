"""What it costs that a policy is on another machine: round trips, side by side. Writes JSON.

Two 224x224 images and the joint positions go out, a chunk of 50 points comes back; the policy is
a constant, so that only the way counts. Images travel as pixels (``raw``) or as JPEGs. Each server
and each client is a process of its own; they take turns, a few round trips at a time, first on
loopback and then through a proxy that keeps every byte for 40 ms in each direction.

- echo: as many bytes over a bare TCP socket, a chunk's bytes back: nothing can be faster
- so101: `RemotePolicy` and `PolicyServer`. The server decodes JPEGs, which the others leave to
  the policy; ``so101 without decoding`` is less what the server says that took
- openpi: openpi-client and a server as openpi's
- lerobot: LeRobot's PolicyServer over gRPC
- pickle: pickles over TCP, without protection

Peers that are not installed here are named as absent; ``--peers`` names a Python that has them.
Ratios and differences are of medians of the same round; the median over rounds counts.

    python benchmarks/remote_inference.py [--rounds 15] [--peers PYTHON] [--small] [--out FILE]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from parts.contender import CAMERAS, Contender, Payload
from parts.synthetic_bags import scenes

from so101.images import decode_image, encode_jpeg

ROOT = Path(__file__).parents[1]
DELAY_S = 0.04
MODES = ("raw", "jpeg")
OURS, NET = "so101", "so101 without decoding"
FILES = {
    "echo": "wire_tcp.py",
    OURS: "wire_so101.py",
    "openpi": "wire_openpi.py",
    "lerobot": "wire_lerobot.py",
    "pickle": "wire_pickle.py",
}
PEERS = ("openpi", "lerobot")

Rounds = dict[str, list[list[float]]]
"""Contender to its round trips of each round [ms]."""


def payload() -> Payload:
    """Return two images of a scene and joint positions."""
    rng = np.random.default_rng(0)
    pixels = {camera: decode_image(scenes(rng, 1)[0], (224, 224)) for camera in CAMERAS}
    jpegs = {camera: encode_jpeg(image, 90) for camera, image in pixels.items()}
    return Payload(pixels, jpegs, rng.normal(0.0, 0.5, 6))


@contextlib.contextmanager
def started(file: Path, peers: str) -> Iterator[tuple[dict[str, Contender], dict[str, str]]]:
    """Start whoever can run here; return them, and why the others cannot."""
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    waiting = {
        name: Contender(name, peers if name in PEERS else sys.executable, wire, file)
        for name, wire in FILES.items()
    }
    ready, absent = {}, {}
    try:
        for name, contender in waiting.items():
            try:
                contender.wait()
                ready[name] = contender
            except OSError as error:
                if name not in PEERS:
                    raise
                absent[name] = str(error)
        yield ready, absent
    finally:
        for contender in waiting.values():
            contender.close()


@contextlib.contextmanager
def delayed(ports: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Put a delaying proxy before each port."""
    program = [sys.executable, str(ROOT / "test" / "proxy.py"), str(DELAY_S)]
    process = subprocess.Popen(
        [*program, *map(str, ports.values())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield dict(zip(ports, map(int, process.stdout.readline().split()), strict=True))
    finally:
        process.communicate()


def take_turns(
    contenders: Mapping[str, Contender],
    ports: Mapping[str, int],
    mode: str,
    rounds: int,
    count: int,
) -> Rounds:
    """Let everybody ask in turn, another one first in each round."""
    names = list(contenders)
    found: Rounds = {name: [] for name in [*names, NET]}
    for name in names:
        contenders[name].ask(ports[name], mode, 5)  # connect, and warm up
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took, decoding = contenders[name].ask(ports[name], mode, count)
            found[name].append(took)
            if name == OURS:
                found[NET].append([a - b for a, b in zip(took, decoding, strict=True)])
    return found


def summary(found: Rounds) -> dict[str, Any]:
    """Return medians, p99 and requests per second, and how they stand to the echo."""
    medians = {name: [statistics.median(took) for took in all_] for name, all_ in found.items()}
    rows = {}
    for name, all_ in found.items():
        flat = [value for took in all_ for value in took]
        pairs = list(zip(medians[name], medians["echo"], strict=True))
        rows[name] = {
            "median_ms": round(statistics.median(medians[name]), 3),
            "p99_ms": round(float(np.percentile(flat, 99)), 3),
            "per_second": round(1e3 / statistics.fmean(flat), 1),
            "over_echo_ms": round(statistics.median(a - b for a, b in pairs), 3),
            "ratio_to_echo": round(statistics.median(a / b for a, b in pairs), 4),
        }
    return rows


def table(results: Mapping[str, Mapping[str, Any]], absent: Mapping[str, str]) -> str:
    """Return the results for people."""
    lines = ["| path, images | contender | median ms | p99 ms | per s | over echo ms | / echo |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for path, rows in results.items():
        for name, row in rows.items():
            lines.append(f"| {path} | {name} | " + " | ".join(map(str, row.values())) + " |")
        for name, why in absent.items():
            lines.append(f"| {path} | {name} | absent: {why} |")
    return "\n".join(lines)


def verdicts(results: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Return which of the targets are met."""
    met = {}
    for mode in MODES:
        near, far = results[f"loopback, {mode}"], results[f"40 ms each way, {mode}"]
        met[f"{mode}: at most 1.05x the echo through the proxy"] = (
            far[NET]["ratio_to_echo"] <= 1.05
        )
        met[f"{mode}: at most 2 ms above the echo on loopback"] = near[NET]["over_echo_ms"] <= 2.0
        for peer in PEERS:
            if peer in near:
                ahead = near[NET]["median_ms"] < near[peer]["median_ms"]
                met[f"{mode}: ahead of {peer} on loopback"] = ahead
    return met


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--near", type=int, default=100, help="round trips a round on loopback")
    parser.add_argument("--far", type=int, default=15, help="round trips a round with the delay")
    parser.add_argument("--peers", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.rounds, arguments.near, arguments.far = 2, 50, 4
    cv2.setNumThreads(1)
    results = {}
    with tempfile.TemporaryDirectory() as root:
        file = Path(root) / "payload.npz"
        payload().write(file)
        with started(file, arguments.peers) as (contenders, absent):
            ports = {name: contender.port for name, contender in contenders.items()}
            with delayed(ports) as far_ports:
                for mode in MODES:
                    results[f"loopback, {mode}"] = summary(
                        take_turns(contenders, ports, mode, arguments.rounds, arguments.near)
                    )
                for mode in MODES:
                    results[f"40 ms each way, {mode}"] = summary(
                        take_turns(contenders, far_ports, mode, arguments.rounds, arguments.far)
                    )
    print(table(results, absent))
    found = {"results": results, "absent": absent, "targets": verdicts(results)}
    print(json.dumps(found))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
