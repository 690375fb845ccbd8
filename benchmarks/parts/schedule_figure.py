"""Four small pictures over latency, one line per schedule: stalls, success, jerk, duration."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from parts.schedule_numbers import Compared

COLOURS = {"sync": "#888888", "async": "#d55e00", "rtc": "#0072b2", "ensemble": "#009e73"}
"""Told apart by colour-blind people, too (Okabe and Ito)."""
MARKS = {"sync": "s", "async": "^", "rtc": "o", "ensemble": "D"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture: its title, and value and 95 % interval of a condition."""

    title: str
    value: Callable[[Compared], float]
    interval: Callable[[Compared], tuple[float, float]] | None = None


def _around(base: float, interval: tuple[float, float]) -> tuple[float, float]:
    return base + 100 * interval[0], base + 100 * interval[1]


PANELS = (
    Panel(title="Ticks without a plan [%]", value=lambda one: 100 * one.stalled),
    Panel(
        title="Success minus that at 0 ms [points]",
        value=lambda one: 100 * one.success_change[0],
        interval=lambda one: _around(0.0, one.success_change[1]),
    ),
    Panel(title="RMS jerk as planned [rad/s³]", value=lambda one: one.jerk_before),
    Panel(title="RMS jerk behind the gate [rad/s³]", value=lambda one: one.jerk_after),
    Panel(title="Tracking error [mrad]", value=lambda one: 1e3 * one.error_rad),
    Panel(title="Duration of successes [s]", value=lambda one: one.duration_s),
)


def draw(compared: Sequence[Compared]) -> bytes:
    """Return the figure as a PNG, the same bytes for the same numbers."""
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for axes, panel in zip(panels, PANELS, strict=True):
        _draw_panel(axes, panel, compared)
    panels[0].legend(frameon=False, fontsize=8)
    count = compared[0].episodes
    jitter = 100 * compared[0].condition.jitter
    figure.suptitle(
        f"Simulated pick, {count} paired episodes per point, latency ± {jitter:.0f} %", fontsize=10
    )
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def _draw_panel(axes: Axes, panel: Panel, compared: Sequence[Compared]) -> None:
    names = list(dict.fromkeys(one.condition.schedule for one in compared))
    for shift, name in enumerate(names):
        rows = [one for one in compared if one.condition.schedule == name]
        at = [1e3 * one.condition.latency_s + 2.0 * (shift - 1.5) for one in rows]
        axes.plot(
            at,
            [panel.value(one) for one in rows],
            color=COLOURS[name],
            marker=MARKS[name],
            markersize=4,
            linewidth=1.2,
            label=name,
        )
        if panel.interval is not None:
            for x, one in zip(at, rows, strict=True):
                axes.plot([x, x], panel.interval(one), color=COLOURS[name], linewidth=0.8)
    axes.set_title(panel.title, fontsize=9)
    axes.set_xlabel("latency [ms]", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if panel.interval is None:
        axes.set_ylim(0.0, 1.06 * axes.dataLim.y1 or 1.0)
