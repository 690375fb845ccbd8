"""What is wrong with a line that a guide tells people to type into ROS's own tools."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from ros2_programs import PROGRAMS

from so101.errors import So101Error
from so101.robot import CAMERAS
from so101.ros.params import defaults
from so101.services import ACTIONS, SERVICES, SET_BOOL
from so101.topics import TOPICS, camera_info_topic, image_topic, raw_image_topic
from so101_bringup.launch_arguments import read_options
from so101_bringup.launch_table import LAUNCH_FILES
from so101_bringup.node_spec import CAMERA_NODE, NODES
from so101_bringup.parameters import params_class

NAMESPACES = ("left", "right")
"""What guides call two robots."""

OTHERS = {package for package, _ in PROGRAMS} | {
    *("ros_gz_sim", "rosetta", "rqt_image_view", "rqt_robot_monitor")
}
"""Packages of other people that guides run or launch."""

OURS = "so101_bringup"
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:ros2|rqt_plot) [^`]+)`")
FIELD = re.compile(r".+/(data|(position|velocity|effort)\[\d\])")
SHOWN = {
    t.name.strip("/"): t.type
    for t in (
        *TOPICS,
        *(make(c) for c in CAMERAS for make in (image_topic, raw_image_topic, camera_info_topic)),
    )
} | {"tf": "tf2_msgs/msg/TFMessage", "tf_static": "tf2_msgs/msg/TFMessage"}


def ros_lines(page: Path) -> Iterator[str]:
    """Yield every line of a page for ROS's tools, in blocks and in the text, complete ones."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("ros2 ", "rqt_plot ")):
                yield line
    for line in INLINE.findall(FENCE.sub("", text).replace("\n", " ")):
        if len(line.split()) > 3:  # shorter ones are names of tools
            yield line


def problem(line: str) -> str:
    """Return what a line names that does not exist; empty when all of it does."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        words = line.split()  # a message over several lines has a test of its own
    if words[0] == "rqt_plot":
        return next(filter(None, (_topic(word, is_field=True) for word in words[1:])), "")
    check = _CHECKS.get(words[1])
    return check(words[2:]) if check else f"ros2 {words[1]}: not known here"


def _relative(name: str) -> str:
    name = name.strip("/")
    first, _, rest = name.partition("/")
    return rest if first in NAMESPACES else name


def _topic(name: str, kind: str = "", *, is_field: bool = False) -> str:
    name = _relative(name)
    if is_field:  # such as joint_states/position[0]
        name = name.rpartition("/")[0] if FIELD.fullmatch(name) else name
    if name not in SHOWN:
        return f"no topic {name}"
    return f"{name} is of {SHOWN[name]}" if kind not in ("", SHOWN[name]) else ""


def _node(name: str) -> str:
    name = _relative(name)
    known = {*NODES, *(f"{camera}_camera" for camera in CAMERAS)}
    return "" if name in known else f"no node {name}"


def _check_topic(words: list[str]) -> str:
    verb, *rest = words
    if verb not in ("echo", "hz", "info", "list", "pub", "delay", "bw"):
        return f"ros2 topic {verb}: not known here"
    names = [word for word in rest if not word.startswith("-")]
    return _topic(*names[:2]) if names else ""


def _check_service(words: list[str]) -> str:
    verb, *rest = words
    if verb != "call":
        return "" if verb == "list" else f"ros2 service {verb}: not known here"
    name, kind, *value = rest
    service = SERVICES.get(_relative(name))
    if service is None:
        return f"no service {name}"
    if kind != service.type:
        return f"{name} is of {service.type}"
    takes_value = service.type == SET_BOOL
    allowed = (["{data: true}"], ["{data: false}"]) if takes_value else ([],)
    return "" if value in allowed else f"{name} takes {'a value' if takes_value else 'no value'}"


def _check_launch(words: list[str]) -> str:
    package, file, *arguments = words
    if package != OURS:
        return "" if package in OTHERS else f"no package {package}"
    known = LAUNCH_FILES.get(file.removesuffix(".launch.py"))
    if known is None or not file.endswith(".launch.py"):
        return f"no launch file {file}"
    texts = dict(word.split(":=") for word in arguments if ":=" in word)
    for name in texts:
        if name not in known.arguments:
            return f"{file} takes no {name}"
    try:
        options = read_options(texts)
    except So101Error as error:
        return str(error)
    lists = (*options.cameras, *options.elsewhere, *options.controllers, *options.aux)
    return next((f"{one!r} is no name" for one in lists if not re.fullmatch(r"\w+", one)), "")


def _check_run(words: list[str]) -> str:
    package, program = words[:2]
    if package != OURS:
        return "" if package in OTHERS else f"no package {package}"
    return "" if program in (*NODES, CAMERA_NODE, "so101") else f"no program {program}"


def _check_param(words: list[str]) -> str:
    verb, *rest = words
    if verb not in ("get", "list", "describe", "dump"):
        return f"ros2 param {verb}: parameters are read-only"
    if reason := _node(rest[0]):
        return reason
    node = _relative(rest[0])
    known = defaults(params_class(node if node in NODES else CAMERA_NODE))
    return f"{node} has no parameter {rest[1]}" if rest[1:] and rest[1] not in known else ""


def _check_bag(words: list[str]) -> str:
    verb = words[0]
    names = [word for word in words[1:] if word.startswith("/")]
    if verb not in ("record", "info", "play"):
        return f"ros2 bag {verb}: not known here"
    return next(filter(None, map(_topic, names)), "")


def _check_node(words: list[str]) -> str:
    return _node(words[1]) if words[0] == "info" else ""


def _check_action(words: list[str]) -> str:
    verb, *rest = words
    if verb not in ("send_goal", "info", "list"):
        return f"ros2 action {verb}: not known here"
    name, *kind = [word for word in rest if not word.startswith("-")][:2]
    action = next((one for one in ACTIONS if one.name == _relative(name)), None)
    if action is None:
        return f"no action {name}"
    return f"{name} is of {action.type}" if kind not in ([], [action.type]) else ""


_CHECKS: dict[str, Callable[[list[str]], str]] = {
    "topic": _check_topic,
    "action": _check_action,
    "service": _check_service,
    "launch": _check_launch,
    "run": _check_run,
    "param": _check_param,
    "bag": _check_bag,
    "node": _check_node,
}
