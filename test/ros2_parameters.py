"""What the programs of a ROS 2 distribution read from our YAML files: their parameters, our words.

From ros2_control, ros2_controllers, MoveIt 2, pick_ik and diagnostic_aggregator as of Jazzy and
Kilted. A key that is not here is ignored there in silence, or stops the program that reads it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

TEXTS = list
"""A list of texts."""

ANY_JOINT = "<joint>"

CONTROLLER_MANAGER = {
    "update_rate": int,
    "enforce_command_limits": bool,
    "type": str,  # of <controller>
}

JOINT_STATE_BROADCASTER = {
    "use_local_topics": bool,
    "joints": TEXTS,
    "extra_joints": TEXTS,
    "interfaces": TEXTS,
    "use_urdf_to_filter": bool,
    "map_interface_to_joint_state.position": str,
    "map_interface_to_joint_state.velocity": str,
    "map_interface_to_joint_state.effort": str,
}

JOINT_TRAJECTORY_CONTROLLER = {
    "joints": TEXTS,
    "command_joints": TEXTS,
    "command_interfaces": TEXTS,
    "state_interfaces": TEXTS,
    "allow_partial_joints_goal": bool,
    "interpolate_from_desired_state": bool,
    "allow_integration_in_goal_trajectories": bool,
    "set_last_command_interface_value_as_state_on_activation": bool,
    "action_monitor_rate": float,
    "interpolation_method": str,
    "allow_nonzero_velocity_at_trajectory_end": bool,
    "cmd_timeout": float,
    "constraints.stopped_velocity_tolerance": float,
    "constraints.goal_time": float,
    "constraints.decelerate_on_cancel": bool,
    "constraints.<joint>.trajectory": float,
    "constraints.<joint>.goal": float,
    "constraints.<joint>.max_deceleration_on_cancel": float,
    "gains.<joint>.p": float,
    "gains.<joint>.i": float,
    "gains.<joint>.d": float,
    "gains.<joint>.ff_velocity_scale": float,
}

GRIPPER_ACTION_CONTROLLER = {
    "joint": str,
    "state_interfaces": TEXTS,
    "action_monitor_rate": float,
    "goal_tolerance": float,
    "allow_stalling": bool,
    "stall_velocity_threshold": float,
    "stall_timeout": float,
    "max_effort_interface": str,
    "max_effort": float,
    "max_velocity_interface": str,
    "max_velocity": float,
}

CONTROLLERS = {
    "joint_state_broadcaster/JointStateBroadcaster": JOINT_STATE_BROADCASTER,
    "joint_trajectory_controller/JointTrajectoryController": JOINT_TRAJECTORY_CONTROLLER,
    "parallel_gripper_action_controller/GripperActionController": GRIPPER_ACTION_CONTROLLER,
}

PICK_IK = {
    "mode": str,
    "gd_step_size": float,
    "gd_max_iters": int,
    "position_threshold": float,
    "orientation_threshold": float,
    "cost_threshold": float,
    "position_scale": float,
    "rotation_scale": float,
    "center_joints_weight": float,
    "avoid_joint_limits_weight": float,
    "minimal_displacement_weight": float,
    "stop_optimization_on_valid_solution": bool,
}
KDL = {"position_only_ik": bool, "max_solver_iterations": int, "epsilon": float}
SOLVERS = {
    "pick_ik/PickIkPlugin": PICK_IK,
    "kdl_kinematics_plugin/KDLKinematicsPlugin": KDL,
}
SOLVER = {
    "kinematics_solver": str,
    "kinematics_solver_timeout": float,
    "kinematics_solver_search_resolution": float,
}

JOINT_LIMITS = {
    "default_velocity_scaling_factor": float,
    "default_acceleration_scaling_factor": float,
    "joint_limits.<joint>.has_velocity_limits": bool,
    "joint_limits.<joint>.max_velocity": float,
    "joint_limits.<joint>.has_acceleration_limits": bool,
    "joint_limits.<joint>.max_acceleration": float,
    "joint_limits.<joint>.has_jerk_limits": bool,
    "joint_limits.<joint>.max_jerk": float,
}

EXECUTION = {
    "moveit_controller_manager": str,
    "moveit_manage_controllers": bool,
    "moveit_simple_controller_manager.controller_names": TEXTS,
    "moveit_simple_controller_manager.<controller>.type": str,
    "moveit_simple_controller_manager.<controller>.action_ns": str,
    "moveit_simple_controller_manager.<controller>.default": bool,
    "moveit_simple_controller_manager.<controller>.joints": TEXTS,
    "trajectory_execution.allowed_execution_duration_scaling": float,
    "trajectory_execution.allowed_goal_duration_margin": float,
    "trajectory_execution.allowed_start_tolerance": float,
    "trajectory_execution.execution_duration_monitoring": bool,
}

PIPELINE = {
    "planning_plugins": TEXTS,
    "request_adapters": TEXTS,
    "response_adapters": TEXTS,
    "default_planner_config": str,
    "capabilities": str,
}
OMPL = {
    **PIPELINE,
    "planner_configs.<planner>.type": str,
    "planner_configs.<planner>.range": float,
    "planner_configs.<planner>.goal_bias": float,
    "planner_configs.<planner>.delay_collision_checking": int,
    "<group>.default_planner_config": str,
    "<group>.planner_configs": TEXTS,
    "<group>.longest_valid_segment_fraction": float,
}

CARTESIAN_LIMITS = {
    "cartesian_limits.max_trans_vel": float,
    "cartesian_limits.max_trans_acc": float,
    "cartesian_limits.max_trans_dec": float,
    "cartesian_limits.max_rot_vel": float,
}

MOVEIT_CPP = {
    "planning_scene_monitor_options.name": str,
    "planning_scene_monitor_options.robot_description": str,
    "planning_scene_monitor_options.joint_state_topic": str,
    "planning_scene_monitor_options.attached_collision_object_topic": str,
    "planning_scene_monitor_options.publish_planning_scene_topic": str,
    "planning_scene_monitor_options.monitored_planning_scene_topic": str,
    "planning_scene_monitor_options.wait_for_initial_state_timeout": float,
    "planning_pipelines.pipeline_names": TEXTS,
    "plan_request_params.planning_attempts": int,
    "plan_request_params.planning_pipeline": str,
    "plan_request_params.planner_id": str,
    "plan_request_params.planning_time": float,
    "plan_request_params.max_velocity_scaling_factor": float,
    "plan_request_params.max_acceleration_scaling_factor": float,
}

ADAPTERS = {
    "default_planning_request_adapters/ResolveConstraintFrames",
    "default_planning_request_adapters/ValidateWorkspaceBounds",
    "default_planning_request_adapters/CheckStartStateBounds",
    "default_planning_request_adapters/CheckStartStateCollision",
    "default_planning_response_adapters/AddTimeOptimalParameterization",
    "default_planning_response_adapters/ValidateSolution",
    "default_planning_response_adapters/DisplayMotionPath",
}

AGGREGATOR = {
    "path": str,
    "pub_rate": float,
    "other_as_errors": bool,
    "history_depth": int,
    "critical": bool,
}
GENERIC_ANALYZER = {
    "type": str,
    "path": str,
    "find_and_remove_prefix": TEXTS,
    "remove_prefix": TEXTS,
    "startswith": TEXTS,
    "contains": TEXTS,
    "expected": TEXTS,
    "regex": TEXTS,
    "timeout": float,
    "num_items": int,
    "discard_stale": bool,
}


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every parameter of a nested mapping under its dotted name."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def wrong(values: Mapping[str, Any], schema: Mapping[str, type], names: Mapping[str, Any]) -> list:
    """Return what a program would not understand.

    Args:
        values: Parameters, nested.
        schema: Known dotted names with their types, which ROS does not convert.
        names: What may stand for ``<joint>`` and the like.
    """
    known = dict(schema)
    for role, allowed in names.items():
        for name in [key for key in known if role in key]:
            kind = known.pop(name)
            known |= {name.replace(role, one): kind for one in allowed}
    found = []
    for name, value in flat(values):
        if name not in known:
            found.append(f"{name}: unknown")
        elif type(value) is not known[name]:
            found.append(f"{name}: {value!r} is no {known[name].__name__}")
        elif known[name] is TEXTS and not all(isinstance(text, str) for text in value):
            found.append(f"{name}: {value!r} is no list of texts")
    return found
