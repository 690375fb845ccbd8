"""``so101 servo-twin`` and the hardware node as processes of their own, in real time."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from so101_bringup.environment import clean_environment

ROOT = Path(__file__).parents[1]


class Program:
    """A process of ours; its end is waited for, and nothing of it is left."""

    def __init__(self, argv, domain=0, **pipes):
        environment = {**clean_environment(os.environ), "PYTHONPATH": str(ROOT)}
        environment["ROS_DOMAIN_ID"] = str(domain)
        self.process = subprocess.Popen(
            [sys.executable, *argv], cwd=ROOT, env=environment, text=True, **pipes
        )

    def end(self, number=signal.SIGINT, timeout_s=60.0):
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Twin(Program):
    """Servos on a pty, at ``port``; their calibration is in ``calibration``."""

    def __init__(self, folder, pose="home"):
        self.port, self.calibration = folder / "arm", folder / "arm.json"
        argv = ["-m", "so101_bringup.cli", "servo-twin", "--link", str(self.port)]
        argv += ["--calibration", str(self.calibration), "--pose", pose]
        super().__init__(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while "ready" not in self._line():
            pass

    def command(self, line):
        """Carry out a fault command and return what it says."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self._line()
        assert answer.startswith("ok"), answer
        return answer.removeprefix("ok").strip()

    def _line(self):
        line = self.process.stdout.readline()
        assert line, "the twin has died"
        return line


def hardware_node(twin, domain, **params):
    """Start the node on a twin; its errors are kept for `Program.process.stderr`."""
    chosen = {
        "port": str(twin.port),
        "calibration": str(twin.calibration),
        "write_eeprom": True,
        "rest_speed": 1.0,
        **params,
    }
    argv = ["-m", "hardware_node.node", "--ros-args"]
    for name, value in chosen.items():
        argv += ["-p", f"{name}:={json.dumps(value)}"]
    return Program(argv, domain, stderr=subprocess.PIPE)
