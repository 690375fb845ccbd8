"""Names in the processes of a graph: programs, files, parameters, remappings, arguments."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from names.shipped import Shipped, frames, missing, wrong_topic
from ros2_parameters import TEXTS
from ros2_programs import ANY, PROGRAMS, Program

from so101.errors import ConfigError
from so101.ros.params import check_values
from so101.topics import TOPICS
from so101_bringup.node_spec import NodeSpec
from so101_bringup.parameters import params_class


def wrong_node(node: NodeSpec, shipped: Shipped) -> list[str]:
    """Say which names of a process do not exist."""
    found = _wrong_own(node, shipped) if node.is_ours else _wrong_foreign(node, shipped)
    found += [f"file {path}" for path in missing(node.own_files, shipped)]
    if node.after:
        found += [f"topic {name}" for name in wrong_topic(node.after)]
    return [f"{node.name}: {what}" for what in found]


def _wrong_own(node: NodeSpec, shipped: Shipped) -> list[str]:
    found = [] if node.executable in shipped.executables else [f"executable {node.executable}"]
    files = [str(shipped.root / "config" / name) for name in node.config_files]
    found += [f"file {path}" for path in missing(files, shipped)]
    found += [
        f"remapping {name}" for pair in node.remappings for name in pair if wrong_topic(name)
    ]
    if not found:
        own = {key: value for key, value in node.parameters.items() if key != "use_sim_time"}
        try:
            check_values(params_class(node.executable), own, node.name)
        except ConfigError as error:
            found.append(str(error))
    return found


def _wrong_foreign(node: NodeSpec, shipped: Shipped) -> list[str]:
    program = PROGRAMS.get((node.package, node.executable))
    if program is None:
        return [f"executable {node.package} {node.executable}"]
    found = _wrong_parameters(node.parameters, program)
    for old, new in node.remappings:
        found += [] if old in program.topics else [f"remapping of {old}"]
        relative = new.removeprefix(f"/{node.namespace}/")
        found += [f"topic {name}" for name in wrong_topic(relative)]
    return found + list(_wrong_arguments(node.arguments, program, shipped))


def _wrong_parameters(values: Mapping[str, Any], program: Program) -> list[str]:
    found = []
    known = {**program.parameters, "use_sim_time": bool}
    for name, value in values.items():
        if (kind := known.get(name)) is None:
            found += [] if ANY in known else [f"parameter {name}"]
        elif type(value) is not (tuple if kind is TEXTS else kind):
            found.append(f"parameter {name}: {value!r} is no {kind}")
    return found


def _wrong_arguments(words: Iterable[str], program: Program, shipped: Shipped) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        if word in program.flags:
            yield from _wrong_value(program.flags[word], next(rest, ""), shipped)
        elif program.words == "controllers":
            yield from [] if word in shipped.controllers else [f"controller {word}"]
        elif program.words == "bridges":
            yield from wrong_bridge(word)
        else:
            yield f"argument {word}"


def _wrong_value(kind: str, value: str, shipped: Shipped) -> Iterator[str]:
    if kind == "file":
        yield from (f"file {path}" for path in missing([value], shipped))
    elif kind == "topic":
        yield from (f"topic {name}" for name in wrong_topic(value))
    elif kind == "frame" and value.rsplit("/", 1)[-1] not in frames():
        yield f"frame {value}"
    elif kind == "node" and value != "controller_manager":
        yield f"node {value}"
    elif kind == "number":
        try:
            float(value)
        except ValueError:
            yield f"number {value}"


def wrong_bridge(text: str) -> list[str]:
    """Say what is wrong with ``topic@ros_type[gz_type``: both types are named alike."""
    name, _, types = text.partition("@")
    ros, _, gazebo = types.replace("]", "[").partition("[")
    found = [f"topic {each}" for each in wrong_topic(name)]
    kinds = {topic.name: topic.type for topic in TOPICS}
    if kinds.get(name, ros) != ros or ros.rsplit("/", 1)[-1] != gazebo.rsplit(".", 1)[-1]:
        found.append(f"type {types}")
    return found
