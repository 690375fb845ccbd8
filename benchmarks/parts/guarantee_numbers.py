"""What the trials of `benchmarks/guarantees.py` amount to, against what is promised. Pure."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from parts.guarantee_wave import OFF_WAVE_RAD

COUNTS = {
    "policy_death": 50,
    "estop": 100,
    "driver_death": 20,
    "bus_silent": 50,
    "start_up": 10,
    "single_commander": 8,
}
"""Trials of each measurement that are published."""

DISTURBED = "disturbed"
"""Rows of trials that had to be done again, because the machine was too busy for the twin."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of every trial of a measurement.

    Attributes:
        measurement: Whose trials.
        key: Which number of a row.
        title: What it is, with its unit.
        target: The most that is promised; None: published beside it.
    """

    measurement: str
    key: str
    title: str
    target: float | None = None


def _of(measurement: str, *rows: tuple[str, str, float | None]) -> tuple[Figure, ...]:
    return tuple(
        Figure(measurement=measurement, key=key, title=title, target=target)
        for key, title, target in rows
    )


FIGURES = (
    *_of(
        "policy_death",
        ("commanded_ms", "policy dies: goals stand [ms]", 400.0),
        ("measured_ms", "policy dies: the arm stands [ms]", 400.0),
        ("near_ms", "policy dies: the arm is within 1° [ms]", 400.0),
        ("drift_deg", "policy dies: drift while it holds [°]", 0.5),
    ),
    *_of(
        "estop",
        ("begins_ms", "e-stop: the stop begins [ms]", 50.0),
        ("commanded_ms", "e-stop: goals stand [ms]", 250.0),
        ("measured_ms", "e-stop: the arm stands [ms]", None),
        ("near_ms", "e-stop: the arm is within 1° [ms]", None),
    ),
    *_of(
        "driver_death",
        ("goal_rad", "driver dies: last goal from the pose [rad]", 0.3),
        ("came_rad", "driver dies: the arm still goes [rad]", None),
    ),
    *_of(
        "bus_silent",
        ("fault_ms", "bus silent: at fault [ms]", 100.0),
        ("measured_ms", "bus silent: the arm stands [ms]", None),
    ),
    *_of(
        "start_up",
        ("moved_loose_rad", "start-up: moved before torque [rad]", 0.01),
        ("goal_rad", "start-up: first goals from the pose [rad]", 0.01),
        ("moved_held_rad", "start-up: moved when torque came on [rad]", 0.01),
    ),
    *_of(
        "single_commander",
        ("off_rad", "another source commands: goals off [rad]", OFF_WAVE_RAD),
        ("off_same_rad", "a second policy commands: goals off [rad]", OFF_WAVE_RAD),
        ("off_bypass_rad", "past the arbiter: goals off [rad]", None),
    ),
)


def read_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the trials of a file by measurement; none where there is no file.

    A last line that was cut short is left out.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            row = json.loads(line)
            found.setdefault(row["measurement"], []).append(row)
    return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return count, median, p99 and the largest; the p99 is a value that was measured."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]
    return {
        "n": len(ordered),
        "p50": float(np.median(ordered)),
        "p99": p99,
        "max": ordered[-1],
    }


def summary(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return what every figure amounts to, with the values it is made of."""
    result: dict[str, Any] = {}
    for figure in FIGURES:
        values = [row[figure.key] for row in rows.get(figure.measurement, ()) if figure.key in row]
        if not values:
            continue
        of = result.setdefault(figure.measurement, {"figures": {}})
        one = {**spread(values), "values": values}
        if figure.target is not None:
            one |= {"target": figure.target, "missed": sum(v > figure.target for v in values)}
        of["figures"][figure.key] = one
    for name, of in result.items():
        again = [row for row in rows.get(DISTURBED, ()) if row["during"] == name]
        of["disturbed"] = len(again)
    return result


def table(result: Mapping[str, Any]) -> str:
    """Return the figures for a person."""
    lines = [f"{'':46}{'n':>5}{'p50':>9}{'p99':>9}{'max':>9}{'target':>9}  missed"]
    for figure in FIGURES:
        one = result.get(figure.measurement, {}).get("figures", {}).get(figure.key)
        if one is None:
            continue
        numbers = "".join(f"{one[key]:9.4g}" for key in ("p50", "p99", "max"))
        target = f"{figure.target:9.4g}  {one['missed']}" if figure.target is not None else ""
        lines.append(f"{figure.title:46}{one['n']:5}{numbers}{target}")
    return "\n".join(lines)
