"""Launch files render the very graph that the supervisor runs.

ROS's launch is not on PyPI. A stand-in records what the files ask of it; the files themselves run
unchanged. `test_real_launch` loads them with the real one, where that is installed.
"""

import asyncio
import importlib.util
import json
import shlex
import shutil
import sys
import time
import types
from pathlib import Path

import pytest
from factories import make_calibration

from so101.clock import NS_PER_S
from so101.errors import ConfigError, SessionError, StoreError
from so101.graph_clock import ANCHOR
from so101_bringup import launch_rendering
from so101_bringup.agreement import checked_graph
from so101_bringup.claims import claimed_domain, claimed_store
from so101_bringup.deaths import USER_ERROR, Patience
from so101_bringup.graph import GRAPHS, GraphOptions, environment_of
from so101_bringup.launch_arguments import read_options
from so101_bringup.launch_table import LAUNCH_FILES
from so101_bringup.node_spec import NodeSpec
from so101_bringup.supervisor import program_of

ROOT = Path(__file__).parents[2]
SESSION_FILES = [name for name, file in LAUNCH_FILES.items() if file.is_session]
ARM = {"usb_port": "/dev/serial/by-id/arm", "calibration": "arm.json"}
LEADER = {"teleop": "leader", "leader_port": "/dev/leader", "leader_calibration": "leader.json"}
SIM = {"robot": "sim"}
REAL = {"robot": "real", **ARM}
RVIZ = {"launch_rviz": "true", "namespace": "left", "frame_prefix": "left/", "base": "0 1 0 0 0 0"}
SESSIONS = [
    SIM,
    {**SIM, "state": "true", "seed": "7", "speed": "1.0", "store": "data/a b"},
    {**SIM, "namespace": "robot1", "cameras": "wrist", "use_sim_time": "true", "operator": "1: é"},
    {**SIM, **RVIZ, "teleop": "joy", "launch_joy": "true", "simulated_latency": "0.1"},
    {**SIM, "elsewhere": "recorder_node,teleop_node", "images": "both"},
    {**SIM, "launch_diagnostics": "true", "namespace": "left"},
]
GRID = {
    "rl": [*SESSIONS, {**SIM, "learning_python": "/opt/my venv/bin/python", "schedule": "sync"}],
    "record": [
        *SESSIONS,
        {**REAL, **LEADER},
        {**REAL, **RVIZ, "teleop": "gamepad"},
        {**REAL, **LEADER, "use_ros2_control": "true"},
    ],
    "up": [*SESSIONS, REAL, {**REAL, **LEADER, "server": "ws://gpu:8000"}],
    "sim": [{}, {"state": "true", "namespace": "left", "schedule": "sync"}, RVIZ],
    "hardware": [
        ARM,
        {**ARM, **RVIZ, "teleop": "leader"},
        {**ARM, "use_ros2_control": "true", "prefix": "a_"},
        {**ARM, "hardware_type": "feetech", "controllers": "arm_controller"},
        {"use_mock_hardware": "true", **RVIZ},
        {"use_fake_hardware": "true"},
        {"hardware_type": "mujoco", "namespace": "left"},
        {"hardware_type": "gazebo"},
    ],
    "cameras": [{}, {"cameras": "wrist,front,top", "images": "raw", "namespace": "left"}],
    "teleop": [SIM, {**SIM, "teleop": "joy", "launch_joy": "true"}, {"robot": "real", **LEADER}],
    "policy": [
        SIM,
        {**SIM, "schedule": "sync", "simulated_latency": "0.1", "learning_python": "~/v/python"},
        {"robot": "real", "server": "ws://gpu:8000", "namespace": "left"},
    ],
    "learner": [{}, {"store": "data/a b", "learning_python": "/v/bin/python", "state": "true"}],
    "motion": [SIM, {"robot": "real", "namespace": "left"}],
    "description": [{}, RVIZ, {"gui": "true", "prefix": "a_"}],
    "view": [{}, {**RVIZ, "gui": "true"}, {"namespace": "left", "use_sim_time": "true"}],
    "moveit": [{}, RVIZ, {"use_ros2_control": "true"}, {"launch_description": "false"}],
    "replay": [{"bag": "bag"}, {"bag": "bag", "rate": "0.5", "loop": "true", **RVIZ}],
}
"""What is typed after each launch file."""
CASES = [
    pytest.param(name, given, id=f"{name}-{number}")
    for name, cases in GRID.items()
    for number, given in enumerate(cases)
]


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
            "LogInfo",
            "OpaqueCoroutine",
            "OpaqueFunction",
            "RegisterEventHandler",
            "SetEnvironmentVariable",
            "Shutdown",
        ),
        stub("launch.event_handlers", "OnProcessExit"),
        stub("launch.events", "IncludeLaunchDescription"),
        stub("launch_ros"),
        stub("launch_ros.actions", "Node"),
    ]
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def files(tmp_path):
    """What some graphs name: a bag and a calibration."""
    shutil.copytree(ROOT / "test/golden/episode", tmp_path / "bag")
    (tmp_path / "arm.json").write_text(json.dumps(make_calibration()))


def load(name):
    path = ROOT / "launch" / f"{name}.launch.py"
    spec = importlib.util.spec_from_file_location("launch_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def run(name, **given):
    """Do what ``ros2 launch`` does: defaults, what was given, then the opaque function."""
    *arguments, function = load(name).args[0]
    declared = {action.args[0]: action.kwargs for action in arguments}
    values = {key: a["default_value"] for key, a in declared.items() if "default_value" in a}
    for key, text in given.items():
        assert text in declared.get(key, {}).get("choices", [text])
    argv = [f"{key}:={text}" for key, text in given.items()]
    context = types.SimpleNamespace(launch_configurations={**values, **given}, argv=argv)
    return function.kwargs["function"](context)


def options_of(name, given):
    return read_options({**given, **LAUNCH_FILES[name].fixed})


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


def started(actions):
    """Return the node actions, of those that wait for a topic as well."""
    found = of_kind(actions, "Node")
    for action in of_kind(actions, "OpaqueCoroutine"):
        if action.kwargs["coroutine"].__name__ == "start":
            entities = asyncio.run(included(action.kwargs["coroutine"]))
            found += of_kind(entities, "Node")
    return found


async def included(coroutine):
    """Return what a coroutine asks launch to include."""
    events = []

    async def emit(event):
        events.append(event)

    await coroutine(types.SimpleNamespace(emit_event=emit))
    (event,) = events
    return event.args[0].args[0]


def from_launch(actions):
    """Reduce node actions to comparable rows."""
    rows = []
    for action in started(actions):
        values = action.kwargs
        row = (
            values["executable"],
            values.get("name"),
            f"/{values['namespace']}" if values["namespace"] else "",
            values["arguments"],
            *parameters_of(values["ros_arguments"]),
            [list(pair) for pair in values["remappings"]],
            values["respawn"],
            shlex.split(values.get("prefix", "")),
        )
        rows.append(row)
    return rows


def from_supervisor(node):
    """Read the same row back from the supervisor's command line."""
    program = program_of(node)
    python, _, module, *rest = program.argv
    split = rest.index("--ros-args")
    arguments, rest = rest[:split], rest[split + 1 :]
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    remaps = dict(value.split(":=", 1) for flag, value in pairs if flag == "-r")
    return (
        module.removesuffix(".node"),
        remaps.pop("__node"),
        remaps.pop("__ns", ""),
        arguments,
        *parameters_of([each for pair in pairs if pair[0] != "-r" for each in pair]),
        [list(pair) for pair in remaps.items()],
        program.respawn,
        [] if python == sys.executable else [python],
    )


def from_data(node):
    """Read the same row from a node that the supervisor cannot run: a distribution's."""
    with pytest.raises(ConfigError, match="needs a ROS installation"):
        program_of(node)
    values = {key: json.loads(json.dumps(value)) for key, value in node.parameters.items()}
    return (
        node.executable,
        None if node.names_itself else node.name,
        f"/{node.namespace}" if node.namespace else "",
        list(node.arguments),
        list(node.own_files),
        values,
        0 if values else None,
        [list(pair) for pair in node.remappings],
        node.respawn,
        [],
    )


def expected(nodes):
    return [from_supervisor(node) if node.is_ours else from_data(node) for node in nodes]


@pytest.fixture
def heard(monkeypatch):
    """Topics that a launch waits for; their first message comes at once."""
    topics = []

    async def first_message(namespace, topic):
        topics.append((namespace, topic))
        return True

    monkeypatch.setattr(launch_rendering, "first_message", first_message)
    return topics


def by_name(rows):
    return sorted(rows, key=lambda row: (row[0], str(row[1])))


@pytest.mark.parametrize(("name", "given"), CASES)
def test_launch_and_supervisor_run_the_same_graph(launch, files, heard, name, given):
    actions = run(name, **given)
    options = options_of(name, given)
    nodes = checked_graph(LAUNCH_FILES[name].graph, options)
    assert by_name(from_launch(actions)) == by_name(expected(nodes))
    assert heard == [(node.namespace, node.after) for node in nodes if node.after]
    variables = dict(a.args for a in of_kind(actions, "SetEnvironmentVariable"))
    anchor_ns = int(variables.pop(ANCHOR))
    assert abs(anchor_ns + time.monotonic_ns() - time.time_ns()) < NS_PER_S
    assert variables == environment_of(options)


def test_every_launch_file_is_tried():
    assert set(GRID) == set(LAUNCH_FILES)
    assert {file.graph for file in LAUNCH_FILES.values()} | {"evaluate"} == set(GRAPHS)


def test_a_server_would_never_act_where_a_learner_makes_the_policies(launch):
    with pytest.raises(ConfigError, match="never would"):
        run("rl", robot="sim", server="ws://gpu:8000")


def test_an_own_parameter_file_comes_last_in_both(launch, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("/**: {ros__parameters: {seed: 1}}\n")
    given = {"robot": "sim", "params_file": str(path)}
    actions = run("rl", **given)
    assert from_launch(actions) == expected(checked_graph("rl", read_options(given)))
    for action in of_kind(actions, "Node"):
        assert action.kwargs["ros_arguments"][-1] == str(path)
        assert "parameters" not in action.kwargs  # in a file of their own they would win


def test_a_part_has_no_session_to_wait_for_and_claims_nothing(launch, at_exit):
    for _ in range(2):  # beside itself, and beside the session that it is a part of
        for name in ("sim", "motion", "cameras", "learner"):
            actions = run(name, **({"robot": "sim"} if name == "motion" else {}))
            assert not of_kind(actions, "OpaqueCoroutine")
    assert not at_exit


def test_an_option_that_a_file_has_no_use_for_is_said(launch):
    actions = run("motion", robot="sim", speed="1.0")
    (note,) = of_kind(actions, "LogInfo")
    assert "no use for speed" in note.kwargs["msg"]
    assert not of_kind(run("motion", robot="sim"), "LogInfo")


@pytest.mark.parametrize("code", [0, 1, -9])
def test_what_ends_itself_ends_the_launch_only_when_it_fails(code):
    node = NodeSpec(executable="spawner", name="spawner", is_essential=False, ends_itself=True)
    judge = launch_rendering._judge_deaths(node)
    event = types.SimpleNamespace(returncode=code)
    context = types.SimpleNamespace(is_shutdown=False)
    if code == 0:
        assert judge(event, context) is None
    else:
        with pytest.raises(SessionError, match="spawner ended"):
            judge(event, context)


@pytest.mark.parametrize("code", [0, 1, USER_ERROR, -9])
def test_the_launch_ends_with_an_error_where_the_supervisor_ends_the_graph(launch, code):
    actions = run("rl", robot="sim")
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
        run("rl", robot="sim", store="mine")
    run("rl", robot="sim", store="mine")
    with pytest.raises(StoreError, match="in use by another so101 job"):
        run("rl", robot="sim", store="mine")
    with pytest.raises(SessionError, match=f"domain {ros_domain}"):
        run("record", robot="sim", store="another")
    at_exit.pop()()
    with claimed_store(Path("mine")), claimed_domain():
        pass


def test_two_arms_in_namespaces_of_their_own_share_a_domain(launch):
    run("up", robot="sim", store="left", namespace="left")
    run("up", robot="sim", store="right", namespace="/right/")
    with pytest.raises(SessionError, match="namespace left of ROS domain"):
        run("up", robot="sim", store="another", namespace="/left")


@pytest.mark.parametrize("name", SESSION_FILES)
@pytest.mark.parametrize(
    ("node", "values", "words"),
    [
        ("teleop_node", {"decision_ticks": 12}, "decision_ticks=12"),
        ("motion_node", {"spede": 0.3}, "did you mean 'speed'"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused_before_a_node_starts(
    launch, tmp_path, name, node, values, words
):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({node: {"ros__parameters": values}}))
    with pytest.raises(ConfigError, match=words):
        run(name, robot="sim", params_file=str(path))
