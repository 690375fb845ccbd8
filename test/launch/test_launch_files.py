"""Launch files render the very graph that the supervisor runs.

ROS's launch is not on PyPI. A stand-in records what the files ask of it; the files themselves run
unchanged. Where the real one is installed, test_real_launch below loads them with it.
"""

import ast
import importlib.util
import json
import sys
import time
import types
from pathlib import Path

import pytest

from so101.clock import NS_PER_S
from so101.errors import ConfigError, SessionError, StoreError
from so101.graph_clock import ANCHOR
from so101_bringup import launch_rendering
from so101_bringup.agreement import checked_graph
from so101_bringup.claims import claimed_domain, claimed_store
from so101_bringup.deaths import USER_ERROR, Patience
from so101_bringup.graph import GRAPHS, GraphOptions, environment_of
from so101_bringup.launch_rendering import (
    check_typed,
    launch_arguments,
    node_arguments,
    read_options,
)
from so101_bringup.supervisor import parameter_arguments, program_of

ROOT = Path(__file__).parents[2]
FILES = {"rl.launch.py": "rl", "record.launch.py": "record", "up.launch.py": "up"}
EXPECTED_ARGUMENTS = {
    "robot",
    "namespace",
    "use_sim_time",
    "task",
    "episodes",
    "checkpoint",
    "server",
    "server_token_file",
    "schedule",
    "algorithm",
    "launch_rviz",
    "discovery",
    "use_ros2_control",
}


class Action:
    """Any class of launch: keeps its name and arguments."""

    def __init__(self, *args, **kwargs):
        self.args = args
        self.kwargs = kwargs


def stub(name, *classes):
    module = types.ModuleType(name)
    for each in classes:
        setattr(module, each, type(each, (Action,), {}))
    return module


@pytest.fixture
def at_exit(monkeypatch):
    """What would be called at the end of the process; at the end of the test at the latest."""
    calls = []
    monkeypatch.setattr(launch_rendering.atexit, "register", calls.append)
    yield calls
    for call in calls:
        call()


@pytest.fixture
def launch(monkeypatch, tmp_path, ros_domain, at_exit):
    monkeypatch.chdir(tmp_path)
    modules = [
        stub("launch", "LaunchDescription"),
        stub(
            "launch.actions",
            "DeclareLaunchArgument",
            "OpaqueCoroutine",
            "OpaqueFunction",
            "RegisterEventHandler",
            "SetEnvironmentVariable",
            "Shutdown",
        ),
        stub("launch.event_handlers", "OnProcessExit"),
        stub("launch_ros"),
        stub("launch_ros.actions", "Node"),
    ]
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)


def load(file):
    spec = importlib.util.spec_from_file_location("launch_file", ROOT / "launch" / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def run(file, **given):
    """Do what ``ros2 launch`` does: defaults, what was given, then the opaque function."""
    *arguments, function = load(file).args[0]
    values = {action.args[0]: action.kwargs["default_value"] for action in arguments}
    assert set(given) <= set(values)
    argv = [f"{name}:={text}" for name, text in given.items()]
    context = types.SimpleNamespace(launch_configurations={**values, **given}, argv=argv)
    return function.kwargs["function"](context)


def of_kind(actions, kind):
    return [action for action in actions if type(action).__name__ == kind]


def parameters_of(argv):
    """Return a command line's parameter files, its values, and where the values come."""
    pairs = list(zip(argv[::2], argv[1::2], strict=True))
    flags = [flag for flag, _ in pairs]
    assert set(flags) <= {"--params-file", "-p"}
    files = [value for flag, value in pairs if flag == "--params-file"]
    values = dict(value.split(":=", 1) for flag, value in pairs if flag == "-p")
    values = {key: json.loads(text) for key, text in values.items()}
    assert all(value != [] for value in values.values())  # ROS has no type for these
    return files, values, flags.index("-p") if values else None


def from_launch(actions):
    """Reduce node actions to comparable rows."""
    rows = []
    for action in of_kind(actions, "Node"):
        values = action.kwargs
        row = (
            values["executable"],
            values["name"],
            f"/{values['namespace']}" if values["namespace"] else "",
            *parameters_of(values["ros_arguments"]),
            [list(pair) for pair in values["remappings"]],
            values["respawn"],
        )
        rows.append(row)
    return rows


def from_supervisor(nodes):
    """Read the same rows back from the supervisor's command lines."""
    rows = []
    for node in nodes:
        program = program_of(node)
        module, flag, *rest = program.argv[2:]
        assert flag == "--ros-args"
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        remaps = dict(value.split(":=", 1) for flag, value in pairs if flag == "-r")
        row = (
            module.removesuffix(".node"),
            remaps.pop("__node"),
            remaps.pop("__ns", ""),
            *parameters_of([each for pair in pairs if pair[0] != "-r" for each in pair]),
            [list(pair) for pair in remaps.items()],
            program.respawn,
        )
        rows.append(row)
    return rows


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"state": "true", "seed": "7", "speed": "1.0", "store": "data/a b"},
        {"namespace": "robot1", "cameras": "wrist", "use_sim_time": "true", "operator": "1: é"},
        {"schedule": "sync", "simulated_latency": "0.1"},
    ],
    ids=["plain", "state", "namespace", "schedule"],
)
def test_launch_and_supervisor_run_the_same_graph(launch, file, given):
    given = {"robot": "sim", **given}
    actions = run(file, **given)
    nodes = GRAPHS[FILES[file]](read_options(given))
    assert from_launch(actions) == from_supervisor(nodes)
    variables = dict(a.args for a in of_kind(actions, "SetEnvironmentVariable"))
    anchor_ns = int(variables.pop(ANCHOR))
    assert abs(anchor_ns + time.monotonic_ns() - time.time_ns()) < NS_PER_S
    assert variables == environment_of(read_options(given))


def test_a_server_is_named_in_both(launch):
    given = {"robot": "sim", "server": "ws://gpu:8000", "server_token_file": "~/.so101/token"}
    assert from_launch(run("up.launch.py", **given)) == from_supervisor(
        GRAPHS["up"](read_options(given))
    )
    with pytest.raises(ConfigError, match="never would"):
        run("rl.launch.py", **given)


def test_an_own_parameter_file_comes_last_in_both(launch, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("/**: {ros__parameters: {seed: 1}}\n")
    given = {"robot": "sim", "params_file": str(path)}
    actions = run("rl.launch.py", **given)
    assert from_launch(actions) == from_supervisor(checked_graph("rl", read_options(given)))
    for action in of_kind(actions, "Node"):
        assert action.kwargs["ros_arguments"][-1] == str(path)
        assert "parameters" not in action.kwargs  # in a file of their own they would win


@pytest.mark.parametrize("code", [0, 1, USER_ERROR, -9])
def test_the_launch_ends_with_an_error_where_the_supervisor_ends_the_graph(launch, code):
    actions = run("rl.launch.py", robot="sim")
    watches = {
        handler.args[0].kwargs["target_action"].kwargs["name"]: handler.args[0].kwargs["on_exit"]
        for handler in of_kind(actions, "RegisterEventHandler")
    }
    event = types.SimpleNamespace(returncode=code)
    for node in GRAPHS["rl"](GraphOptions(robot="sim")):
        judge = watches.pop(node.name)
        judge(event, types.SimpleNamespace(is_shutdown=True))
        if node.is_essential and code == 0:  # it was asked to, as by Ctrl-C
            shutdown = judge(event, types.SimpleNamespace(is_shutdown=False))
            assert (type(shutdown).__name__, shutdown.kwargs["reason"]) == (
                "Shutdown",
                f"{node.name} was ended",
            )
        elif node.is_essential or code == USER_ERROR:
            with pytest.raises(SessionError, match=f"{node.name} ended with exit code {code}"):
                judge(event, types.SimpleNamespace(is_shutdown=False))
        else:
            judge(event, types.SimpleNamespace(is_shutdown=False))
    assert not watches


def test_a_node_that_keeps_dying_is_given_up_as_the_supervisor_gives_it_up(launch):
    node = next(each for each in GRAPHS["rl"](GraphOptions(robot="sim")) if each.respawn)
    now = [0.0]
    judge = launch_rendering._judge_deaths(node, lambda: now[0])
    event, context = types.SimpleNamespace(returncode=-9), types.SimpleNamespace(is_shutdown=False)
    for lived_s in (1.0, 1.0, 40.0, *[1.0] * (Patience().most - 1)):
        now[0] += lived_s + 2.0
        judge(event, context)
    now[0] += 3.0
    with pytest.raises(SessionError, match=f"{node.name} ended with exit code -9"):
        judge(event, context)


def test_a_launch_has_its_store_and_its_domain_for_itself(launch, at_exit, ros_domain):
    with claimed_store(Path("mine")), pytest.raises(StoreError, match="in use by another"):
        run("rl.launch.py", robot="sim", store="mine")
    run("rl.launch.py", robot="sim", store="mine")
    with pytest.raises(StoreError, match="in use by another so101 job"):
        run("rl.launch.py", robot="sim", store="mine")
    with pytest.raises(SessionError, match=f"domain {ros_domain}"):
        run("record.launch.py", robot="sim", store="another")
    at_exit.pop()()
    with claimed_store(Path("mine")), claimed_domain():
        pass


@pytest.mark.parametrize(
    ("typed", "right"), [("robt", "robot"), ("sed", "seed"), ("demonstration", "demonstrations")]
)
def test_a_misspelled_argument_is_refused_although_launch_ignores_it(typed, right):
    names = [name for name, _, _ in launch_arguments()]
    check_typed([f"{name}:=1" for name in (*names, "robot_ip", "use_gripper")], names)
    with pytest.raises(ConfigError, match=f"{typed!r}, did you mean {right!r}"):
        check_typed(["robot:=sim", f"{typed}:=1"], names)


@pytest.mark.parametrize("file", FILES)
def test_the_robot_is_never_guessed(launch, file):
    with pytest.raises(ConfigError, match="never guessed"):
        run(file)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": "x"}, "seed: expected int, got 'x'"),
        ({"speed": "3"}, "speed: 3.0 is outside 0..2"),
        ({"discovery": "world"}, "discovery: 'world' is not one of localhost, subnet"),
        ({"state": "maybe"}, "state: expected bool, got 'maybe'"),
        ({"robt": "sim"}, "unknown key 'robt', did you mean 'robot'?"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(given, message):
    with pytest.raises(ConfigError) as caught:
        read_options({"robot": "sim", **given})
    assert message in str(caught.value)


def test_arguments_have_the_names_people_expect_and_are_documented():
    arguments = {name: doc for name, _, doc in launch_arguments()}
    assert set(arguments) >= EXPECTED_ARGUMENTS
    assert all(arguments.values())


def test_default_arguments_are_the_default_options():
    texts = {name: text for name, text, _ in launch_arguments()}
    assert read_options(texts) == GraphOptions()


def test_launch_files_are_thin_and_the_folder_is_no_package():
    files = sorted(path.name for path in (ROOT / "launch").iterdir() if path.is_file())
    assert files == sorted(FILES)
    for file in FILES:
        assert len((ROOT / "launch" / file).read_text().splitlines()) <= 60


def test_every_executable_of_every_graph_is_installed():
    """setup.py names a console script for each; ros2 run and launch find nothing else."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    texts = {
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    for make in GRAPHS.values():
        for node in make(GraphOptions(robot="sim", checkpoint="x")):
            assert any(
                text.replace(" ", "") == f"{node.executable}={node.executable}.node:main"
                for text in texts
            ), node.executable


def test_the_command_line_that_real_launch_makes():
    """Only where ROS is installed, as `test_real_launch`."""
    actions = pytest.importorskip("launch_ros.actions")
    for node in GRAPHS["rl"](GraphOptions(robot="sim", state=True, operator="1: é")):
        cmd = actions.Node(**{**node_arguments(node), "package": None}).cmd
        words = ["".join(getattr(part, "text", "") for part in word) for word in cmd]
        start = words.index("--ros-args") + 1
        given = parameter_arguments(node)
        assert words[start : start + len(given)] == given


def test_real_launch(monkeypatch):
    """Only where ROS is installed; the checkout's own ``launch`` folder is not ROS's."""
    pytest.importorskip("launch.actions")
    assert load("rl.launch.py").entities


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("node", "values", "words"),
    [
        ("teleop_node", {"decision_ticks": 12}, "decision_ticks=12"),
        ("motion_node", {"spede": 0.3}, "did you mean 'speed'"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused_before_a_node_starts(
    launch, tmp_path, file, node, values, words
):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({node: {"ros__parameters": values}}))
    with pytest.raises(ConfigError, match=words):
        run(file, robot="sim", params_file=str(path))
