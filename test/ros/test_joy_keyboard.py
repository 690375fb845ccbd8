"""The keyboard's program in a terminal: the terminal is put right, however it is told to end."""

import os
import pty
import signal
import subprocess
import sys
import termios

import pytest
from conftest import free_domain
from integration.graphs import ROOT, wait_until

pytest.importorskip("rclpy")


@pytest.fixture
def start():
    """Start the program with an input of its own."""
    with free_domain() as domain:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ROS_DOMAIN_ID": str(domain)}

        def start(stdin):
            return subprocess.Popen(
                [sys.executable, "-m", "so101.ros.joy_keyboard"],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )

        yield start


@pytest.mark.parametrize("way", ["q", "SIGTERM", "SIGINT"])
def test_the_terminal_is_put_right(start, way):
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    program = start(slave)
    wait_until(lambda: termios.tcgetattr(slave) != before)
    if way == "q":
        os.write(master, b"wq")
    else:
        program.send_signal(getattr(signal, way))
    said, errors = program.communicate(timeout=20.0)
    assert (program.returncode, errors) == (0, "")
    assert "t take over" in said
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_without_a_terminal_it_is_refused(start):
    program = start(subprocess.DEVNULL)
    _, errors = program.communicate(timeout=20.0)
    assert program.returncode == 2
    assert "its input is no terminal" in errors
