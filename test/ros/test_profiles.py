"""Fast DDS runs as config/fastdds.xml says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE"
FILE = Path(__file__).parents[2] / "config" / "fastdds.xml"
THREADS = """
import pathlib, rclpy
rclpy.init()
node = rclpy.create_node("threads")
print(*(path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")))
"""


def threads(ros_domain, **variables):
    """Return the names of the threads of a process with a node."""
    environ = {**os.environ, "ROS_DOMAIN_ID": str(ros_domain), **variables}
    command = [sys.executable, "-c", THREADS]
    return subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()


def test_nobody_asks_others_what_a_type_is_made_of(ros_domain):
    asking = [name for name in threads(ros_domain, **{PROFILES: ""}) if name.startswith("dds.tls")]
    if not asking:
        pytest.skip("this middleware never asks")
    found = threads(ros_domain, **{PROFILES: str(FILE)})
    assert [name for name in found if name.startswith("dds.")]
    assert not set(asking) & set(found)
