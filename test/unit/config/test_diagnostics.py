"""diagnostic_aggregator understands the file, and every status of ours is in one of its groups."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from ros2_parameters import AGGREGATOR, GENERIC_ANALYZER, wrong

from so101_bringup.diagnostic_groups import diagnostic_parameters, sections, takes
from so101_bringup.foreign_nodes import diagnostics_node
from so101_bringup.graph import SESSIONS, GraphOptions, rl_graph
from so101_bringup.launch_rendering import node_arguments
from so101_bringup.node_spec import NODES, camera_name

ROOT = Path(__file__).resolve().parents[3]
SIM = GraphOptions(robot="sim")
REAL = GraphOptions(
    robot="real", usb_port="/dev/arm", calibration="arm.json", teleop="gamepad", checkpoint="here"
)
CAMERAS = ("wrist", "front", "top_left", "cam2")
OTHERS = ("controller_manager: Controllers Activity", "so101_display")
GROUPS = {key: value for key, value in sections().items() if isinstance(value, dict)}


def names_in(tree):
    """Yield the texts that events are named by: ``NAME = "..."`` and ``Event(name=...)``."""
    for found in ast.walk(tree):
        is_name = isinstance(found, ast.Assign) and getattr(found.targets[0], "id", "") == "NAME"
        if is_name or (isinstance(found, ast.keyword) and found.arg == "name"):
            parts = [part for part in ast.walk(found.value) if isinstance(part, ast.Constant)]
            yield from (str(part.value) for part in parts)


def reports_by_package():
    """Return what our nodes put behind their names: the words after a colon in a status' name."""
    found = {}
    for path in ROOT.glob("*_node/*.py"):
        for name in names_in(ast.parse(path.read_text(encoding="utf-8"))):
            owner, colon, word = name.partition(": ")
            if colon:
                assert owner in ("", path.parent.name)
                found.setdefault(path.parent.name, set()).add(word)
    return found


REPORTS = reports_by_package()


def statuses():
    """Return every name under which something of ours speaks on diagnostics."""
    for node in (*NODES, *map(camera_name, CAMERAS)):
        yield node
        package = node if node in NODES else "camera_node"
        yield from (f"{node}: {word}" for word in sorted(REPORTS.get(package, ())))
    yield from OTHERS


def test_what_nodes_report_is_found_in_their_code():
    assert reports_by_package() == {
        "hardware_node": {"servos", "clocks"},
        "recorder_node": {"streams"},
        "camera_node": {"camera"},
        "policy_node": {"images"},
        "motion_node": {"planning"},
    }


@pytest.mark.parametrize("name", list(statuses()))
def test_every_status_is_in_one_group(name):
    assert len([key for key, group in GROUPS.items() if takes(group, name)]) == 1


@pytest.mark.parametrize("name", ["joy_node", "my_node", "a wrist_camera", "wrist_camera_driver"])
def test_what_is_not_ours_is_under_other(name):
    assert not any(takes(group, name) for group in GROUPS.values())


def test_the_aggregator_reads_every_key():
    top = {key: value for key, value in sections().items() if key not in GROUPS}
    assert wrong(top, AGGREGATOR, {}) == []
    for group in GROUPS.values():
        assert wrong(group, GENERIC_ANALYZER, {}) == []
        assert group["type"] == "diagnostic_aggregator/GenericAnalyzer"
        assert {"path", "timeout"} <= group.keys() and group.keys() & {"startswith", "regex"}
        assert "/" not in group["path"], "rqt_robot_monitor's tree is made of slashes"
    assert len({group["path"] for group in GROUPS.values()}) == len(GROUPS)


@pytest.mark.parametrize("job", SESSIONS)
@pytest.mark.parametrize(
    "options", [SIM, replace(SIM, state=True), REAL], ids=["sim", "state", "real"]
)
def test_a_graph_has_the_groups_that_it_speaks_in(job, options):
    """One that nobody speaks in would be stale, and the whole robot in error."""
    if job == "rl" and options.robot == "real":
        return
    options = replace(
        options,
        checkpoint="" if job in ("rl", "record") else "here",
        launch_diagnostics=True,
        decision_ticks=8,
    )
    nodes = SESSIONS[job](options)
    (summing,) = (node for node in nodes if node.package == "diagnostic_aggregator")
    groups = {key.split(".")[0] for key in summing.parameters if "." in key}
    ours = [node.name for node in nodes if node.is_ours]
    assert groups == {
        key for key, group in GROUPS.items() if any(takes(group, name) for name in ours)
    }
    assert all(any(takes(GROUPS[group], name) for group in groups) for name in ours)
    assert ("learning" in groups) == (job == "rl")
    assert ("cameras" in groups) == (options.robot == "real")


def test_who_runs_elsewhere_is_expected_all_the_same():
    everything = {node.name for node in rl_graph(SIM)}
    assert set(diagnostic_parameters(everything)) == set(
        next(
            node.parameters
            for node in rl_graph(replace(SIM, launch_diagnostics=True, elsewhere=("policy_node",)))
            if node.package == "diagnostic_aggregator"
        )
    )


def test_the_aggregator_listens_where_our_nodes_speak():
    node = diagnostics_node(replace(SIM, namespace="left"), ["policy_node"])
    arguments = node_arguments(node)
    assert arguments["name"] == "analyzers" and arguments["namespace"] == "left"
    assert ("/diagnostics", "diagnostics") in arguments["remappings"]
    assert ("/diagnostics_agg", "diagnostics_agg") in arguments["remappings"]
    assert 'policy.startswith:=["policy_node"]' in arguments["ros_arguments"]
    assert "policy.timeout:=3.0" in arguments["ros_arguments"]
