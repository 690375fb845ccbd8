"""What launch does with programs of other packages: in which order, with what, and when they end.

The programs are stand-ins; launch is the real one. Skipped where that is missing.
"""

import os
import re
import signal
from pathlib import Path
from xml.etree.ElementTree import canonicalize

import pytest
from foreign_packages import Foreign
from real_launch import PACKAGE, launched

pytest.importorskip("launch.actions")  # the checkout's own folder launch is not ROS's
pytest.importorskip("ros2launch")
packages = pytest.importorskip("ament_index_python.packages")

from twin_process import Twin  # noqa: E402 (after the skips)

from so101_bringup.agreement import checked_graph  # noqa: E402
from so101_bringup.launch_arguments import read_options  # noqa: E402
from so101_bringup.launch_table import LAUNCH_FILES  # noqa: E402

try:
    packages.get_package_prefix(PACKAGE)
except LookupError:
    pytest.skip(f"{PACKAGE} is not built and sourced", allow_module_level=True)

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
BAG = str(Path(__file__).parents[1] / "golden" / "episode")
NAMED = {"namespace": "left", "frame_prefix": "left/", "base": "0 0.4 0 0 0 0"}
CASES = [
    ("hardware", {"use_mock_hardware": "true", "launch_rviz": "true"}),
    ("hardware", {"hardware_type": "mujoco", "namespace": "left"}),
    ("hardware", {"hardware_type": "gazebo"}),
    ("description", {"gui": "true", **NAMED}),
    ("view", {"use_sim_time": "true", "namespace": "left"}),
    ("moveit", {"launch_rviz": "true", "use_ros2_control": "true"}),
    ("replay", {"bag": BAG, "rate": "0.5", "launch_rviz": "true"}),
    ("teleop", {"robot": "sim", "teleop": "joy", "launch_joy": "true"}),
    ("sim", {"state": "true", "launch_rviz": "true", **NAMED}),
]


@pytest.fixture
def foreign(ros_domain, tmp_path, monkeypatch):
    """The stand-ins, in front of whatever is installed."""
    foreign = Foreign(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", foreign.path())
    monkeypatch.chdir(tmp_path)
    return foreign


def graph_of(name, given):
    options = read_options({**given, **LAUNCH_FILES[name].fixed})
    return [n for n in checked_graph(LAUNCH_FILES[name].graph, options) if not n.is_ours]


def there(launch, foreign, *executables, count=1):
    for executable in executables:
        launch.until(
            lambda e=executable: len(foreign.starts(e)) >= count, f"{executable} is there"
        )


def told(value):
    """Return a value as a program reads it; files by name and XML without comments.

    The installed package, which launch runs, is elsewhere than the one of this test.
    """
    if isinstance(value, tuple | list):
        return [told(each) for each in value]
    if isinstance(value, str) and value.startswith("<"):
        return re.sub(r">/[^<>]*/([^<>/]+)<", r">\1<", canonicalize(value))
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


@pytest.mark.parametrize(("name", "given"), CASES, ids=lambda value: str(value)[:40])
def test_they_are_started_with_what_the_graph_says(foreign, tmp_path, name, given):
    nodes = graph_of(name, given)
    with launched(tmp_path, name, **given) as launch:
        there(launch, foreign, *(node.executable for node in nodes))
        for node in nodes:
            (start,) = foreign.starts(node.executable)
            assert told(start["argv"]) == told(node.arguments)
            if node.executable == "spawner":
                continue
            have = {key: told(start["parameters"].get(key)) for key in node.parameters}
            assert have == {key: told(value) for key, value in node.parameters.items()}
            if not node.names_itself:
                assert start["node"] == f"/{node.namespace}/{node.name}".replace("//", "/")
        assert launch.interrupt() == 0, launch.said


def test_controllers_have_their_files(foreign, tmp_path):
    with launched(tmp_path, "hardware", use_mock_hardware="true", namespace="left") as launch:
        there(launch, foreign, "ros2_control_node")
        (start,) = foreign.starts("ros2_control_node")
    assert start["node"] == "/left/controller_manager"
    assert start["parameters"]["update_rate"] == 100
    assert start["parameters"]["enforce_command_limits"] is True
    kind = "joint_trajectory_controller/JointTrajectoryController"
    assert start["parameters"]["joint_trajectory_controller.type"] == kind


def test_controllers_are_spawned_after_the_drivers_first_word(foreign, tmp_path):
    with Twin(tmp_path) as twin:
        given = {"usb_port": str(twin.port), "calibration": str(twin.calibration)}
        given |= {"write_eeprom": "true", "use_ros2_control": "true"}
        with launched(tmp_path, "hardware", **given) as launch:
            launch.until(lambda: launch.pids("hardware_node"), "the driver is there")
            (driver,) = launch.pids("hardware_node")
            os.kill(driver, signal.SIGSTOP)
            try:
                there(launch, foreign, "ros2_control_node", "robot_state_publisher")
                assert not foreign.starts("spawner")
            finally:
                os.kill(driver, signal.SIGCONT)
            there(launch, foreign, "spawner")
            foreign.end("spawner", 0)
            launch.until_said("[spawner-")
            launch.until(lambda: "has finished cleanly" in launch.said, "it has done its work")
            assert launch.interrupt() == 0, launch.said


def test_a_launch_that_is_ended_before_the_drivers_first_word_spawns_nothing(foreign, tmp_path):
    with Twin(tmp_path) as twin:
        given = {"usb_port": str(twin.port), "calibration": str(twin.calibration)}
        with launched(tmp_path, "hardware", **given, use_ros2_control="true") as launch:
            there(launch, foreign, "ros2_control_node")
            launch.interrupt()
        assert not foreign.starts("spawner")


def test_a_controller_that_cannot_be_spawned_ends_everything(foreign, tmp_path):
    foreign.end("spawner", 1)
    with launched(tmp_path, "hardware", use_mock_hardware="true") as launch:
        assert launch.end() == 1
    assert "spawner ended with exit code 1" in launch.said


@pytest.mark.parametrize(
    ("name", "executable", "code"),
    [
        ("view", "rviz2", 0),
        ("replay", "player", 0),
        ("moveit", "move_group", 1),
        ("hardware", "ros2_control_node", 1),
    ],
)
def test_the_launch_ends_with_what_it_is_about(foreign, tmp_path, name, executable, code):
    given = {"replay": {"bag": BAG}, "hardware": {"hardware_type": "mujoco"}}.get(name, {})
    with launched(tmp_path, name, **given) as launch:
        there(launch, foreign, "robot_state_publisher", executable)
        foreign.end(executable, code)
        assert launch.end() == code, launch.said


def test_a_window_that_is_closed_ends_nothing_else(foreign, tmp_path):
    with launched(tmp_path, "moveit", launch_rviz="true") as launch:
        there(launch, foreign, "move_group", "rviz2")
        foreign.end("rviz2", 0)
        launch.until(lambda: "process has finished cleanly" in launch.said, "it is closed")
        assert launch.process.poll() is None
        assert launch.interrupt() == 0


def test_a_gamepads_reader_comes_back(foreign, tmp_path):
    with launched(tmp_path, "teleop", robot="sim", teleop="joy", launch_joy="true") as launch:
        there(launch, foreign, "joy_node")
        os.kill(foreign.starts("joy_node")[0]["pid"], signal.SIGKILL)
        there(launch, foreign, "joy_node", count=2)
        assert launch.interrupt() == 0
