"""``ros2 launch`` and ``ros2 run`` as processes, for tests where ROS's launch is installed."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

PACKAGE = "so101_bringup"
LONG_S = 200.0
STARTED = re.compile(r"\[([\w.]+)-\d+\]: process started with pid \[(\d+)\]")


class Ros2:
    """A command of ros2 in a session of its own, as in a terminal of its own.

    One SIGINT goes to it alone, never to its nodes: launch passes it on.
    """

    def __init__(self, words, folder, **environment):
        self.log = (
            Path(folder) / f"{'_'.join(words[:4]).replace('/', '_')}_{time.monotonic_ns()}.log"
        )
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [shutil.which("ros2"), *words],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def said(self):
        """Everything that was printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def pids(self, executable):
        """Return the process of every start of an executable, in order."""
        return [int(pid) for name, pid in STARTED.findall(self.said) if name == executable]

    def until(self, is_so, what):
        """Wait until something is so; it never is when the command has ended."""
        deadline = time.monotonic() + LONG_S
        while not is_so():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said}"
            assert time.monotonic() < deadline, f"never {what}:\n{self.said}"
            time.sleep(0.05)

    def until_said(self, words):
        """Wait until words were printed."""
        self.until(lambda: words in self.said, repr(words))

    def interrupt(self):
        """Send one SIGINT and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def ctrl_c(self):
        """Do what a terminal does, which gives SIGINT to everybody; return the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.end()

    def end(self):
        """Wait for the command's own end and return the exit code."""
        return self.process.wait(LONG_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30.0)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def launched(folder, name, **given):
    """Start a launch file; use it as a context manager."""
    words = [f"{key}:={text}" for key, text in given.items()]
    return Ros2(["launch", PACKAGE, f"{name}.launch.py", *words], folder)


def ran(folder, executable, *arguments):
    """Start a program of the package; use it as a context manager."""
    return Ros2(["run", PACKAGE, executable, *arguments], folder)
