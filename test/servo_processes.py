"""``so101 servo-twin`` as a child process, for tests that need a clock that runs."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Twin:
    """``so101 servo-twin`` as a child."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "so101_bringup.cli", "servo-twin", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.ports = {}
        while "ready" not in (line := self.process.stdout.readline()):
            assert line, "the twin ended before it was ready"
            _, _, arm, path = line.split()
            self.ports[arm] = path

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def state(self, arm=""):
        return json.loads(self.command(f"{arm} state").removeprefix("ok "))


@contextmanager
def servo_twins():
    """Yield a function that starts twins; whatever is left of them ends with the block."""
    twins = []

    def start(*arguments):
        twins.append(Twin(*arguments))
        return twins[-1]

    try:
        yield start
    finally:
        for twin in twins:
            twin.process.kill()
            twin.process.communicate()
