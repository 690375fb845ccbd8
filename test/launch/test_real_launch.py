"""The launch files under ROS's own launch. Skipped where that is not installed.

docs/guides/ros_install.md says how these are run without a ROS distribution.
"""

import importlib.util
from pathlib import Path

import pytest

actions = pytest.importorskip("launch.actions")  # the checkout's own folder launch is not ROS's
launch = pytest.importorskip("launch")
ros_actions = pytest.importorskip("launch_ros.actions")

from so101_bringup.graph import GRAPHS, GraphOptions  # noqa: E402 (after the skip)
from so101_bringup.launch_arguments import launch_arguments  # noqa: E402
from so101_bringup.launch_rendering import node_arguments  # noqa: E402
from so101_bringup.launch_table import LAUNCH_FILES  # noqa: E402
from so101_bringup.supervisor import parameter_arguments  # noqa: E402

ROOT = Path(__file__).parents[2]


def described(name):
    path = ROOT / "launch" / f"{name}.launch.py"
    spec = importlib.util.spec_from_file_location("launch_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


@pytest.mark.parametrize("name", LAUNCH_FILES)
def test_launch_shows_every_argument_as_it_is(name):
    shown = {each.name: each for each in described(name).get_launch_arguments()}
    expected = launch_arguments(LAUNCH_FILES[name])
    assert list(shown) == [each.name for each in expected]
    for each in expected:
        argument = shown[each.name]
        assert argument.description.startswith(each.doc)  # launch adds the choices
        assert tuple(argument.choices or ()) == each.choices
        default = argument.default_value
        text = None if default is None else "".join(part.text for part in default)
        assert text == each.default


def words_of(action):
    return ["".join(getattr(part, "text", "") for part in word) for word in action.cmd]


@pytest.mark.parametrize(
    "options",
    [
        GraphOptions(robot="sim", state=True, operator="1: é"),
        GraphOptions(robot="sim", learning_python="/opt/my venv/bin/python", namespace="left"),
    ],
    ids=["plain", "python"],
)
def test_the_command_line_that_launch_makes(options):
    for node in GRAPHS["rl"](options):
        made = {**node_arguments(node), "package": None}
        words = words_of(ros_actions.Node(**made))
        start = words.index("--ros-args") + 1
        given = parameter_arguments(node)
        assert words[start : start + len(given)] == given
        assert made.get("prefix", "").strip("'") == node.python
