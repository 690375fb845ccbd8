"""What a person chooses about recording reaches the nodes, or is refused with a reason."""

import json
from dataclasses import replace

import pytest

from so101.errors import ConfigError
from so101_bringup.agreement import check_agreement
from so101_bringup.graph import (
    GraphOptions,
    environment_of,
    evaluate_graph,
    record_graph,
    rl_graph,
)

SIM = GraphOptions(robot="sim", checkpoint="somewhere")


def parameters(options):
    return {node.name: node.parameters for node in record_graph(options)}


def test_choices_reach_the_recorder_and_the_simulation():
    plain = parameters(SIM)
    assert plain["recorder_node"]["continuous"] is False
    assert plain["recorder_node"]["images"] == "compressed"
    assert plain["simulation_node"]["raw_images"] is False
    for images in ("raw", "both"):
        chosen = parameters(replace(SIM, continuous=True, images=images))
        assert chosen["recorder_node"]["continuous"] is True
        assert chosen["recorder_node"]["images"] == images
        assert chosen["simulation_node"]["raw_images"] is True


def test_words_and_arm_reach_whoever_names_the_episodes():
    plain = parameters(SIM)["reward_node"]
    assert (plain["session.instruction"], plain["session.id_prefix"]) == ("", "")
    said = replace(SIM, instruction="stack: the cups", namespace="/lab/left")
    chosen = parameters(said)["reward_node"]
    assert chosen["session.instruction"] == "stack: the cups"
    assert chosen["session.id_prefix"] == "lab-left-"


def test_raw_frames_get_a_transport_that_carries_them():
    assert "FASTDDS_BUILTIN_TRANSPORTS" not in environment_of(SIM)
    for images in ("raw", "both"):
        environment = environment_of(replace(SIM, images=images))
        assert environment["FASTDDS_BUILTIN_TRANSPORTS"].startswith("LARGE_DATA")


def test_the_main_job_refuses_what_it_cannot_learn_from():
    with pytest.raises(ConfigError, match="continuous: the session counts"):
        rl_graph(replace(SIM, continuous=True))
    with pytest.raises(ConfigError, match="images: the learner reads JPEG"):
        rl_graph(replace(SIM, images="raw"))
    assert rl_graph(replace(SIM, images="both"))
    assert evaluate_graph(replace(SIM, continuous=True))


def test_frames_that_nobody_publishes_are_not_waited_for(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"recorder_node": {"ros__parameters": {"images": "raw"}}}))
    with pytest.raises(ConfigError, match="nobody sends them"):
        check_agreement(record_graph(replace(SIM, params_file=str(path))))
