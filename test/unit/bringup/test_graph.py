"""The graph is plain data that fits the nodes it names."""

import ast
import importlib.util
import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import get_type_hints

import pytest
from contracts.policy_factories import make_policy

from learner_node.study import StudyConfig
from so101.action import ActionSpace
from so101.config import from_mapping, load_yaml
from so101.errors import CheckpointError, ConfigError
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101_bringup.graph import (
    GRAPHS,
    PROFILES,
    SESSIONS,
    GraphOptions,
    environment_of,
    evaluate_graph,
    record_graph,
    rl_graph,
    up_graph,
)
from so101_bringup.node_makers import camera_nodes
from so101_bringup.node_spec import CAMERA_NODE, NODES
from so101_bringup.parameters import check_parameters
from so101_bringup.preparation import prepare
from so101_bringup.session_defaults import CAMERAS, NEXT_GROUP_MARGIN, STATE, session_goals
from so101_bringup.supervisor import program_of

ROOT = Path(__file__).parents[3]
SIM = GraphOptions(robot="sim", checkpoint="somewhere")
REAL = GraphOptions(robot="real", usb_port="/dev/serial/by-id/usb-arm", calibration="arm.json")
LED = replace(REAL, teleop="leader", leader_port="/dev/leader", leader_calibration="leader.json")
ALL = {
    (graph, mode): make(options)
    for graph, make in SESSIONS.items()
    for mode, options in {
        "cameras": SIM,
        "state": replace(SIM, state=True, namespace="robot1", use_sim_time=True),
        "counts": replace(SIM, demonstrations=3, evaluation_episodes=4, operator="Ada"),
    }.items()
} | {
    ("up", "real"): up_graph(REAL),
    ("record", "real"): record_graph(LED),
    ("evaluate", "real"): evaluate_graph(replace(REAL, checkpoint="somewhere")),
    ("up", "real-policy"): up_graph(replace(LED, checkpoint="somewhere")),
}
every_graph = pytest.mark.parametrize(
    "nodes", list(ALL.values()), ids=["-".join(key) for key in ALL]
)


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nest(flat):
    nested = {}
    for name, value in flat.items():
        *parents, leaf = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return nested


@every_graph
def test_every_parameter_is_one_that_its_node_takes(nodes):
    params_class = load_tool("write_config").params_class
    for node in nodes:
        values = {k: v for k, v in node.parameters.items() if k != "use_sim_time"}
        from_mapping(params_class(node.executable), nest(values), node.name)


@every_graph
def test_every_executable_is_a_node_module_and_every_file_exists(nodes):
    for node in nodes:
        module = ROOT / node.executable / "node.py"
        names = {
            item.name
            for item in ast.parse(module.read_text()).body
            if isinstance(item, ast.FunctionDef)
        }
        assert "main" in names, module
        for file in node.config_files:
            assert (ROOT / "config" / file).exists()


@every_graph
def test_names_are_unique_and_share_the_namespace(nodes):
    assert len({node.name for node in nodes}) == len(nodes)
    assert len({node.namespace for node in nodes}) == 1


def test_the_shipped_files_hold_the_defaults():
    """Run tools/write_config.py when this fails."""
    tool = load_tool("write_config")
    nodes = sorted(module.parent.name for module in ROOT.glob("*_node/params.py"))
    for node in nodes:
        path = ROOT / "config" / f"{node}.yaml"
        assert path.read_text() == tool.config_text(node), path
        values = load_yaml(path)[f"/**/{node}"]["ros__parameters"]
        kind = tool.params_class(node)
        assert from_mapping(kind, undo_empty(values), str(path)) == kind()
    assert {path.stem for path in (ROOT / "config").glob("*_node.yaml")} == set(nodes)


def test_the_shipped_study_is_the_default_one():
    """Run tools/write_config.py when this fails."""
    path = ROOT / "config" / "bench_learn.yaml"
    assert path.read_text() == load_tool("write_config").study_text()
    assert from_mapping(StudyConfig, load_yaml(path), str(path)) == StudyConfig()


def undo_empty(values):
    if isinstance(values, dict):
        return {key: undo_empty(value) for key, value in values.items()}
    return [] if values == [""] else values


def test_every_parameter_is_documented():
    def check(kind):
        hints = get_type_hints(kind)
        for spec in fields(kind):
            if is_dataclass(hints[spec.name]):
                check(hints[spec.name])
            else:
                assert spec.metadata["doc"], (kind, spec.name)

    check(GraphOptions)
    for module in ROOT.glob("*_node/params.py"):
        check(load_tool("write_config").params_class(module.parent.name))


def test_the_main_job_has_every_node():
    packages = {path.parent.name for path in ROOT.glob("*_node/node.py")}
    names = {node.name for node in rl_graph(replace(SIM, launch_rviz=True)) if node.is_ours}
    names |= {"hardware_node"}
    assert sorted(names) == sorted(NODES)
    assert {*NODES, CAMERA_NODE} == packages


def test_the_real_arm_takes_the_place_of_the_simulated_one_and_has_time_to_lie_down():
    nodes = {node.name: node for node in up_graph(REAL)}
    assert "simulation_node" not in nodes
    arm = nodes["hardware_node"]
    assert arm.parameters["port"] == REAL.usb_port
    assert arm.parameters["calibration"] == REAL.calibration
    assert arm.is_essential
    assert arm.ending_s > 0.0
    assert all(node.parameters.get("lockstep", False) is False for node in nodes.values())


@pytest.mark.parametrize(
    ("make", "options", "others"),
    [
        (up_graph, REAL, set()),
        (up_graph, replace(REAL, server="ws://gpu:8000"), {"policy_node"}),
        (up_graph, replace(LED, checkpoint="here"), {"teleop_node", "policy_node"}),
        (record_graph, LED, {"teleop_node"}),
        (record_graph, replace(REAL, teleop="gamepad"), {"teleop_node"}),
        (evaluate_graph, replace(REAL, checkpoint="here"), {"policy_node"}),
    ],
)
def test_a_real_robot_has_its_cameras_and_whoever_acts(make, options, others):
    always = {"hardware_node", "intervention_node", "motion_node", "recorder_node", "reward_node"}
    nodes = {node.name: node.parameters for node in make(options)}
    assert set(nodes) == always | others | {"wrist_camera", "front_camera"}
    assert set(nodes["reward_node"]["peers"]) == set(nodes) - {"reward_node"}
    for name in {"policy_node", "recorder_node"} & set(nodes):
        assert nodes[name]["cameras"] == ("wrist", "front")
    if "teleop_node" in others:
        assert nodes["teleop_node"]["device"] == options.teleop
        assert nodes["intervention_node"]["teleop_device"] == options.teleop


@pytest.mark.parametrize("key", [key for key in ALL if key[1].startswith("real")])
def test_a_real_robot_waits_for_nobody_and_is_armed_and_judged_by_people(key):
    nodes = {node.name: node.parameters for node in ALL[key]}
    told = [values["lockstep"] for values in nodes.values() if "lockstep" in values]
    assert told and not any(told)
    assert nodes["reward_node"]["arms_itself"] is False
    assert nodes["reward_node"]["has_objects"] is nodes["recorder_node"]["has_objects"] is False
    assert nodes["reward_node"]["session.recovery"] == 0.0
    assert nodes["motion_node"]["speed"] <= 0.25


def test_an_arm_can_be_tried_without_cameras_and_nobody_records_or_acts_without():
    assert not {n.name for n in up_graph(replace(LED, cameras=()))} & {"wrist_camera"}
    for make, options in ((record_graph, LED), (up_graph, replace(LED, checkpoint="here"))):
        with pytest.raises(ConfigError, match="cameras: name at least one"):
            make(replace(options, cameras=()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teleop": "scripted"}, "teleop: choose leader"),
        ({"leader_port": ""}, "leader_port: name"),
        ({"leader_calibration": ""}, "leader_calibration: name"),
        ({"leader_port": REAL.usb_port}, "that of the follower"),
        ({"speed": 1.0}, "speed"),
        ({"simulated_latency": 0.1}, "simulated_latency"),
        ({"use_sim_time": True}, "use_sim_time"),
    ],
)
def test_what_makes_no_real_recording_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        record_graph(replace(LED, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"usb_port": ""}, "usb_port: name"),
        ({"calibration": ""}, "calibration: name"),
        ({"state": True}, "state"),
    ],
)
def test_a_real_arm_without_what_it_needs_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        up_graph(replace(REAL, **changes))


def test_every_camera_of_a_real_robot_has_a_node_of_its_own(tmp_path):
    path = tmp_path / "mine.yaml"
    own = {"top_camera": {"ros__parameters": {"device": "/dev/v4l/by-id/top"}}}
    path.write_text(json.dumps(own))
    options = GraphOptions(
        robot="real",
        cameras=("wrist", "front", "top"),
        namespace="robot1",
        camera_width=640,
        images="both",
        params_file=str(path),
    )
    nodes = camera_nodes(options)
    assert [node.name for node in nodes] == ["wrist_camera", "front_camera", "top_camera"]
    params_class = load_tool("write_config").params_class
    for node, camera in zip(nodes, options.cameras, strict=True):
        values = from_mapping(params_class(node.executable), dict(node.parameters), node.name)
        assert (values.camera, values.width, values.height) == (camera, 640, 240)
        assert values.raw_images
        assert (node.namespace, node.own_files) == ("robot1", (str(path),))
        assert "camera_node.node" in program_of(node).argv
        assert f"__node:={node.name}" in program_of(node).argv
    check_parameters(nodes)


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("top_camera", {"device": "x"}, "no node is called 'top_camera'"),
        ("camera_node", {"device": "x"}, "did you mean"),
        ("wrist_camera", {"devise": "x"}, "did you mean 'device'"),
        ("wrist_camera", {"rate": 0}, "rate"),
    ],
)
def test_a_cameras_section_is_checked_in_every_graph(tmp_path, section, values, words):
    """One file serves the simulation, too."""
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({section: {"ros__parameters": values}}))
    with pytest.raises(ConfigError, match=words):
        check_parameters(up_graph(replace(SIM, params_file=str(path))))


def test_a_person_can_take_over_when_every_learning_process_is_dead():
    for node in rl_graph(SIM):
        learns = node.name in ("policy_node", "learner_node")
        assert node.is_essential != learns
        assert node.respawn == learns


def test_rviz_needs_a_ros_installation_and_nothing_of_ours_depends_on_it():
    *_, publisher, drawer, viewer = rl_graph(replace(SIM, launch_rviz=True))
    assert "<robot" in publisher.parameters["robot_description"]
    assert (publisher.package, viewer.package) == ("robot_state_publisher", "rviz2")
    assert drawer.name == "marker_node"
    assert not any(node.is_essential for node in (publisher, drawer, viewer))


def test_state_mode_has_no_cameras():
    nodes = {node.name: node.parameters for node in rl_graph(replace(SIM, state=True))}
    assert nodes["simulation_node"]["cameras"] == ()
    assert nodes["policy_node"]["uses_objects"] is True
    assert nodes["recorder_node"]["cameras"] == ()


def test_nodes_agree_on_the_store():
    options = replace(SIM, store="/data/run")
    stores = {node.parameters["store"] for node in rl_graph(options) if "store" in node.parameters}
    assert stores == {"/data/run/episodes"}


def test_nobody_records_into_bags_that_somebody_else_made():
    options = replace(SIM, store="/data/run", episodes="/bags")
    values = [value for node in rl_graph(options) for value in node.parameters.values()]
    assert not [value for value in values if isinstance(value, str) and "/bags" in value]


def session_of(options):
    (node,) = (node for node in rl_graph(options) if node.name == "reward_node")
    return {k: v for k, v in node.parameters.items() if k.startswith("session.")}


@pytest.mark.parametrize(("is_state", "goals"), [(True, STATE), (False, CAMERAS)])
def test_a_session_aims_at_what_was_found_good_for_its_mode(is_state, goals):
    options = replace(SIM, state=is_state)
    told = {f"session.{spec.name}": getattr(goals, spec.name) for spec in fields(goals)}
    margin = told.pop("session.gate_margin")
    assert told.items() <= session_of(options).items()
    (learner,) = (node for node in rl_graph(options) if node.name == "learner_node")
    assert learner.parameters["gate.margin"] == margin
    assert session_goals(options) == {
        "demonstrations": goals.demonstrations,
        "evaluation": goals.evaluation_episodes,
        "rollouts": goals.groups * goals.rollouts,
    }


def test_ten_rollouts_are_judged_with_a_margin_that_poses_are_not():
    options = replace(SIM, state=True, gate="next_group")
    (learner,) = (node for node in rl_graph(options) if node.name == "learner_node")
    assert learner.parameters["gate.margin"] == NEXT_GROUP_MARGIN


@pytest.mark.parametrize("is_state", [True, False])
@pytest.mark.parametrize("demonstrations", [1, 100, 1000])
def test_what_a_person_chose_wins(is_state, demonstrations):
    chosen = {
        "demonstrations": demonstrations,
        "evaluation_episodes": 7,
        "target_success": 0.5,
        "groups": 3,
        "rollouts": 4,
        "rule": "manual",
    }
    options = replace(SIM, state=is_state, **chosen)
    session = session_of(options)
    for name, value in chosen.items():
        assert session[f"session.{name}"] == value
    assert session["session.max_demonstrations"] >= demonstrations
    assert session_goals(options) == {
        "demonstrations": demonstrations,
        "evaluation": 7,
        "rollouts": 12,
    }


def test_no_groups_can_be_chosen_where_the_mode_has_some():
    assert session_of(replace(SIM, state=True))["session.groups"] == STATE.groups > 0
    assert session_of(replace(SIM, state=True, groups=0))["session.groups"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"robot": ""}, "never guessed"),
        ({"robot": "real"}, "simulated cell"),
        ({"use_ros2_control": True}, "safety gate would be missing"),
        ({"hardware_type": "mock"}, "safety gate would be missing"),
        ({"cameras": ()}, "state:=true"),
        ({"start": "moon"}, "region 'moon'"),
        ({"task": "dance"}, "task 'dance'"),
    ],
)
def test_a_graph_without_our_gate_or_without_eyes_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        rl_graph(replace(SIM, **changes))


def test_an_evaluation_needs_a_checkpoint():
    with pytest.raises(ConfigError, match="checkpoint"):
        evaluate_graph(replace(SIM, checkpoint=""))


@pytest.mark.parametrize("section", ["policy_node", "/policy_node", "/**/policy_node", "/**"])
def test_an_own_file_goes_to_every_node(tmp_path, section):
    path = tmp_path / "mine.yaml"
    path.write_text(f"{section}: {{ros__parameters: {{seed: 1}}}}\n")
    for node in up_graph(replace(SIM, params_file=str(path))):
        assert node.own_files == (str(path),)


@pytest.mark.parametrize(
    ("section", "namespace", "nearest"),
    [
        ("policy_nod", "", "/policy_node"),
        ("learner", "", "/learner_node"),  # not in this graph
        ("policy_node", "robot1", "/robot1/policy_node"),
        ("/robot2/policy_node", "robot1", "/robot1/policy_node"),
    ],
)
def test_an_own_file_that_ros_would_ignore_is_refused(tmp_path, section, namespace, nearest):
    path = tmp_path / "mine.yaml"
    path.write_text(f"{section}: {{ros__parameters: {{seed: 1}}}}\n")
    with pytest.raises(ConfigError) as caught:
        up_graph(replace(SIM, params_file=str(path), namespace=namespace))
    assert f"did you mean {nearest!r}?" in str(caught.value)


@pytest.mark.case(42)
def test_discovery_stays_on_this_machine_unless_asked():
    assert environment_of(SIM)["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    subnet = environment_of(replace(SIM, discovery="subnet"))
    assert subnet["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"


def test_the_policy_knows_the_latency_that_the_simulation_adds():
    """Or it would let chunks be played faster than their successors come."""
    nodes = {n.name: n for n in GRAPHS["rl"](GraphOptions(robot="sim", simulated_latency=0.1))}
    assert nodes["policy_node"].parameters["latency"] == 0.1
    assert nodes["simulation_node"].parameters["simulated_latency"] == 0.1


@pytest.mark.parametrize(
    ("options", "ticks"),
    [
        ({}, 8),
        ({"schedule": "rtc", "simulated_latency": 0.1}, 8),
        ({"schedule": "sync", "simulated_latency": 0.1}, 19),
        ({"schedule": "ensemble", "simulated_latency": 0.1}, 4),
        ({"schedule": "sync", "decision_ticks": 5}, 5),
    ],
)
def test_policy_and_arbiter_are_set_to_the_rhythm_of_the_schedule(options, ticks):
    """Or time would wait in vain for a chunk, or not wait for one."""
    nodes = {n.name: n.parameters for n in up_graph(GraphOptions(robot="sim", **options))}
    assert nodes["policy_node"]["schedule"] == options.get("schedule", "async")
    assert nodes["policy_node"]["decision_ticks"] == ticks
    assert nodes["intervention_node"]["policy_decision_ticks"] == ticks


def test_the_rhythm_is_the_checkpoints_unless_it_is_chosen(tmp_path):
    policy = make_policy(space=ActionSpace(horizon=12, execute_steps=5))
    record = TrainingRecord(algorithm="sft", step=1)
    path = save_checkpoint(tmp_path, "sft", policy, record).path
    named = GraphOptions(robot="sim", checkpoint=str(path), store=str(tmp_path / "run"))
    assert prepare(named).decision_ticks == 5
    assert prepare(replace(named, schedule="sync")).decision_ticks == 12
    assert prepare(replace(named, decision_ticks=7)).decision_ticks == 7
    assert prepare(replace(named, checkpoint="")).decision_ticks == 0
    with pytest.raises(CheckpointError, match=r"nowhere.policy\.json"):
        prepare(replace(named, checkpoint=str(tmp_path / "nowhere")))


def test_a_server_is_the_policy_nodes_and_its_token_only_a_file():
    options = replace(
        SIM, checkpoint="", server="wss://gpu:8000", server_token_file="token", server_ca="ca.pem"
    )
    for make in (up_graph, evaluate_graph):
        nodes = {n.name: n.parameters for n in make(options)}
        assert nodes["policy_node"]["server"] == "wss://gpu:8000"
        assert nodes["policy_node"]["server_token_file"] == "token"
        assert nodes["policy_node"]["server_ca"] == "ca.pem"
        assert nodes["policy_node"]["checkpoint"] == ""
    with pytest.raises(ConfigError, match="never would"):
        rl_graph(options)


def test_an_evaluation_may_say_whose_it_is():
    nodes = {n.name: n.parameters for n in evaluate_graph(replace(SIM, sha256="a" * 64))}
    assert nodes["reward_node"]["checkpoint"] == "a" * 64


def test_the_gate_is_chosen_by_name():
    def gate(**options):
        nodes = {n.name: n for n in rl_graph(GraphOptions(robot="sim", **options))}
        return nodes["learner_node"].parameters["gate.by"]

    assert gate() == "poses"
    assert gate(gate="next_group") == "next_group"
    with pytest.raises(ConfigError, match="'pose' is not one of poses, next_group, nothing"):
        from_mapping(GraphOptions, {"gate": "pose"}, "options")


def test_fast_dds_has_our_profiles_or_a_persons_own(monkeypatch):
    monkeypatch.delenv(PROFILES, raising=False)
    assert environment_of(SIM)[PROFILES] == str(ROOT / "config" / "fastdds.xml")
    monkeypatch.setenv(PROFILES, "/home/me/mine.xml")
    assert environment_of(SIM)[PROFILES] == "/home/me/mine.xml"
