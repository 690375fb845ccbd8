"""The arguments of the launch files: what each takes, how it is read, what is refused."""

import re
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest

from so101.errors import ConfigError, So101Error
from so101_bringup import foreign_nodes
from so101_bringup.graph import GRAPHS, GraphOptions, environment_of
from so101_bringup.launch_arguments import (
    check_typed,
    launch_arguments,
    read_options,
    unused,
)
from so101_bringup.launch_table import LAUNCH_FILES

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "robot",
    "namespace",
    "use_sim_time",
    "task",
    "store",
    "cameras",
    "teleop",
    "use_ros2_control",
    "use_mock_hardware",
    "hardware_type",
    "launch_rviz",
    "discovery",
    "params_file",
}
OTHERS = {
    "rl": {"episodes", "checkpoint", "server", "schedule", "algorithm", "learning_python"},
    "record": {"usb_port", "calibration", "robot_id", "demonstrations", "leader_port"},
    "up": {"usb_port", "calibration", "robot_id", "checkpoint", "server", "server_token_file"},
    "hardware": {"usb_port", "controllers_file", "prefix", "use_fake_hardware"},
}
SIM = GraphOptions(robot="sim")
REAL = GraphOptions(
    robot="real",
    usb_port="/dev/arm",
    calibration="arm.json",
    teleop="leader",
    leader_port="/dev/leader",
    leader_calibration="leader.json",
)
BASES = (
    SIM,
    replace(SIM, checkpoint="here"),
    replace(SIM, server="ws://gpu:8000"),
    replace(SIM, teleop="joy", launch_rviz=True, namespace="left", frame_prefix="left/"),
    REAL,
    replace(REAL, launch_rviz=True, frame_prefix="left/"),
    replace(REAL, calibration="", robot_id="mine"),
    replace(REAL, hardware_type="topic", launch_rviz=True),
    replace(REAL, hardware_type="feetech"),
    replace(REAL, hardware_type="gazebo"),
    replace(REAL, robot="sim", usb_port="", calibration=""),
    replace(SIM, bag=str(ROOT / "test/golden/episode"), launch_rviz=True, frame_prefix="left/"),
)
OTHER_VALUES = {
    "robot": ("sim", "real", ""),
    "cameras": (("wrist",), ()),
    "images": ("raw",),
    "speed": (1.0,),
    "schedule": ("sync",),
    "rule": ("median",),
    "gate": ("nothing",),
    "discovery": ("subnet",),
    "teleop": ("gamepad", "joy", "leader"),
    "start": ("wide", "moon"),
    "hardware_type": ("mock", "gazebo"),
    "bag": (str(ROOT / "test/golden/episode/rollout-1_0.mcap"),),
    "elsewhere": (("motion_node",),),
    "rviz_config_file": (str(ROOT / "package.xml"),),
    "controllers_file": (str(ROOT / "package.xml"),),
    "params_file": (str(ROOT / "config/policy_node.yaml"),),
}
OF_ANOTHER_JOB = {
    "record": {"schedule", "decision_ticks", "aux"},
    "up": {"demonstrations"},
}
"""Options that change a parameter which nobody reads in that session."""
GOALS = {"evaluation_episodes", "target_success", "groups", "rollouts", "rule"}
OF_EVAL = {"sha256"}


@pytest.fixture
def no_files(monkeypatch):
    """Files that some graphs read: one for all and once, as only what changes matters here."""
    for name, value in {
        "load_yaml": cache(foreign_nodes.load_yaml),
        "config_path": lambda name: ROOT / "config/motion_node.yaml",
        "robot_semantics": lambda options: "<robot/>",
        "robot_urdf": lambda options, below: " ".join(
            (options.prefix, *(control_of(options, below) if below else ()))
        ),
    }.items():
        monkeypatch.setattr(foreign_nodes, name, value)
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(ROOT / "nowhere"))


def control_of(options, below):
    """Return what the URDF says of ros2_control."""
    arm = (options.usb_port, options.calibration, options.robot_id) if below == "feetech" else ()
    return (below, *arm, *([options.controllers_file] if below == "gazebo" else []))


def outcome(name, options):
    """Return the nodes and environment of a launch file's graph, or why there is none."""
    try:
        return GRAPHS[LAUNCH_FILES[name].graph](options), environment_of(options)
    except So101Error as error:
        return str(error)


def others(option, value):
    """Return other values of an option."""
    if option in OTHER_VALUES:
        return OTHER_VALUES[option]
    if isinstance(value, bool):
        return (not value,)
    return (type(value)(value + 1),) if isinstance(value, (int, float)) else (more_of(value),)


def more_of(value):
    return (*value, "more") if isinstance(value, tuple) else f"{value}more"


def effects(name, option):
    """Return whether an option changes a graph somewhere, and whether it is refused somewhere."""
    is_changing = is_refused = False
    for base in BASES:
        before = outcome(name, base)
        for value in others(option, getattr(base, option)):
            after = outcome(name, replace(base, **{option: value}))
            is_refused |= isinstance(after, str) and after != before
            is_changing |= not isinstance(before, str) and after != before
    return is_changing, is_refused


@pytest.mark.parametrize("name", LAUNCH_FILES)
def test_a_launch_file_asks_for_what_changes_its_graph_and_for_nothing_else(no_files, name):
    file = LAUNCH_FILES[name]
    idle = OF_ANOTHER_JOB.get(name, set()) | (OF_EVAL if file.is_session else set())
    idle |= GOALS if name in ("record", "up") else set()
    apart = {"episodes", "elsewhere"} if file.is_session else set()  # before and after the graph
    for option in (spec.name for spec in fields(GraphOptions)):
        if option in idle | apart | set(file.fixed):
            continue
        is_changing, is_refused = effects(name, option)
        if option in file.arguments:
            assert is_changing or is_refused, f"{option} does nothing"
        else:
            assert not is_changing or is_refused, f"{option} is missing"


def test_arguments_have_the_names_people_expect_and_are_documented():
    for name, file in LAUNCH_FILES.items():
        arguments = {each.name: each for each in launch_arguments(file)}
        assert len(arguments) == len(file.arguments)
        assert all(each.doc for each in arguments.values())
        assert arguments.keys() >= OTHERS.get(name, set())
        if file.is_session:
            assert arguments.keys() >= EXPECTED
        assert not arguments.keys() & set(file.fixed)
        assert {"namespace", "discovery"} <= arguments.keys()


def test_the_robot_is_never_guessed():
    for file in LAUNCH_FILES.values():
        for each in launch_arguments(file):
            assert (each.default is None) == (each.name == "robot")
            if each.name == "robot":
                assert each.choices == ("sim", "real")


def test_defaults_are_the_default_options_and_among_the_choices():
    for file in LAUNCH_FILES.values():
        arguments = [each for each in launch_arguments(file) if each.default is not None]
        assert read_options({each.name: each.default for each in arguments}) == GraphOptions()
        for each in arguments:
            assert not each.choices or each.default in each.choices


@pytest.mark.parametrize(
    ("typed", "right"), [("robt", "robot"), ("sed", "seed"), ("demonstration", "demonstrations")]
)
def test_a_misspelled_argument_is_refused_although_launch_ignores_it(typed, right):
    names = [spec.name for spec in fields(GraphOptions)]
    check_typed([f"{name}:=1" for name in (*names, "ur_type", "use_gripper")])
    with pytest.raises(ConfigError, match=f"{typed!r}, did you mean {right!r}"):
        check_typed(["robot:=sim", f"{typed}:=1"])


def test_what_was_typed_in_vain_is_told():
    file = LAUNCH_FILES["motion"]
    assert unused(["robot:=sim", "speed:=1", "robot_ip:=1"], file) == ["speed"]


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


def test_launch_files_are_thin_and_the_folder_is_no_package():
    files = sorted(path.name for path in (ROOT / "launch").iterdir() if path.is_file())
    assert files == sorted(f"{name}.launch.py" for name in LAUNCH_FILES)
    for name in files:
        text = (ROOT / "launch" / name).read_text()
        assert len(text.splitlines()) <= 40
        assert f'describe("{name.removesuffix(".launch.py")}")' in text
        assert f"ros2 launch so101_bringup {name}" in text


TYPED = re.compile(r"ros2 launch so101_bringup (\w+)\.launch\.py((?: +\w+:=\S+)*)")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("launch/*.py")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_to_type_is_taken(page):
    for name, rest in TYPED.findall(page.read_text(encoding="utf-8")):
        typed = [word.strip("`.,;").split(":=")[0] for word in rest.split()]
        assert set(typed) <= set(LAUNCH_FILES[name].arguments), (name, typed)


def test_pages_have_something_to_type():
    found = [typed for page in PAGES for typed in TYPED.findall(page.read_text(encoding="utf-8"))]
    assert {name for name, _ in found} == set(LAUNCH_FILES)
