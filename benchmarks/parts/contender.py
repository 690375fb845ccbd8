"""One way of asking a policy over a network: a server process and a client process.

Every file ``wire_*.py`` beside this one is a contender:

    python wire_x.py serve          prints its port, serves until standard input ends
    python wire_x.py ask FILE       prints a line when it is ready, then takes lines
                                    PORT MODE COUNT and prints as many round trips [ms]

FILE holds what is asked about: two images as pixels and as JPEGs, and joint positions. All of
them answer with the same chunk of `HORIZON` points, so that only the way there and back differs.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HORIZON, JOINTS = 50, 6
CAMERAS = ("wrist", "front")
CHUNK = np.linspace(-1.0, 1.0, HORIZON * JOINTS).reshape(HORIZON, JOINTS)


class Payload(NamedTuple):
    """What is asked about: arrays by camera, their JPEGs, positions [rad]."""

    pixels: dict[str, Any]
    jpegs: dict[str, bytes]
    positions: Any

    @classmethod
    def read(cls, path: Path) -> "Payload":
        """Read the file of `write`."""
        with np.load(path) as file:
            pixels = {camera: file[camera] for camera in CAMERAS}
            jpegs = {camera: file[f"{camera}_jpeg"].tobytes() for camera in CAMERAS}
            return cls(pixels, jpegs, file["positions"])

    def write(self, path: Path) -> None:
        """Write the file that clients read."""
        jpegs = {
            f"{name}_jpeg": np.frombuffer(data, np.uint8) for name, data in self.jpegs.items()
        }
        np.savez(path, positions=self.positions, **self.pixels, **jpegs)

    def images(self, mode: str) -> dict[str, Any]:
        """Return the images as ``raw`` arrays or ``jpeg`` bytes."""
        return self.pixels if mode == "raw" else self.jpegs


Ask = Callable[[str], float | None]
"""Asks once, in a mode; returns what the server spent on decoding [ms], None if unknown."""


def answer_commands(connect: Callable[[int], Ask]) -> None:
    """Be a client: ask as often as standard input says.

    Args:
        connect: Returns what asks the server on a port of this machine.
    """
    asks: dict[int, Ask] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        port, mode, count = line.split()
        ask = asks.get(int(port)) or asks.setdefault(int(port), connect(int(port)))
        took, decoding = [], []
        for _ in range(int(count)):
            began = time.perf_counter()
            spent = ask(mode)
            took.append(1e3 * (time.perf_counter() - began))
            decoding.append(spent or 0.0)
        print(json.dumps({"took": took, "decoding": decoding}), flush=True)


def serve_until_told(port: int) -> None:
    """Say where a server listens, and wait for the end."""
    print(port, flush=True)
    sys.stdin.read()


class Contender:
    """The two processes of one contender."""

    def __init__(self, name: str, python: str, file: str, payload: Path) -> None:
        """Start them.

        Args:
            name: For the table.
            python: Interpreter that has what it needs.
            file: Its ``wire_*.py``.
            payload: What it asks about.

        Raises:
            OSError: It cannot run here; the message is its last word.
        """
        self.name = name
        here = Path(__file__).with_name(file)
        self._processes = [
            subprocess.Popen(
                [python, str(here), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=payload.parent,  # LeRobot writes logs wherever it runs
            )
            for arguments in (["serve"], ["ask", str(payload)])
        ]
        self._server, self._client = self._processes

    def wait(self) -> None:
        """Wait until both are ready.

        Raises:
            OSError: One of them ended instead.
        """
        self.port = int(self._line(self._server))
        self._line(self._client)

    def ask(self, port: int, mode: str, count: int) -> tuple[list[float], list[float]]:
        """Return so many round trips, and what the server spent on decoding in each [ms]."""
        assert self._client.stdin is not None
        self._client.stdin.write(f"{port} {mode} {count}\n")
        self._client.stdin.flush()
        answer = json.loads(self._line(self._client))
        return answer["took"], answer["decoding"]

    def close(self) -> None:
        """Stop both."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def _line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            words = process.stderr.read().strip().splitlines() or ["no word"]
            raise OSError(f"{self.name}: {words[-1]}")
        return line
