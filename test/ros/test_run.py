"""A node process ends cleanly and quickly when asked, and says in one line what is wrong."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy")

from so101.ros.run import SAME_WISH_S
from so101_bringup.supervisor import Timing

NODE = """
import sys
import time
from dataclasses import dataclass
from rclpy.node import Node
from std_msgs.msg import String
from so101.config import option
from so101.errors import ConfigError
from so101.ros.params import declare
from so101.ros.run import run

@dataclass(frozen=True, kw_only=True)
class Params:
    rate_hz: float = option(30.0, "Rate [Hz].", range=(1.0, 60.0))
    task: str = option("", "Instruction.")

class Talker(Node):
    def __init__(self):
        super().__init__("talker")
        if "torn" in __file__:  # as a library does whose import is torn apart
            print("reading", flush=True)
            try:
                time.sleep(30)
            except KeyboardInterrupt:
                raise ConfigError("half a module") from None
        print(declare(self, Params), flush=True)
        self.publisher = self.create_publisher(String, "t", 10)

    def destroy_node(self):
        self.publisher.publish(String(data="last words"))  # ROS is still there
        if "slow" in __file__:
            print("ending", flush=True)
            time.sleep(0.3)
        print("destroyed", flush=True)
        super().destroy_node()

def loop(node, spinner):
    print("looping", flush=True)
    while "hangs" in __file__ or not spinner.is_stopped:
        spinner.spin_once(0.05)

if __name__ == "__main__":
    sys.exit(run(Talker, loop=loop if "loop" in __file__ else None))
"""


@pytest.fixture
def start(tmp_path, request, ros_domain):
    processes = []

    def start(*ros_args, name="talker.py"):
        script = tmp_path / name
        script.write_text(NODE)
        env = {
            **os.environ,
            "PYTHONPATH": str(request.config.rootpath),
            "ROS_DOMAIN_ID": str(ros_domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(tmp_path),
        }
        process = subprocess.Popen(
            [sys.executable, str(script), *(("--ros-args", *ros_args) if ros_args else ())],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "talker.py"), (signal.SIGTERM, "talker_loop.py")]
)
def test_signals_end_the_node_cleanly_before_the_supervisor_loses_patience(start, number, name):
    process = start("-p", "rate_hz:=20", "-p", 'task:="pick: {it}"', name=name)
    assert "rate_hz=20.0, task='pick: {it}'" in process.stdout.readline()
    time.sleep(0.2)  # from the constructor to the spinning
    asked = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - asked < Timing().interrupt_s
    assert process.returncode == 0
    assert out.endswith("destroyed\n")
    assert "Traceback" not in err


def test_ctrl_c_that_launch_passes_on_tears_nothing_apart(start):
    process = start(name="talker_slow.py")
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "destroyed\n")
    assert "Traceback" not in err


def test_ctrl_c_while_the_node_is_made_is_nobodys_error(start):
    process = start(name="talker_torn.py")
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_what_hangs_is_interrupted_by_a_later_signal(start):
    process = start(name="talker_loop_hangs.py")
    process.stdout.readline()
    assert process.stdout.readline() == "looping\n"
    process.send_signal(signal.SIGINT)
    time.sleep(SAME_WISH_S + 0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "destroyed\n")
    assert "interrupted twice" in err
    assert "Traceback" not in err


@pytest.mark.case(45)
@pytest.mark.parametrize(
    ("ros_args", "message"),
    [
        (("-p", "rate_hx:=1"), "unknown key 'rate_hx', did you mean 'rate_hz'?"),
        (("-p", "rate_hz"), "ROS arguments"),
        (("-p", "rate_hz:=1.0", "--", "--speed"), "unknown argument '--speed'"),
        (("--params-file", "absent.yaml"), "absent.yaml: cannot be read"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(start, ros_args, message):
    process = start(*ros_args)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    errors = [line for line in err.splitlines() if line.startswith("talker.py: error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in err
    assert "destroyed" not in out
