"""The launch files: which graph each renders, and which of the options are its arguments.

An option is an argument of a file when it changes that graph; a test holds the lists against the
graphs. What a file fixes is not asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_ROS = ("namespace", "use_sim_time", "discovery", "images")
_OURS = (*_ROS, "params_file")
_TREE = ("prefix", "frame_prefix", "base")
_RVIZ = ("launch_rviz", "rviz_config_file", *_TREE)
_CONTROL = ("use_ros2_control", "hardware_type", "use_mock_hardware", "use_fake_hardware")
_CONTROLLERS = ("controllers_file", "controllers")
_ARM = ("usb_port", "calibration", "robot_id", "write_eeprom")
_PERSON = ("teleop", "leader_port", "leader_calibration", "launch_joy")
_CAMERAS = ("cameras", "camera_height", "camera_width")
_TIME = ("speed", "simulated_latency")
_RHYTHM = ("schedule", "decision_ticks", "simulated_latency")
_SERVER = ("server", "server_token_file", "server_ca")
_POLICY = ("checkpoint", *_SERVER, "schedule", "decision_ticks", "aux")
_GOALS = ("demonstrations", "evaluation_episodes", "target_success", "groups", "rollouts", "rule")
_SEEN = ("state", *_CAMERAS, *_PERSON, *_TIME, "elsewhere")
_SETTING = ("robot", "task", "instruction", "start", "store", "seed", "operator")
_SESSION = (*_SEEN, "launch_diagnostics", *_CONTROL, *_RVIZ, *_OURS)


@dataclass(frozen=True, kw_only=True)
class LaunchFile:
    """One launch file.

    Attributes:
        graph: Key in `so101_bringup.graph.GRAPHS`.
        arguments: Names of the options that are its arguments.
        fixed: Options that it decides.
        is_session: It has a session, and with it a store and a name in the ROS domain for itself,
            and ends when that does.
    """

    graph: str
    arguments: tuple[str, ...]
    fixed: Mapping[str, str] = field(default_factory=dict)
    is_session: bool = False


def _file(graph: str, *arguments: str, **fixed: str) -> LaunchFile:
    return LaunchFile(graph=graph, arguments=tuple(dict.fromkeys(arguments)), fixed=fixed)


def _session(graph: str, *arguments: str) -> LaunchFile:
    """Return a session's file: what it is about first, what it has in common with others last."""
    names = tuple(dict.fromkeys((*_SETTING, *arguments, *_SESSION)))
    return LaunchFile(graph=graph, arguments=names, is_session=True)


LAUNCH_FILES: Mapping[str, LaunchFile] = {
    "rl": _session("rl", "episodes", *_GOALS, "algorithm", "gate", *_POLICY, "learning_python"),
    "record": _session(
        "record", "demonstrations", "continuous", *_ARM, *_SEEN, *_CONTROL, *_CONTROLLERS
    ),
    "up": _session(
        "up", *_ARM, *_POLICY, "learning_python", "continuous", *_SEEN, *_CONTROL, *_CONTROLLERS
    ),
    "sim": _file(
        "sim",
        "state",
        *_CAMERAS,
        "teleop",
        *_TIME,
        *_RHYTHM,
        *_RVIZ,
        *_OURS,
        robot="sim",
    ),
    "hardware": _file(
        "hardware",
        *_ARM,
        "teleop",
        "schedule",
        "decision_ticks",
        *_CONTROL,
        *_CONTROLLERS,
        *_RVIZ,
        *_OURS,
        robot="real",
    ),
    "cameras": _file("cameras", *_CAMERAS, *_OURS, robot="real"),
    "teleop": _file("teleop", "robot", *_PERSON, "task", "start", *_OURS),
    "policy": _file(
        "policy",
        "robot",
        *_POLICY,
        "state",
        "cameras",
        "simulated_latency",
        "seed",
        "learning_python",
        *_OURS,
    ),
    "learner": _file(
        "learner",
        "store",
        "algorithm",
        "gate",
        "state",
        "cameras",
        "seed",
        "learning_python",
        *_OURS,
    ),
    "motion": _file("motion", "robot", *_OURS),
    "description": _file(
        "description",
        "gui",
        *_CONTROL,
        "usb_port",
        "calibration",
        "robot_id",
        "controllers_file",
        *_TREE,
        *_ROS,
    ),
    "view": _file(
        "view", "gui", "launch_description", "rviz_config_file", *_CONTROL, *_TREE, *_ROS
    ),
    "moveit": _file("moveit", "launch_description", *_CONTROL, *_RVIZ, *_ROS),
    "replay": _file(
        "replay",
        "bag",
        "rate",
        "loop",
        "start_paused",
        *_RVIZ,
        "namespace",
        "discovery",
        "params_file",
        "images",
    ),
}
"""By the name of the file, without ``.launch.py``."""
