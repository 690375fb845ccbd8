"""Launch files started for real, with ROS's own launch, to their end. Skipped where it is missing.

They need the package built and sourced; docs/guides/ros_install.md says how that is done without
a ROS distribution.
"""

import os
import signal
import subprocess
import sys

import pytest
from real_launch import PACKAGE, launched, ran

pytest.importorskip("launch.actions")  # the checkout's own folder launch is not ROS's
pytest.importorskip("ros2launch")
packages = pytest.importorskip("ament_index_python.packages")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402 (after the skips)
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import parameter_value_to_python  # noqa: E402
from rclpy.parameter_client import AsyncParameterClient  # noqa: E402
from twin_process import Twin  # noqa: E402

from so101.errors import SessionError  # noqa: E402
from so101.ros.client import GraphClient  # noqa: E402
from so101_bringup.agreement import checked_graph  # noqa: E402
from so101_bringup.launch_arguments import read_options  # noqa: E402
from so101_bringup.launch_table import LAUNCH_FILES  # noqa: E402

try:
    packages.get_package_prefix(PACKAGE)
except LookupError:
    pytest.skip(f"{PACKAGE} is not built and sourced", allow_module_level=True)

pytestmark = [pytest.mark.ros, pytest.mark.timeout(400)]
STATE = {"robot": "sim", "state": "true"}
LAUNCHES = [
    ("sim", {"state": "true", "namespace": "left"}),
    ("policy", STATE),
    ("learner", {"state": "true"}),
    ("motion", {"robot": "sim"}),
    ("teleop", {"robot": "sim", "teleop": "keyboard"}),
    ("up", {**STATE, "seed": "3", "operator": "1: é"}),
    ("record", {**STATE, "teleop": "keyboard", "namespace": "left"}),
    ("rl", {**STATE, "seed": "3"}),
]
QUICK = {**STATE, "demonstrations": "1", "evaluation_episodes": "1", "groups": "0"}
QUICKER = """
learner_node: {ros__parameters: {steps: 20}}
reward_node: {ros__parameters: {time_limit: 1.0, session: {target_success: 0.0}}}
"""


@pytest.fixture
def quick(tmp_path):
    """Arguments of the main job in small."""
    path = tmp_path / "mine.yaml"
    path.write_text(QUICKER)
    return {**QUICK, "params_file": str(path), "store": "run"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Where launch runs, and what relative paths are relative to."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def checker(ros_context):
    """A node beside the graph, and what spins it."""
    node = Node("checker", context=ros_context, use_global_arguments=False)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()


def graph_of(name, given):
    """Return the nodes of ours that a launch file with these arguments is to start."""
    options = read_options({**given, **LAUNCH_FILES[name].fixed})
    return [node for node in checked_graph(LAUNCH_FILES[name].graph, options) if node.is_ours]


def full_name(node):
    return "/".join(("", *filter(None, (node.namespace.strip("/"), node.name))))


def check_parameters(checker, launch, nodes):
    """Hold the parameters of running nodes against the graph's."""
    for node in nodes:
        have = running_parameters(checker, launch, full_name(node), list(node.parameters))
        assert have == dict(node.parameters), node.name


def running_parameters(checker, launch, name, keys):
    """Return parameters of a node, which answers once it has begun to spin."""
    me, executor = checker
    client = AsyncParameterClient(me, name)
    launch.until(client.services_are_ready, f"{name} is there")
    future = client.get_parameters(keys)
    executor.spin_until_future_complete(future, timeout_sec=60.0)
    values = [parameter_value_to_python(value) for value in future.result().values]
    return {key: plain(value) for key, value in zip(keys, values, strict=True)}


def plain(value):
    """Return a value as the graph has it: lists are tuples, one empty text is an empty list."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return value
    return () if tuple(value) == ("",) else tuple(value)


def refusal(service):
    """Call a service; return why it was refused, empty where it was not."""
    with GraphClient() as client:
        try:
            client.call(service)
        except SessionError as error:
            return str(error)
    return ""


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize(("name", "given"), LAUNCHES, ids=[name for name, _ in LAUNCHES])
def test_it_runs_as_its_graph_says_and_ends_orderly_when_asked(checker, tmp_path, name, given):
    nodes = graph_of(name, given)
    with launched(tmp_path, name, **given) as launch:
        check_parameters(checker, launch, nodes)
        assert launch.interrupt() == 0, launch.said
    assert all(is_gone(pid) for node in nodes for pid in launch.pids(node.executable))


def test_the_main_job_runs_to_its_end(ros_domain, tmp_path, quick):
    with launched(tmp_path, "rl", **quick) as launch:
        assert launch.end() == 0, launch.said
    assert list((tmp_path / "run" / "episodes").glob("*/*.mcap"))
    assert list((tmp_path / "run" / "checkpoints").rglob("model.safetensors"))


def test_a_policy_that_dies_comes_back_and_the_arm_that_dies_ends_everything(ros_domain, tmp_path):
    with launched(tmp_path, "up", **STATE) as launch:
        launch.until(lambda: launch.pids("policy_node"), "the policy is there")
        os.kill(launch.pids("policy_node")[0], signal.SIGKILL)
        launch.until(lambda: len(launch.pids("policy_node")) == 2, "it is back")
        os.kill(launch.pids("simulation_node")[0], signal.SIGKILL)
        assert launch.end() == 1
    assert "simulation_node ended with exit code -9" in launch.said
    assert all(is_gone(pid) for pid in launch.pids("policy_node"))


def test_the_real_arm_on_servos_that_are_simulated(checker, ros_domain, tmp_path):
    with Twin(tmp_path) as twin:
        given = {"usb_port": str(twin.port), "calibration": str(twin.calibration)}
        given |= {"write_eeprom": "true"}
        with launched(tmp_path, "hardware", **given) as launch:
            check_parameters(checker, launch, graph_of("hardware", given))
            assert launch.interrupt() == 0, launch.said
        with launched(tmp_path, "hardware", **given) as launch:
            launch.until(lambda: launch.pids("hardware_node"), "the arm is there")
            os.kill(launch.pids("hardware_node")[0], signal.SIGKILL)
            assert launch.end() == 1


def test_cameras_that_are_not_there_end_the_launch_and_say_so(ros_domain, tmp_path):
    with launched(tmp_path, "cameras", cameras="top") as launch:
        assert launch.end() == 1
    assert "camera_node: error: device: no camera named" in launch.said


def test_a_store_has_one_session_at_a_time(ros_domain, tmp_path):
    with launched(tmp_path, "up", **STATE, store="run", namespace="one") as first:
        first.until(lambda: first.pids("recorder_node"), "it runs")
        with launched(tmp_path, "up", **STATE, store="run", namespace="two") as second:
            assert second.end() == 1
        assert "in use by another so101 job" in second.said
        assert first.process.poll() is None


def test_two_arms_side_by_side(checker, tmp_path):
    sides = {}
    for side in ("left", "right"):
        sides[side] = {**STATE, "namespace": side, "store": side}
    with (
        launched(tmp_path, "up", **sides["left"]) as left,
        launched(tmp_path, "up", **sides["right"]) as right,
    ):
        for launch, given in ((left, sides["left"]), (right, sides["right"])):
            check_parameters(checker, launch, graph_of("up", given))
        assert left.interrupt() == 0
        assert right.process.poll() is None
        assert right.interrupt() == 0


def test_the_policy_in_a_launch_of_its_own(ros_domain, tmp_path):
    with launched(tmp_path, "up", **STATE, elsewhere="policy_node") as rest:
        rest.until(lambda: rest.pids("reward_node"), "it runs")
        assert not rest.pids("policy_node")
        with launched(tmp_path, "policy", **STATE) as policy:
            lacking = "the policy has no checkpoint yet"  # said once everybody was heard
            rest.until(lambda: lacking in refusal("episode/start"), "the session is ready")
            assert policy.interrupt() == 0
        assert rest.interrupt() == 0


def test_the_nodes_that_learn_have_a_python_of_their_own(ros_domain, tmp_path, quick):
    python, runs = tmp_path / "its python", tmp_path / "runs"
    python.write_text(f'#!/bin/sh\necho "$@" >> {runs}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with launched(tmp_path, "rl", **quick, learning_python=str(python)) as launch:
        assert launch.end() == 0, launch.said
    lines = runs.read_text().splitlines()
    programs = {os.path.basename(line.split()[0]) for line in lines}
    assert programs == {"policy_node", "learner_node"}


def test_every_node_is_started_by_its_name(checker, tmp_path):
    listed = subprocess.run(
        ["ros2", "pkg", "executables", PACKAGE], capture_output=True, text=True, check=True
    )
    programs = {line.split()[1] for line in listed.stdout.splitlines()}
    lacking = {
        "camera_node": "camera",
        "hardware_node": "calibration",
        "learner_node": "store",
        "recorder_node": "store",
        "joy_keyboard": "terminal",
    }
    assert {*lacking, "marker_node"} < programs
    for program in sorted(programs - {"so101"}):
        with ran(tmp_path, program) as node:
            if program in lacking:
                assert node.end() == 2, node.said
                assert lacking[program] in node.said
            else:
                running_parameters(checker, node, f"/{program}", ["use_sim_time"])
                assert node.ctrl_c() == 0, node.said
