"""Write config/*.yaml and docs/parameters.md from the parameter dataclasses; tests compare them.

Run ``python tools/write_config.py`` after changing a node's parameters.
"""

import json
import sys
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def params_class(node: str) -> type[Any]:
    """Return the dataclass of a node's parameters."""
    module = import_module(f"{node}.params")
    name = "".join(part.capitalize() for part in node.split("_")[:-1]) + "Params"
    kind = getattr(module, name)
    if not isinstance(kind, type):
        raise TypeError(f"{node}.params.{name} is not a class")
    return kind


def config_text(node: str) -> str:
    """Return a node's parameter file: every parameter with its default and documentation."""
    kind = params_class(node)
    head = [
        f"# {(kind.__doc__ or node).splitlines()[0]}",
        "# Defaults, written by tools/write_config.py. Your own file wins: params_file:=mine.yaml",
        f"/**/{node}:  # in any namespace",
        "  ros__parameters:",
    ]
    return "\n".join([*head, *_lines(kind(), "    ")]) + "\n"


def study_text() -> str:
    """Return the file of `so101 bench-learn`: every setting of a study."""
    study = import_module("learner_node.study").StudyConfig()
    head = [
        "# Settings of a study: demonstrations, fine-tuning, groups of rollouts, report poses.",
        "# Defaults, written by tools/write_config.py. Your own file wins: --config mine.yaml",
    ]
    return "\n".join([*head, *_lines(study, "")]) + "\n"


def parameters_text() -> str:
    """Return the page of every node's parameters."""
    lines = [
        "# Parameters",
        "",
        "Of every node: name, default and meaning, with unit, range and choices. Written by",
        "tools/write_config.py from `<node>/params.py`; how files and values are given is in",
        "[interfaces](interfaces.md#parameters). Every node also takes `use_sim_time`.",
    ]
    for node in node_names():
        kind = params_class(node)
        lines += ["", f"## {node}", "", (kind.__doc__ or node).splitlines()[0], ""]
        lines += ["| parameter | default | meaning |", "| --- | --- | --- |", *_rows(kind(), "")]
    return "\n".join(lines) + "\n"


def node_names() -> list[str]:
    """Return the names of the nodes that have parameters."""
    return sorted(path.parent.name for path in ROOT.glob("*_node/params.py"))


def _rows(params: Any, before: str) -> list[str]:
    rows = []
    for spec in fields(params):
        value, name = getattr(params, spec.name), f"{before}{spec.name}"
        if is_dataclass(value):
            rows += _rows(value, f"{name}.")
        else:
            meaning = _comment(spec.metadata).replace("|", "\\|")
            rows.append(f"| `{name}` | `{json.dumps(value)}` | {meaning} |")
    return rows


def _lines(params: Any, indent: str) -> list[str]:
    lines = []
    for spec in fields(params):
        value = getattr(params, spec.name)
        if is_dataclass(value):
            lines += [f"{indent}{spec.name}:", *_lines(value, indent + "  ")]
        elif spec.default is not MISSING or spec.default_factory is not MISSING:
            value = [""] if value == () else value  # ROS cannot read an empty list
            comment = _comment(spec.metadata)
            lines += [f"{indent}# {comment}", f"{indent}{spec.name}: {json.dumps(value)}"]
    return lines


def _comment(metadata: Any) -> str:
    text = " ".join(str(metadata["doc"]).split())
    if "range" in metadata:
        text += " ({:g} to {:g})".format(*metadata["range"])
    if "choices" in metadata:
        text += f" ({', '.join(filter(None, metadata['choices']))})"
    return text


def main() -> None:
    """Write every file."""
    for node in node_names():
        (ROOT / "config" / f"{node}.yaml").write_text(config_text(node), encoding="utf-8")
    (ROOT / "config" / "bench_learn.yaml").write_text(study_text(), encoding="utf-8")
    (ROOT / "docs" / "parameters.md").write_text(parameters_text(), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
