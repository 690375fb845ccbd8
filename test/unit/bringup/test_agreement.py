"""Nodes that disagree on time are refused before any process starts."""

import json
from dataclasses import replace

import pytest

from so101.errors import ConfigError
from so101_bringup.agreement import check_agreement, checked_graph
from so101_bringup.graph import SESSIONS, GraphOptions

SIM = GraphOptions(robot="sim", checkpoint="somewhere")


def check(tmp_path, content, graph="rl", **options):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(content))
    check_agreement(SESSIONS[graph](replace(SIM, params_file=str(path), **options)))


def section(**values):
    return {"ros__parameters": values}


@pytest.mark.parametrize("graph", SESSIONS)
@pytest.mark.parametrize("options", [{}, {"speed": 1.0}, {"simulated_latency": 0.25}], ids=str)
def test_what_a_person_can_choose_without_a_file_agrees(tmp_path, graph, options):
    check(tmp_path, {}, graph, **options)


@pytest.mark.parametrize("name", ["reward_node", "/reward_node", "/**/reward_node", "/**"])
@pytest.mark.parametrize(
    "values", [{"session.groups": 3}, {"session": {"groups": 3}}], ids=["dotted", "nested"]
)
def test_what_a_persons_file_says_is_not_said_otherwise_on_the_command_line(
    tmp_path, name, values
):
    """ROS lets a value of the command line win over a section with a wildcard."""
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({name: section(**values)}))
    options = replace(SIM, params_file=str(path))
    before = {node.name: node.parameters for node in SESSIONS["rl"](options)}
    after = {node.name: node.parameters for node in checked_graph("rl", options)}
    assert before["reward_node"].pop("session.groups")
    assert after == before


def test_a_section_for_everybody_needs_the_word_of_ros(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"/**": {"use_sim_time": True}}))
    with pytest.raises(ConfigError, match=r"mine\.yaml: /\*\*: expected a mapping"):
        checked_graph("rl", replace(SIM, params_file=str(path)))


FREE = {
    "simulation_node": section(lockstep=False),
    "/**/intervention_node": section(lockstep=False),
}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (FREE, {"speed": 1.0}),
        (
            {
                "simulation_node": section(simulated_latency=0.1),
                "policy_node": section(latency=0.1),
            },
            {},
        ),
        ({"policy_node": section(latency=0.2)}, {"simulated_latency": 0.1}),
        (
            {
                "teleop_node": section(decision_ticks=4),
                "intervention_node": section(teleop_decision_ticks=4),
            },
            {"simulated_latency": 0.1},
        ),
        ({"simulation_node": section(simulated_latency=0.1)}, {"graph": "record"}),  # no policy
        ({"/**": section(use_sim_time=True)}, {}),
    ],
    ids=str,
)
def test_files_that_agree_pass(tmp_path, content, options):
    check(tmp_path, content, **options)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (
            {"simulation_node": section(simulated_latency=0.1)},
            {},
            ("simulation_node: simulated_latency=0.1", "policy_node: latency=0.0"),
        ),
        (
            {"policy_node": section(latency=0.0)},
            {"simulated_latency": 0.1},
            ("simulated_latency=0.1", "policy_node: latency=0.0"),
        ),
        (
            {"simulation_node": section(lockstep=False)},
            {"speed": 1.0},
            ("simulation_node: lockstep=False", "intervention_node: lockstep=True"),
        ),
        (FREE, {}, ("simulation_node: speed=0.0", "needs a speed")),
        (
            {"teleop_node": section(decision_ticks=12)},
            {},
            ("teleop_node: decision_ticks=12", "intervention_node: teleop_decision_ticks=8"),
        ),
        (
            {"/**/policy_node": section(decision_ticks=3)},
            {},
            ("policy_node: decision_ticks=3", "intervention_node: policy_decision_ticks=8"),
        ),
        (
            {
                "teleop_node": section(decision_ticks=3),
                "intervention_node": section(teleop_decision_ticks=3),
            },
            {"simulated_latency": 0.1},
            ("simulated_latency=0.1", "teleop_node: decision_ticks=3"),
        ),
        *(
            ({node: section(lockstep=False)}, {}, (f"{node}: lockstep=False", "real robot"))
            for node in ("teleop_node", "policy_node", "reward_node", "recorder_node")
        ),
    ],
    ids=str,
)
def test_nodes_that_disagree_are_refused_by_name_and_value(tmp_path, content, options, words):
    with pytest.raises(ConfigError) as caught:
        check(tmp_path, content, **options)
    assert all(word in str(caught.value) for word in words)


REAL = GraphOptions(robot="real", usb_port="/dev/arm", calibration="arm.json", checkpoint="here")


@pytest.mark.parametrize(
    ("node", "values", "words"),
    [
        ("reward_node", {"arms_itself": True}, "only a person arms"),
        ("reward_node", {"has_objects": True}, "nobody sees the objects"),
        ("recorder_node", {"has_objects": True}, "nobody sees the objects"),
        ("policy_node", {"lockstep": True}, "waits for nobody"),
        ("intervention_node", {"lockstep": True}, "waits for nobody"),
    ],
)
def test_a_file_that_is_meant_for_the_simulation_does_not_move_a_real_arm(
    tmp_path, node, values, words
):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({node: section(**values)}))
    checked_graph("evaluate", REAL)
    with pytest.raises(ConfigError, match=words):
        checked_graph("evaluate", replace(REAL, params_file=str(path)))
