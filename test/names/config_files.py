"""Names in the files of ``config``: nodes, controllers, actions, joints, groups, topics, files."""

from collections.abc import Mapping
from typing import Any

from names.shipped import Shipped, actions, groups, joints, missing, wrong_topic
from ros2_programs import MOVEIT_TOPICS

from so101.config import from_mapping
from so101.errors import ConfigError
from so101.ros.params import check_values
from so101_bringup.parameters import params_class


def wrong_config(name: str, values: Mapping[str, Any], shipped: Shipped) -> list[str]:
    """Say which names of a file in ``config`` do not exist; what nobody reads is wrong, too.

    Keys and types of ros2_control's and MoveIt's files are held against their schemas by the tests
    of these.
    """
    stem = name.removesuffix(".yaml")
    if (shipped.root / stem / "params.py").exists():
        return _wrong_node_file(stem, values)
    for start, rule in _RULES.items():
        if stem.startswith(start):
            return rule(values, shipped)
    if stem.endswith("_planning"):
        return [] if stem in _PLANNING else [f"pipeline {stem}"]
    return [f"{name}: nobody reads it"]


_PLANNING = {"ompl_planning", "pilz_industrial_motion_planner_planning"}


def _wrong_node_file(node: str, values: Mapping[str, Any]) -> list[str]:
    found = [f"section {key}" for key in values if key.rsplit("/", 1)[-1] != node]
    for key, body in values.items():
        try:
            check_values(params_class(node), body["ros__parameters"], key)
        except ConfigError as error:
            found.append(str(error))
    return found


def _wrong_controllers(values: Mapping[str, Any], shipped: Shipped) -> list[str]:
    sections = {key.rsplit("/", 1)[-1] for key in values}
    return [f"section {key}" for key in sections - {"controller_manager", *shipped.controllers}]


def _wrong_execution(values: Mapping[str, Any], shipped: Shipped) -> list[str]:
    listed = values["moveit_simple_controller_manager"]
    found = []
    for name in listed["controller_names"]:
        body = listed.get(name, {})
        action = f"{name}/{body.get('action_ns')}"
        offered = {
            f"{each}/follow_joint_trajectory"
            for each, kind in shipped.controllers.items()
            if kind.startswith("joint_trajectory_controller/")
        }
        found += [] if action in offered | actions() else [f"action {action}"]
        found += [f"joint {each}" for each in body.get("joints", ()) if each not in joints()]
    return found


def _wrong_moveit_cpp(values: Mapping[str, Any], shipped: Shipped) -> list[str]:
    options = values["planning_scene_monitor_options"]
    found = [f"topic {name}" for name in wrong_topic(options["joint_state_topic"])]
    found += [f"topic {name}" for name in wrong_topic(options["robot_description"])]
    for key in ("publish_planning_scene_topic", "monitored_planning_scene_topic"):
        name = options[key]
        found += [] if name.rsplit("/", 1)[-1] in MOVEIT_TOPICS else [f"topic {name}"]
    for name in values["planning_pipelines"]["pipeline_names"]:
        path = shipped.root / "config" / f"{name}_planning.yaml"
        found += [f"file {each}" for each in missing([str(path)], shipped)]
    return found


def _wrong_groups(values: Mapping[str, Any], shipped: Shipped) -> list[str]:
    return [f"group {name}" for name in values if name not in groups()]


def _wrong_limits(values: Mapping[str, Any], shipped: Shipped) -> list[str]:
    return [f"joint {name}" for name in values["joint_limits"] if name not in joints()]


def _wrong_study(values: Mapping[str, Any], shipped: Shipped) -> list[str]:
    from learner_node.study import StudyConfig

    try:
        from_mapping(StudyConfig, values, "bench_learn.yaml")
    except ConfigError as error:
        return [str(error)]
    return []


_RULES = {
    "controllers": _wrong_controllers,
    "moveit_controllers": _wrong_execution,
    "moveit_ros2_control": _wrong_execution,
    "moveit_cpp": _wrong_moveit_cpp,
    "kinematics": _wrong_groups,
    "joint_limits": _wrong_limits,
    "pilz_cartesian_limits": lambda values, shipped: [],
    "bench_learn": _wrong_study,
    "bag_qos": lambda values, shipped: [f"topic {name}" for name in values if wrong_topic(name)],
    "diagnostics": lambda values, shipped: [],
}
"""By the beginning of a file's name."""
