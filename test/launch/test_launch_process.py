"""launch runs in its own installation's Python: what apt brings is there, and nothing from pip.

On a distribution ``ros2`` begins with ``#!/usr/bin/python3``, whatever environment is active.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FROM_APT = {
    "numpy",
    "opencv-python-headless",
    "packaging",
    "pyyaml",
    "psutil",
    "pyserial",
    "xacro",
}
IMPORTED_AS = {"pillow": "PIL"}
ASKED = {
    "rl": {"robot": "sim", "namespace": "alone", "launch_rviz": "true"},
    "record": {"robot": "sim", "namespace": "left", "store": "left"},
    "up": {"robot": "sim", "namespace": "right", "store": "right", "launch_rviz": "true"},
    "hardware": {"hardware_type": "mock", "launch_rviz": "true"},
    **{name: {"robot": "sim"} for name in ("teleop", "policy", "motion")},
    **{name: {} for name in ("sim", "cameras", "learner", "description", "view", "moveit")},
    "replay": {"bag": str(ROOT / "test/golden/episode")},
}
PROGRAM = """
import json, sys, types

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FROM_PIP:
            raise ModuleNotFoundError(f"no module {name}", name=name)

class Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": keep, "__getattr__": lambda self, name: None})

def keep(self, *args, **kwargs):
    self.args, self.kwargs = args, kwargs

sys.meta_path.insert(0, Nothing())
for name in ("launch", "launch_ros"):
    for part in ("", ".actions", ".event_handlers", ".events"):
        sys.modules[name + part] = Module(name + part)

from so101_bringup.launch_rendering import describe

for name, given in ASKED:
    *arguments, function = describe(name).args[0]
    values = {a.args[0]: a.kwargs.get("default_value") for a in arguments}
    values.update(given)
    context = types.SimpleNamespace(launch_configurations=values, argv=[])
    try:
        actions = function.kwargs["function"](context)
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print(sum(type(each).__name__ == "Node" for each in actions))
"""


def from_pip():
    """Return what only pip has on a distribution, by the names of the modules."""
    lines = (ROOT / "requirements" / "run.in").read_text(encoding="utf-8").splitlines()
    names = {re.split(r"[<>=#\s\[]", line)[0].lower() for line in lines} - {"", "-r"}
    assert names > FROM_APT
    return {IMPORTED_AS.get(name, name) for name in names - FROM_APT}


def asked(what, tmp_path):
    """Return what one process without anything from pip says of launch files, a line each."""
    code = f"FROM_PIP, ASKED = {from_pip()!r}, {what!r}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.ros
def test_no_launch_file_needs_anything_from_pip(ros_domain, tmp_path):
    said = asked(list(ASKED.items()), tmp_path)
    assert len(said) == len(ASKED)
    assert all(int(count) > 0 for count in said), said


@pytest.mark.ros
def test_what_it_needs_more_for_is_said(ros_domain, tmp_path):
    expected = {
        ("episodes", "bags"): "start launch with the one that has it: python $(command -v ros2)",
        ("schedule", "sync"): "give decision_ticks",
        ("checkpoint", "here"): "give decision_ticks",
    }
    each = [
        ("rl", {"robot": "sim", "namespace": key, "store": key, key: value})
        for key, value in expected
    ]
    for line, words in zip(asked(each, tmp_path), expected.values(), strict=True):
        assert line.startswith("ConfigError")
        assert words in line
