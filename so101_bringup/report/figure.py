"""A run in four pictures: durations by group, success by group, before and after, losses.

The first has the form of Fig. 5 of Qiu 2025. Each picture can be drawn alone, for a page, in
light or dark; all of them together make one figure.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from so101.statistics import wilson_interval
from so101_bringup.report.captions import TITLES
from so101_bringup.report.numbers import Evaluated, Report, smoothed_percentiles
from so101_bringup.report.values import Attempt, Ending

_SPREAD = 0.62
"""Width over which the rollouts of a group are spread, in groups."""
_MARKS = {Ending.SUCCESS: "o", Ending.FAILURE: "X", Ending.OVER_TIME: "^"}


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of a picture; the strong ones are told apart by colour-blind people, too."""

    page: str
    ink: str
    faint: str
    success: str
    failure: str
    over_time: str
    typical: str

    @property
    def endings(self) -> Mapping[Ending, str]:
        """Colour of each way to end."""
        return {
            Ending.SUCCESS: self.success,
            Ending.FAILURE: self.failure,
            Ending.OVER_TIME: self.over_time,
        }


LIGHT = Palette(
    page="#ffffff",
    ink="#24292f",
    faint="#8c959f",
    success="#0072b2",
    failure="#d1401f",
    over_time="#c98500",
    typical="#12805c",
)
DARK = Palette(
    page="#161b22",
    ink="#e6edf3",
    faint="#7d8590",
    success="#56b4e9",
    failure="#ff7b5a",
    over_time="#f0c04a",
    typical="#3fb98a",
)


def draw_durations(axes: Axes, report: Report, palette: Palette) -> None:
    """Scatter rollouts by group and duration; smoothed percentiles and verdicts over them."""
    places = np.arange(len(report.groups))
    rollouts = [group.rollouts for group in report.groups]
    low, middle, high = smoothed_percentiles(rollouts, report.limit_s).T
    axes.fill_between(places, low, high, color=palette.typical, alpha=0.16, lw=0, zorder=1)
    for edge in (low, high):
        axes.plot(places, edge, color=palette.typical, alpha=0.5, lw=1.0, zorder=2)
    axes.plot(places, middle, color=palette.typical, lw=2.4, zorder=4, label="median, quartiles")
    _scatter(axes, rollouts, palette)
    axes.axhline(report.limit_s, color=palette.faint, lw=1.0, ls=(0, (4, 3)), zorder=1)
    axes.set_ylim(0.0, 1.13 * max(report.limit_s, *(r.duration_s for r in report.run.rollouts)))
    axes.set_ylabel("duration [s]")
    _mark_gate(axes, report, palette)
    _number_groups(axes, report)
    axes.grid(visible=False, axis="x")
    axes.legend(
        ncols=6,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        columnspacing=1.2,
        handletextpad=0.5,
    )


def _scatter(axes: Axes, groups: Sequence[Sequence[Attempt]], palette: Palette) -> None:
    """Draw every rollout at its group, those of a group side by side."""
    for ending, colour in palette.endings.items():
        points = [
            (place + _SPREAD * ((i + 0.5) / len(group) - 0.5), rollout.duration_s)
            for place, group in enumerate(groups)
            for i, rollout in enumerate(group)
            if rollout.ending is ending
        ]
        if points:
            x, y = np.array(points).T
            size = 26 if ending is Ending.SUCCESS else 46
            axes.scatter(
                x,
                y,
                s=size,
                marker=_MARKS[ending],
                color=colour,
                edgecolor=palette.page,
                lw=0.6,
                zorder=3,
                label=ending.value,
                clip_on=False,
            )


def _mark_gate(axes: Axes, report: Report, palette: Palette) -> None:
    """Mark between two groups whether what was trained there passed the gate."""
    top = axes.get_ylim()[1] * 0.965
    marks = {
        True: ("P", palette.typical, "promoted"),
        False: ("x", palette.faint, "rejected"),
    }
    for is_promoted, (mark, colour, label) in marks.items():
        places = [
            place + 0.5
            for place, group in enumerate(report.groups)
            if group.is_judged and group.is_promoted is is_promoted
        ]
        if places:
            axes.scatter(places, [top] * len(places), marker=mark, s=34, color=colour, label=label)


def draw_success(axes: Axes, report: Report, palette: Palette) -> None:
    """Draw each group's share of successes with its Wilson interval."""
    places = np.arange(len(report.groups))
    counts = [(group.successes, len(group.rollouts)) for group in report.groups]
    share = np.array([successes / n for successes, n in counts])
    low, high = np.array([wilson_interval(*count) for count in counts]).T
    axes.vlines(places, low, high, color=palette.success, alpha=0.45, lw=2.0)
    axes.plot(places, share, "o-", color=palette.success, lw=1.2, ms=5.5)
    axes.set_ylim(0.0, 1.04)
    axes.set_ylabel("share of successes")
    _number_groups(axes, report)


def draw_change(axes: Axes, report: Report, palette: Palette) -> None:
    """Draw which share of the report poses was done within a time, before and after."""
    curves = (("before", report.before, palette.faint), ("after", report.after, palette.success))
    for name, evaluated, colour in curves:
        if evaluated is not None:
            times, share = _share_done(evaluated, report.limit_s)
            axes.step(times, share, where="post", color=colour, lw=2.2, label=name)
    axes.set_xlim(0.0, report.limit_s)
    axes.set_ylim(0.0, 1.04)
    axes.set_xlabel("time [s]")
    axes.set_ylabel("share of poses done by then")
    if report.before is None and report.after is None:
        _say_nothing(axes, "no evaluation yet")
    else:
        axes.legend(loc="best")


def _share_done(evaluated: Evaluated, limit_s: float) -> tuple[list[float], list[float]]:
    """Return times [s] and the share of all attempts that had succeeded by then."""
    done = sorted(one.duration_s for one in evaluated.attempts if one.is_success)
    n = len(evaluated.attempts)
    return [0.0, *done, limit_s], [0.0, *((i + 1) / n for i in range(len(done))), len(done) / n]


def draw_loss(axes: Axes, report: Report, palette: Palette) -> None:
    """Draw the losses of all trainings one after another; rejected candidates are faint."""
    begin = 0.0
    for trained in report.run.checkpoints:
        if not trained.loss_curve:
            continue
        steps, losses = np.array(trained.loss_curve).T
        steps = steps - steps[0] + begin
        begin = float(steps[-1])
        is_rejected = trained.verdict is not None and not trained.verdict.is_accepted
        colour = palette.success if trained.group < 0 else palette.typical
        axes.plot(steps, losses, color=palette.faint if is_rejected else colour, lw=1.4)
    axes.set_xlabel("training steps")
    axes.set_ylabel("loss")
    if begin:
        axes.set_yscale("log")
        axes.locator_params(axis="x", nbins=5)
    else:
        _say_nothing(axes, "no loss curve")


PICTURES: Mapping[str, Callable[[Axes, Report, Palette], None]] = {
    "durations": draw_durations,
    "success": draw_success,
    "change": draw_change,
    "loss": draw_loss,
}


def picture(report: Report, name: str, palette: Palette) -> bytes:
    """Return one of `PICTURES` as a PNG of its own."""
    with rc_context(_style(palette)):
        size = (9.0, 4.6) if name == "durations" else (4.4, 3.3)
        figure = Figure(figsize=size, layout="constrained")
        PICTURES[name](figure.subplots(), report, palette)
        return _png(figure, dpi=200)


def overview(report: Report, palette: Palette = LIGHT) -> bytes:
    """Return all pictures together as one PNG."""
    with rc_context(_style(palette)):
        figure = Figure(figsize=(12.0, 8.6), layout="constrained")
        axes = figure.subplot_mosaic(
            [["durations"] * 3, ["success", "change", "loss"]], height_ratios=[1.25, 1.0]
        )
        for name, draw in PICTURES.items():
            draw(axes[name], report, palette)
            if name != "durations":
                axes[name].set_title(TITLES[name])
        title = f"{report.run.name}, seed {report.seed}"
        figure.suptitle(title, fontsize=14, parse_math=False)
        return _png(figure, dpi=130)


def _number_groups(axes: Axes, report: Report) -> None:
    """Label places with group numbers, as many as fit."""
    every = -(-len(report.groups) // 12)
    axes.set_xticks(
        range(0, len(report.groups), every), [str(g.number) for g in report.groups[::every]]
    )
    axes.set_xlim(-0.6, len(report.groups) - 0.4)
    axes.set_xlabel("group")


def _say_nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center")


def _style(palette: Palette) -> Any:
    """Return matplotlib settings."""
    return {
        "font.size": 11.0,
        "axes.titlesize": 12.0,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": palette.faint,
        "grid.alpha": 0.22,
        "legend.frameon": False,
        "legend.fontsize": 10.0,
        "figure.facecolor": palette.page,
        "savefig.facecolor": palette.page,
        "axes.facecolor": palette.page,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), palette.ink),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), palette.faint),
        **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), palette.ink),
    }


def _png(figure: Figure, dpi: int) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()
