"""The arguments of the launch files: made of the options, all given as text. No launch here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, get_type_hints

from so101.config import from_mapping, parse_yaml
from so101.errors import ConfigError
from so101_bringup.graph_options import GraphOptions
from so101_bringup.launch_table import LaunchFile


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One launch argument.

    Attributes:
        name: Also of the option.
        default: As text; None where it has to be given.
        doc: What it means, with its bounds.
        choices: What it may be; empty for anything.
    """

    name: str
    default: str | None
    doc: str
    choices: tuple[str, ...] = ()


def launch_arguments(file: LaunchFile) -> list[Argument]:
    """Return the arguments of a launch file, in the order of its table.

    The robot is never guessed, so its argument has no default, and launch asks for it.
    """
    known = {spec.name: spec for spec in fields(GraphOptions)}
    return [_argument(known[name]) for name in file.arguments]


def read_options(texts: Mapping[str, str]) -> GraphOptions:
    """Read launch arguments, all given as text.

    Raises:
        ConfigError: An argument is unknown or its value is not allowed.
    """
    hints = get_type_hints(GraphOptions)
    values = {name: _from_text(hints.get(name, str), text, name) for name, text in texts.items()}
    return from_mapping(GraphOptions, values, "launch arguments")


def check_typed(argv: Sequence[str]) -> None:
    """Refuse a misspelled argument, which launch itself ignores in silence.

    Others that no option is called may be meant for a launch file that includes this one.

    Args:
        argv: What was typed after the launch file, such as ``seed:=1``.

    Raises:
        ConfigError: One is nearly called like an option.
    """
    names = [spec.name for spec in fields(GraphOptions)]
    for name in _typed(argv):
        nearest = get_close_matches(name, names, n=1, cutoff=0.8)
        if nearest and name not in names:
            raise ConfigError(
                f"launch arguments: unknown key {name!r}, did you mean {nearest[0]!r}?"
            )


def unused(argv: Sequence[str], file: LaunchFile) -> list[str]:
    """Return the options that were typed and that this launch file has no use for."""
    names = {spec.name for spec in fields(GraphOptions)}
    return [name for name in _typed(argv) if name in names and name not in file.arguments]


def _typed(argv: Sequence[str]) -> Iterable[str]:
    return (text.partition(":=")[0] for text in argv)


def _argument(spec: Any) -> Argument:
    choices = tuple(spec.metadata.get("choices", ()))
    if spec.name == "robot":
        doc = "simulated or real; never guessed"
        return Argument(name="robot", default=None, doc=doc, choices=choices[1:])
    doc = str(spec.metadata["doc"]) + _form(spec.default, spec.metadata.get("range"))
    return Argument(name=spec.name, default=_to_text(spec.default), doc=doc, choices=choices)


def _form(default: Any, bounds: Sequence[float] | None) -> str:
    """Return what a description says of how its value is written."""
    if isinstance(default, tuple):
        return " (with commas between)"
    return f" ({bounds[0]} to {bounds[1]})" if bounds else ""


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _from_text(kind: Any, text: str, name: str) -> Any:
    if kind is str:
        return text
    if kind == tuple[str, ...]:
        return [part.strip() for part in text.split(",") if part.strip()]
    value = parse_yaml(text.strip(), name)
    if isinstance(value, (bool, int, float)):
        return value
    raise ConfigError(f"launch arguments: {name}: expected {kind.__name__}, got {text!r}")
