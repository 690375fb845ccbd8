"""One loader for every configuration: YAML text to frozen dataclasses, strictly.

Unknown, duplicate, non-finite, mistyped and out-of-range values are errors that name file, key and
the nearest valid key. A field's metadata may hold ``doc`` (its documentation), ``range`` (lowest
and highest allowed value) and ``choices`` (allowed values).
"""

import difflib
import math
import re
import reprlib
import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from so101.errors import ConfigError

T = TypeVar("T")

MAX_BYTES = 1_000_000
"""A larger configuration file is refused: it is something else, or an attack."""

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
"""Numbers that YAML 1.2 knows and YAML 1.1 reads as text, such as 1e3."""

_shown = reprlib.Repr()  # bounded: a few aliases can stand for a value of any size
_shown.maxlevel, _shown.maxstring, _shown.maxother = 2, 60, 60


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    mapping: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            line = key_node.start_mark.line + 1
            raise ConfigError(f"line {line}: a key must be a word, got {_show(key)}")
        if key in mapping:
            raise ConfigError(f"line {key_node.start_mark.line + 1}: duplicate key {_show(key)}")
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _construct_tuple(loader: _StrictLoader, node: yaml.SequenceNode) -> list[Any]:
    """Return a list: so launch_ros writes every list of parameters."""
    return loader.construct_sequence(node, deep=True)


_StrictLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    _construct_mapping,
)
_StrictLoader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)


def option(
    default: Any,
    doc: str,
    *,
    range: tuple[float, float] | None = None,  # the metadata key's name
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Return a dataclass field with a default, its documentation and its allowed values."""
    metadata: dict[str, Any] = {"doc": doc}
    if range is not None:
        metadata["range"] = range
    if choices is not None:
        metadata["choices"] = choices
    return field(default=default, metadata=metadata)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML text with duplicate keys refused.

    Raises:
        ConfigError: The text is not valid YAML; the message names ``where`` and the line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader
    except (yaml.YAMLError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from error
    except RecursionError:
        raise ConfigError(f"{where}: nested too deeply") from None
    except ValueError as error:  # an impossible date, a number of thousands of digits
        raise ConfigError(f"{where}: unreadable value: {error}") from error


def load_yaml(path: Path) -> Any:
    """Parse a YAML file with duplicate keys refused.

    Raises:
        ConfigError: The file cannot be read, is larger than `MAX_BYTES` or is not valid YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes, not a configuration file")
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_yaml(text, str(path))


def from_mapping(cls: type[T], values: Any, where: str) -> T:
    """Build a frozen dataclass from parsed YAML.

    Args:
        cls: The dataclass. Its fields may be bool, int, float, str, Literal, Optional, nested
            dataclasses, tuples and string-keyed dicts of these.
        values: The parsed mapping; None counts as empty.
        where: File and section, for error messages.

    Raises:
        ConfigError: A key is unknown or missing, or a value has the wrong type or is out of range.
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping, got {type(values).__name__}")
    known: dict[str, Field[Any]] = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {_show(key)}{_nearest(key, known)}")
    hints = get_type_hints(cls)
    arguments = {}
    for name, spec in known.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], f"{where}: {name}")
            _check(spec, arguments[name], f"{where}: {name}")
        elif spec.default is MISSING and spec.default_factory is MISSING:
            raise ConfigError(f"{where}: missing key {name!r}")
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def to_mapping(value: Any) -> Any:
    """Return the YAML- and JSON-ready form of a configuration, the inverse of `from_mapping`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_mapping(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_mapping(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_mapping(item) for key, item in value.items()}
    return value


def _show(value: Any) -> str:
    return _shown.repr(value)


def _nearest(key: Any, known: Mapping[str, Any]) -> str:
    matches = difflib.get_close_matches(str(key)[:100], known, n=1, cutoff=0.5)
    return f", did you mean {matches[0]!r}?" if matches else f"; known keys: {', '.join(known)}"


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _convert_optional(kind, value, where)
    if origin is Literal:
        allowed = get_args(kind)
        if not any(type(value) is type(item) and value == item for item in allowed):
            names = ", ".join(str(item) for item in allowed)
            raise ConfigError(f"{where}: {_show(value)} is not one of {names}")
        return value
    if origin is tuple:
        return _convert_tuple(kind, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a mapping, got {_show(value)}")
        item = get_args(kind)[1]
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{where}: a key must be text, got {_show(key)}")
        return {k: _convert(item, v, f"{where}: {k}") for k, v in value.items()}
    if is_dataclass(kind):
        return from_mapping(kind, value, where)  # type: ignore[arg-type]
    return _convert_scalar(kind, value, where)


def _convert_optional(kind: Any, value: Any, where: str) -> Any:
    if value is None and type(None) in get_args(kind):
        return None
    inner = next(arg for arg in get_args(kind) if arg is not type(None))
    return _convert(inner, value, where)


def _convert_tuple(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, got {_show(value)}")
    kinds = get_args(kind)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigError(f"{where}: expected {len(kinds)} entries, got {len(value)}")
    pairs = zip(kinds, value, strict=True)
    return tuple(_convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(pairs))


def _convert_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise ConfigError(f"{where}: {_show(value)} is too large") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        name = "a number" if kind is float else kind.__name__
        raise ConfigError(f"{where}: expected {name}, got {_show(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: {value} is not finite")
    return value


def _check(spec: Field[Any], value: Any, where: str) -> None:
    if "range" in spec.metadata and value is not None:
        low, high = spec.metadata["range"]
        if not low <= value <= high:
            raise ConfigError(f"{where}: {_show(value)} is outside {low:g}..{high:g}")
    if "choices" in spec.metadata and value not in spec.metadata["choices"]:
        choices = spec.metadata["choices"]
        raise ConfigError(f"{where}: {_show(value)} is not one of {', '.join(choices)}")
