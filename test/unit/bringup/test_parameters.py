"""A person's parameter file is checked value by value before any process starts."""

import json

import pytest

from so101.errors import ConfigError
from so101_bringup.graph import SESSIONS, GraphOptions, record_graph
from so101_bringup.node_spec import NODES
from so101_bringup.parameters import check_parameters


def check(tmp_path, content, namespace=""):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(content))
    options = GraphOptions(robot="sim", params_file=str(path), namespace=namespace)
    check_parameters(record_graph(options))


def section(**values):
    return {"ros__parameters": values}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"motion_node": section(speed=0.3)},
        {"/**/motion_node": section(speed=0.3, use_sim_time=True)},
        {"/**": section(use_sim_time=True)},
        {"reward_node": section(session={"demonstrations": 3}, time_limit=4.0)},
        {"reward_node": section(**{"session.demonstrations": 3})},
        {"simulation_node": section(cameras=[""])},  # how ROS writes an empty list
        {"simulation_node": section(cameras=["wrist"])},
        {"learner_node": section(steps=100), "policy_node": section(seed=1)},  # not in this graph
    ],
    ids=str,
)
def test_what_the_nodes_take_passes(tmp_path, content):
    check(tmp_path, content)


@pytest.mark.case(45)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"motion_node": section(spede=0.3)}, ("motion_node", "'spede'", "did you mean 'speed'")),
        ({"motion_node": section(speed=7)}, ("speed", "outside 0.05..1")),
        ({"motion_node": section(speed="fast")}, ("speed", "'fast'")),
        ({"reward_node": section(session={"demos": 3})}, ("session", "'demos'")),
        ({"reward_node": section(**{"session.start": 3})}, ("session: start", "expected str")),
        ({"simulation_node": section(cameras="wrist")}, ("cameras", "expected a list")),
        ({"motion_node": {"speed": 0.3}}, ("motion_node", "ros__parameters")),
        (
            {"learner_node": section(stepps=9)},
            ("learner_node", "'stepps'", "did you mean 'steps'"),
        ),
        ({"learner_node": section(steps=-1)}, ("learner_node", "steps", "outside 0..")),
    ],
    ids=str,
)
def test_what_they_would_refuse_is_refused_by_file_and_key(tmp_path, content, words):
    with pytest.raises(ConfigError) as caught:
        check(tmp_path, content)
    assert all(word in str(caught.value) for word in ("mine.yaml", *words))


@pytest.mark.parametrize("make", SESSIONS.values(), ids=list(SESSIONS))
def test_one_file_serves_every_graph(tmp_path, make):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({name: section() for name in NODES}))
    nodes = make(GraphOptions(robot="sim", params_file=str(path), checkpoint="somewhere"))
    check_parameters(nodes)
    assert {node.own_files for node in nodes} == {(str(path),)}


def test_a_section_with_a_namespace_counts_as_its_nodes(tmp_path):
    with pytest.raises(ConfigError, match="spede"):
        check(tmp_path, {"/left/motion_node": section(spede=0.3)}, namespace="left")
