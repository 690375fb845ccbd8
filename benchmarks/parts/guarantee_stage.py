"""The stage of `benchmarks/guarantees.py`: twin, driver and arbiter as processes, and a person.

The driver, the arbiter and the twin are what users start; nothing in them is patched.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from parts.guarantee_person import Person
from parts.guarantee_trace import Motion, TraceReader
from parts.guarantee_wave import WAVES

from so101.arrays import FloatArray
from so101.clock import nanoseconds
from so101.servos.calibration import read_calibration
from so101_bringup.environment import clean_environment

ROOT = Path(__file__).parents[2]


class Process:
    """A child that is ended whatever happens."""

    def __init__(self, argv: list[str], domain: int, **pipes: Any) -> None:
        """Start it in a ROS domain."""
        self.is_ready = False
        path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
        environment = {**clean_environment(os.environ), "PYTHONPATH": path}
        environment["ROS_DOMAIN_ID"] = str(domain)
        environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self.process = subprocess.Popen(
            [sys.executable, *argv], cwd=ROOT, env=environment, text=True, **pipes
        )

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal; return when [ns, monotonic], just before."""
        at_ns = time.monotonic_ns()
        self.process.send_signal(number)
        return at_ns

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Twin(Process):
    """Servos on a pty, and what is true of them."""

    def __init__(self, folder: Path, pose: str) -> None:
        """Start it and wait until it is ready."""
        self.port, self.calibration = folder / "arm", folder / "arm.json"
        trace = folder / "trace.csv"
        argv = ["-m", "so101_bringup.cli", "servo-twin", "--link", str(self.port)]
        argv += ["--calibration", str(self.calibration), "--pose", pose, "--trace", str(trace)]
        super().__init__(argv, 0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while "ready" not in self._line():
            pass
        self.trace = TraceReader(trace)

    def command(self, line: str) -> str:
        """Carry out a command and return what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self._line()
        if not answer.startswith("ok"):
            raise SystemExit(f"servo twin: {line}: {answer}")
        return answer.removeprefix("ok").strip()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the servo twin has died")
        return line

    def close(self) -> None:
        """End it."""
        self.trace.close()
        super().close()


def node_process(module: str, domain: int, params: dict[str, Any]) -> Process:
    """Start a node as the graph does, quietly."""
    argv = ["-m", f"{module}.node", "--ros-args", "--log-level", "error"]
    for name, value in params.items():
        argv += ["-p", f"{name}:={json.dumps(value)}"]
    return Process(argv, domain)


def commander(domain: int, source: str, wave: str) -> Process:
    """Start somebody who commands from when the standard input is closed on."""
    script = str(ROOT / "benchmarks" / "guarantees.py")
    argv = [script, "--role", source, "--wave", wave]
    return Process(argv, domain, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _wait_until_ready(process: Process) -> None:
    """Wait for the one line that a commander says at its start, if it was not heard yet."""
    if not process.is_ready:
        assert process.process.stdout is not None
        process.is_ready = process.process.stdout.readline() == "ready\n"
        if not process.is_ready:
            raise SystemExit("a commander has died at its start")


class Stage(ExitStack):
    """Everything a trial needs; each part can be lost and comes back."""

    def __init__(self, folder: Path, domain: int, wave: str = "fast") -> None:
        """Start arbiter and person.

        Args:
            folder: For the twin's files.
            domain: ROS domain of its own.
            wave: What the policy wants, a key of `WAVES`.
        """
        super().__init__()
        self.wave, self._wave_name = WAVES[wave], wave
        self._folder, self.domain = folder, domain
        self.twin: Twin | None = None
        self.driver: Process | None = None
        self.policy: Process | None = None
        self._spare: Process | None = None
        self.arbiter = node_process("intervention_node", domain, {"lockstep": False})
        self.callback(self.arbiter.close)
        self.person = Person(domain)
        self.callback(self.person.close)
        self.callback(self.end_arm)
        self.callback(self._end_spare)
        self.callback(self.end_policy)

    def start_twin(self, pose: str = "home") -> Twin:
        """Start servos that nobody drives yet."""
        self.end_arm()
        self.twin = Twin(self._folder, pose)
        self.calibration = read_calibration(self.twin.calibration)
        return self.twin

    def start_driver(self) -> None:
        """Start the driver and wait until it is heard."""
        assert self.twin is not None
        self.end_driver()
        params = {
            "port": str(self.twin.port),
            "calibration": str(self.twin.calibration),
            "write_eeprom": True,
        }
        self.person.forget()
        self.driver = node_process("hardware_node", self.domain, params)
        self.person.until(lambda: len(self.person.commands) > 5, "the driver is heard")

    def start_policy(self) -> None:
        """Let the next policy act; the one after it is got ready meanwhile."""
        self.end_policy()
        self.policy = self._spare or commander(self.domain, "policy", self._wave_name)
        assert self.policy.process.stdin is not None
        self.policy.process.stdin.close()
        self._spare = commander(self.domain, "policy", self._wave_name)
        _wait_until_ready(self.policy)

    def move(self, trial: int) -> None:
        """See that the policy moves the arm, whatever was before."""
        if self.twin is None:
            self.start_twin()
        if self.driver is None:
            self.start_driver()
        if self.policy is None:
            self.start_policy()
        person = self.person
        if self._spare is not None:  # so that its start takes nobody's time later
            _wait_until_ready(self._spare)
        while True:
            person.arm()
            person.begin_episode(trial)
            person.forget()
            person.until(self._moves_or_failed, "the arm follows the policy")
            if person.mode != "fault":
                return

    def _moves_or_failed(self) -> bool:
        return self.person.is_on(self.wave) or self.person.mode == "fault"

    def motion(self, begin_ns: int) -> Motion:
        """Return what the twin did since some time before [ns]."""
        assert self.twin is not None
        return self.twin.trace.since(begin_ns - nanoseconds(0.1))

    def goals_rad(self, motion: Motion) -> FloatArray:
        """Return a motion's goals [rad]. Shape (rows, joints)."""
        return np.asarray(self.calibration.to_rad(motion.goals))

    def end_policy(self) -> None:
        """End the policy, whatever state it is in."""
        if self.policy is not None:
            self.policy.close()
        self.policy = None

    def _end_spare(self) -> None:
        if self._spare is not None:
            self._spare.close()

    def end_driver(self) -> None:
        """End the driver at once; the servos hold what they hold."""
        if self.driver is not None:
            self.driver.close()
        self.driver = None

    def end_arm(self) -> None:
        """End driver and twin."""
        self.end_driver()
        if self.twin is not None:
            self.twin.close()
        self.twin = None
