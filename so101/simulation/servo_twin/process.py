"""The twin in real time: ports, commands on stdin, one loop."""

import os
import select
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so101.arrays import FloatArray
from so101.clock import NS_PER_S
from so101.errors import So101Error
from so101.simulation.servo_twin.assembly import Assembly
from so101.simulation.servo_twin.bus import TwinBus
from so101.simulation.servo_twin.commands import HELP, Commands
from so101.simulation.servo_twin.plant import STEP_HZ
from so101.simulation.servo_twin.port import Port
from so101.simulation.servo_twin.twin import ServoTwin

LEADER = "leader"
FOLLOWER = "follower"
_PERIOD_NS = NS_PER_S // STEP_HZ


@dataclass(frozen=True, kw_only=True)
class ArmOptions:
    """One arm's twin.

    Attributes:
        positions: Where it stands at first [rad]. Shape (joints,).
        assembly: Where its servos' horns are.
        link: A symbolic link to its port; None: none.
        adapter_ns: What the USB adapter adds to each exchange [ns].
        seed: Of its noise and its faults.
    """

    positions: FloatArray
    assembly: Assembly
    link: Path | None = None
    adapter_ns: int = 1_000_000
    seed: int = 0


class _Arm:
    """One arm's twin with its port."""

    def __init__(self, options: ArmOptions) -> None:
        noise, faults = np.random.default_rng(options.seed).spawn(2)
        self.port = Port(options.link)
        twin = ServoTwin(options.assembly, options.positions, noise)
        self.bus = TwinBus(twin, adapter_ns=options.adapter_ns, rng=faults)
        self.commands = Commands(self.bus, self.port)

    def listen(self, now_ns: int) -> None:
        """Take what the host wrote."""
        self.bus.receive(self.port.read(), now_ns)

    def speak(self, now_ns: int) -> None:
        """Give the host what is due."""
        if (data := self.bus.take(now_ns)) and self.port.fd >= 0:
            self.port.write(data)


class TwinProcess:
    """Runs the twins of one or two arms until it is told to stop.

    Each line on stdin is a command (`so101.simulation.servo_twin.commands`), for the leader if its
    first word says so; each is answered by one line, ``ok`` or ``error:`` first. ``quit`` is
    the end, the end of stdin does not.
    """

    def __init__(self, arms: Mapping[str, ArmOptions]) -> None:
        """Open the ports.

        Args:
            arms: By name, the follower first.

        Raises:
            ConfigError: A link cannot be made.
        """
        self._arms = {name: _Arm(options) for name, options in arms.items()}
        self._input = b""
        self._is_listening = True
        self._is_running = True

    @property
    def paths(self) -> dict[str, str]:
        """The hosts' sides of the ports, by arm."""
        return {name: arm.port.path for name, arm in self._arms.items()}

    def run_command(self, line: str) -> str:
        """Carry out one command and return its answer."""
        words = line.split(maxsplit=1)
        name = FOLLOWER
        if len(words) == 2 and words[0] in self._arms:
            name, line = words
        if line.strip() == "quit":
            self.stop()
            return "ok"
        if line.strip() == "help":
            return "ok\n" + HELP
        try:
            answer = self._arms[name].commands.run(line, time.monotonic_ns())
        except So101Error as error:
            return f"error: {error}"
        return f"ok {answer}".strip()

    def stop(self) -> None:
        """End `run` soon; may be called by a signal."""
        self._is_running = False

    def run(self) -> None:
        """Run until ``quit``, `stop` or an interruption; then the ports are gone."""
        next_ns = time.monotonic_ns()
        try:
            while self._is_running:
                self._wait(next_ns)
                now_ns = time.monotonic_ns()
                for arm in self._arms.values():
                    arm.speak(now_ns)
                if now_ns >= next_ns:
                    for arm in self._arms.values():
                        arm.commands.advance(now_ns)
                        arm.bus.twin.advance(now_ns)
                    next_ns = max(next_ns + _PERIOD_NS, now_ns)
        finally:
            for arm in self._arms.values():
                arm.port.close()

    def _wait(self, next_ns: int) -> None:
        """Wait for a host, a command, or the next thing to do; take what came."""
        dues = [arm.bus.next_due_ns for arm in self._arms.values()]
        due_ns = min([next_ns, *(due for due in dues if due is not None)])
        ports = {arm.port.fd: arm for arm in self._arms.values() if arm.port.fd >= 0}
        stdin = [sys.stdin.fileno()] if self._is_listening else []
        timeout_s = max(due_ns - time.monotonic_ns(), 0) / NS_PER_S
        readable, _, _ = select.select([*ports, *stdin], [], [], timeout_s)
        now_ns = time.monotonic_ns()
        for fd in readable:
            if fd in ports:
                ports[fd].listen(now_ns)
            else:
                self._read_commands(fd)

    def _read_commands(self, fd: int) -> None:
        data = os.read(fd, 4096)
        self._is_listening = bool(data)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            print_line(self.run_command(line.decode(errors="replace")))


def print_line(text: str) -> None:
    """Write a line for whoever started the twin."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
