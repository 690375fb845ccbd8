"""Every trial of `benchmarks/guarantees.py` as a dot, one row per figure, beside its target."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from parts.guarantee_numbers import FIGURES, Figure

IN_TIME, LATE, TARGET = "#0072b2", "#d55e00", "#555555"
"""Told apart by colour-blind people, too (Okabe and Ito)."""

ROOM = 1.45
"""The axes end at this multiple of the largest target."""

PANELS = {"[ms]": "time from the event [ms]", "[rad]": "angle [rad]"}


def draw(result: Mapping[str, Any]) -> bytes:
    """Return the figure as a PNG, the same bytes for the same numbers."""
    rows = {unit: _rows(result, unit) for unit in PANELS}
    heights = [max(1, len(of)) for of in rows.values()]
    picture = Picture(figsize=(9.6, 1.2 + 0.42 * sum(heights)), layout="constrained")
    panels = picture.subplots(len(PANELS), 1, height_ratios=heights)
    for axes, (unit, label) in zip(panels, PANELS.items(), strict=True):
        most = ROOM * (max((one.target or 0.0 for one, _ in rows[unit]), default=0.0) or 1.0)
        for place, (figure, one) in enumerate(rows[unit]):
            _draw_row(axes, place, figure, one, most)
        axes.set_yticks(range(len(rows[unit])), [_name(figure) for figure, _ in rows[unit]])
        axes.set_ylim(max(1, len(rows[unit])) - 0.5, -0.5)
        axes.set_xlim(0.0, 1.02 * most)
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    title = "Each dot a trial on the servo twin; bars are what is promised, arrows are far beyond"
    picture.suptitle(title, fontsize=10)
    stream = io.BytesIO()
    picture.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def _rows(result: Mapping[str, Any], unit: str) -> list[tuple[Figure, Mapping[str, Any]]]:
    found = []
    for figure in FIGURES:
        of = result.get(figure.measurement, {}).get("figures", {})
        if figure.title.endswith(unit) and figure.key in of:
            found.append((figure, of[figure.key]))
    return found


def _name(figure: Figure) -> str:
    return figure.title.rsplit(" [", 1)[0]


def _draw_row(axes: Axes, place: int, figure: Figure, one: Mapping[str, Any], most: float) -> None:
    """Draw the values around a row's line, spread so that dots do not hide each other."""
    values = np.array(one["values"], dtype=np.float64)
    spread = 0.22 * np.sin(np.arange(len(values)) * 2.4)
    is_late = values > (figure.target if figure.target is not None else np.inf)
    shown, beyond = np.minimum(values, most), values > most
    for which, colour in ((~is_late, IN_TIME), (is_late, LATE)):
        for those, mark, size in ((which & ~beyond, "o", 9), (which & beyond, ">", 30)):
            axes.scatter(
                shown[those],
                place + spread[those],
                s=size,
                c=colour,
                marker=mark,
                alpha=0.6,
                linewidths=0,
            )
    if figure.target is not None:
        axes.plot([figure.target] * 2, [place - 0.4, place + 0.4], color=TARGET, linewidth=2)
