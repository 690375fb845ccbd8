"""One frozen dataclass is a node's parameter list, its defaults and its documentation.

Values are checked by `so101.config`, the same loader that reads every other file, and only then
declared to ROS: an unknown, mistyped, non-finite or out-of-range parameter stops the node with one
line before it has any topic. Nested dataclasses become dotted names.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from so101.config import from_mapping, load_yaml
from so101.errors import ConfigError

T = TypeVar("T")


def declare(node: Node, cls: type[T]) -> T:
    """Return the node's parameters and declare them: described, ranged, read-only.

    Args:
        node: A node that has declared none of its own parameters yet.
        cls: Frozen dataclass with fields of bool, int, float, str, tuples of these, or nested
            dataclasses of these.

    Raises:
        ConfigError: A parameter given to the node is unknown, or its value is not allowed.
    """
    given = _given(node)
    params = from_mapping(cls, _nest(given), f"parameters of {node.get_name()}")
    for name, value, descriptor in _flatten(params, ""):
        node.declare_parameter(name, value, descriptor, ignore_override=True)
    return params


def check_values(cls: type[Any], values: Mapping[str, Any], where: str) -> None:
    """Check some of a node's parameters as they stand in a file, nested or dotted.

    Args:
        cls: The node's parameters.
        values: The parsed ``ros__parameters``.
        where: File and section, for error messages.

    Raises:
        ConfigError: A key is unknown, or a value is not allowed.
    """
    from_mapping(cls, _nest(_plain_mapping(values)), where)


def defaults(cls: type[Any]) -> dict[str, Any]:
    """Return every parameter with a default as a flat mapping, dotted where nested."""
    flat: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for spec in fields(cls):
        if is_dataclass(hints[spec.name]):
            nested = defaults(hints[spec.name])
            flat.update({f"{spec.name}.{key}": value for key, value in nested.items()})
        elif spec.default is not MISSING:
            flat[spec.name] = spec.default
    return flat


def parameter_files(args: Sequence[str]) -> list[Path]:
    """Return the files named by ``--params-file`` on a command line."""
    return [Path(value) for flag, value in pairwise(args) if flag == "--params-file"]


def check_files(args: Sequence[str]) -> None:
    """Read the parameter files of a command line strictly, before ROS reads them leniently.

    Raises:
        ConfigError: A file is missing, is not YAML, names a key twice, or holds a value that is
            not finite or a section without ``ros__parameters``.
    """
    for path in parameter_files(args):
        for section, body in _sections(path).items():
            where = f"{path}: {section}"
            if not isinstance(body, Mapping) or not isinstance(
                body.get("ros__parameters", None), Mapping
            ):
                raise ConfigError(f"{where}: expected a mapping named ros__parameters")
            _check_finite(body["ros__parameters"], where)


def _given(node: Node) -> dict[str, Any]:
    """Return what files and command line say about parameters this node has not declared yet."""
    overrides = node._parameter_overrides  # the only place that keeps undeclared ones
    return {
        name: _plain(parameter.value)
        for name, parameter in overrides.items()
        if not node.has_parameter(name) and not name.startswith("qos_overrides.")
    }


def _plain(value: Any) -> Any:
    if value is None:  # how ROS reads an empty list
        return []
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [] if list(value) == [""] else list(value)  # launch cannot pass an empty list


def _plain_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _plain_mapping(value) if isinstance(value, Mapping) else _plain(value)
        for key, value in values.items()
    }


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, leaf = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"parameter {name!r}: {parent!r} is a value and a section")
        place[leaf] = value
    return nested


def _flatten(params: Any, prefix: str) -> list[tuple[str, Any, ParameterDescriptor]]:
    rows = []
    for spec in fields(params):
        value = getattr(params, spec.name)
        name = f"{prefix}{spec.name}"
        if is_dataclass(value):
            rows += _flatten(value, f"{name}.")
        elif value is not None:  # ROS has no parameter without a value
            value = list(value) if isinstance(value, tuple) else value
            rows.append((name, value, _descriptor(spec.metadata, value)))
    return rows


def _descriptor(metadata: Mapping[str, Any], value: Any) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=metadata.get("doc", ""), read_only=True)
    descriptor.additional_constraints = ", ".join(metadata.get("choices", ()))
    descriptor.dynamic_typing = isinstance(value, list)  # the type of an empty list is unknown
    if "range" in metadata:
        low, high = metadata["range"]
        if isinstance(value, int):
            low, high = (int(max(min(edge, 2**62), -(2**62))) for edge in (low, high))
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        elif isinstance(value, float):
            spread = FloatingPointRange(from_value=float(low), to_value=float(high))
            descriptor.floating_point_range = [spread]
    return descriptor


def _sections(path: Path) -> Mapping[str, Any]:
    content = load_yaml(path)
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected node names as the top level")
    return content


def _check_finite(values: Any, where: str) -> None:
    if isinstance(values, Mapping):
        for key, value in values.items():
            _check_finite(value, f"{where}: {key}")
    elif isinstance(values, list):
        for value in values:
            _check_finite(value, where)
    elif isinstance(values, float) and not math.isfinite(values):
        raise ConfigError(f"{where}: {values} is not finite")
