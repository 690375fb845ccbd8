"""What an episode's joints, rewards and late numbers did over time, one panel below the other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from so101.arrays import FloatArray
from so101.data.episodes.episode_spans import FEW_REWARDS, elapsed_s, end_s, few_rewards, runs
from so101.episode import SOURCE_CODES, ControlSource, Episode
from so101.robot import JOINTS
from so101_bringup.sheet.look import (
    COMMANDED,
    FAINT,
    INK,
    LEFT_IN,
    MEASURED,
    ON_SOURCES,
    PAGE,
    REWARD,
    RIGHT_IN,
    SOURCES,
    VALUE,
    WIDTH_IN,
    WISH,
    Page,
)

_TITLE_IN, _PANEL_IN, _BETWEEN_IN = 0.2, 0.74, 0.1
_BAND_IN, _LEGEND_IN, _AXIS_IN, _MARKS_IN = 0.26, 0.36, 0.56, 0.26
_LONG_S = 40.0
"""Longer episodes are drawn with thinner lines, or the thick ones would hide the thin ones."""
_MIN_SPAN_RAD = 0.15
"""A joint that stands still is shown as standing still: noise is not blown up to fill a panel."""
_BY_CODE = {code: source for source, code in SOURCE_CODES.items()}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: its title, and what draws into it."""

    title: str
    draw: Callable[[Axes], None]


def panels(episode: Episode) -> list[Panel]:
    """Return the panels of an episode: joints, then many rewards, then late numbers."""
    joints = episode.positions.shape[1]
    names = JOINTS if joints == len(JOINTS) else tuple(f"joint {i}" for i in range(joints))
    found = [
        Panel(title=f"{name} [rad]", draw=partial(_draw_joint, episode=episode, joint=i))
        for i, name in enumerate(names)
    ]
    times = elapsed_s(episode)
    if np.count_nonzero(episode.rewards) > FEW_REWARDS:
        numbers = partial(_draw_numbers, times=times, values=episode.rewards, colour=REWARD)
        found.append(Panel(title="reward", draw=numbers))
    for name, column in episode.values.items():
        numbers = partial(_draw_numbers, times=times, values=column, colour=VALUE)
        found.append(Panel(title=name, draw=numbers))
    return found


def panels_height_in(episode: Episode) -> float:
    """Return the room of the band and all panels on a page [in]."""
    each = _TITLE_IN + _PANEL_IN + _BETWEEN_IN
    return _MARKS_IN + _BAND_IN + _LEGEND_IN + len(panels(episode)) * each + _AXIS_IN


def draw_panels(page: Page, episode: Episode, shown: tuple[float, ...]) -> None:
    """Draw who was in control and all panels.

    Args:
        page: Where, and from where on.
        episode: The episode.
        shown: Times of the camera frames [s], marked above the band.
    """
    width_in = WIDTH_IN - LEFT_IN - RIGHT_IN
    page.skip(_MARKS_IN)
    _draw_band(page.axes(LEFT_IN, width_in, _BAND_IN), episode, shown)
    page.skip(_BAND_IN)
    _draw_legend(page, episode)
    page.skip(_LEGEND_IN)
    shown_panels = panels(episode)
    for panel in shown_panels:
        page.text(LEFT_IN + 0.03, panel.title, fontsize=11.5)
        page.skip(_TITLE_IN)
        axes = page.axes(LEFT_IN, width_in, _PANEL_IN)
        panel.draw(axes)
        _finish(axes, episode)
        axes.tick_params(labelbottom=panel is shown_panels[-1])
        page.skip(_PANEL_IN + _BETWEEN_IN)
    axes.set_xlabel("time [s]")


def _draw_joint(axes: Axes, episode: Episode, joint: int) -> None:
    times = elapsed_s(episode)
    thin = min(1.0, (_LONG_S / end_s(episode)) ** 0.5)
    axes.plot(times, episode.commands[:, joint], color=COMMANDED, lw=4.0 * thin)
    axes.plot(times, episode.positions[:, joint], color=MEASURED, lw=1.3 * thin)
    if episode.wishes is not None:
        axes.plot(times, episode.wishes[:, joint], color=WISH, lw=1.7, ls=":")
    low, high = axes.get_ylim()
    short = max(0.0, _MIN_SPAN_RAD - (high - low)) / 2
    axes.set_ylim(low - short, high + short)
    axes.locator_params(axis="y", nbins=3)


def _draw_numbers(axes: Axes, times: FloatArray, values: FloatArray, colour: str) -> None:
    """Draw numbers that some ticks may not have; a single one among gaps is a point."""
    thin = min(1.0, (_LONG_S * 30 / len(times)) ** 0.5)
    axes.plot(times, values, color=colour, lw=1.3 * thin, marker=".", ms=2.5 * thin)
    axes.axhline(0.0, color=FAINT, lw=0.8)
    axes.margins(y=0.12)
    axes.locator_params(axis="y", nbins=3)


def _finish(axes: Axes, episode: Episode) -> None:
    """Add to a panel what all of them share: time, interventions, gaps, rewards."""
    _shade(axes, episode)
    axes.set_xlim(0.0, end_s(episode))
    for time_s, _ in _few_rewards(episode):
        axes.axvline(time_s, color=REWARD, lw=1.1, zorder=1.5)


def _shade(axes: Axes, episode: Episode) -> None:
    for first_s, past_s in _intervened(episode):
        colour = SOURCES[ControlSource.TELEOP]
        axes.axvspan(first_s, past_s, color=colour, alpha=0.22, lw=0, zorder=0.5)
    for first_s, past_s in _gaps(episode):
        axes.axvspan(first_s, past_s, facecolor="none", edgecolor=FAINT, hatch="////", lw=0)


def _draw_band(axes: Axes, episode: Episode, shown: tuple[float, ...]) -> None:
    """Draw who was in control, the frames' times and few rewards above."""
    axes.set(yticks=[], xlim=(0.0, end_s(episode)), ylim=(0.0, 1.0))
    axes.tick_params(labelbottom=False, length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    total_s = end_s(episode)
    for code, first, past in runs(episode.sources):
        source = _BY_CODE[code]
        first_s, past_s = _times(episode, first, past)
        axes.axvspan(first_s, past_s, color=SOURCES[source], lw=0)
        if (past_s - first_s) / total_s > 0.024 * len(source.value):
            _name_source(axes, (first_s + past_s) / 2, source)
    for first_s, past_s in _gaps(episode):
        axes.axvspan(first_s, past_s, facecolor="none", edgecolor=INK, hatch="////", lw=0)
    height = [1.24] * len(shown)
    axes.plot(shown, height, "|", color=FAINT, ms=7, mew=1.4, clip_on=False)
    for time_s, reward in _few_rewards(episode):
        mark = "^" if reward > 0 else "v"
        axes.plot([time_s], [1.34], mark, color=REWARD, ms=8, clip_on=False)
    _draw_end(axes, episode)


def _name_source(axes: Axes, time_s: float, source: ControlSource) -> None:
    box = {"facecolor": SOURCES[source], "edgecolor": "none", "pad": 1.0}
    colour = ON_SOURCES[source]
    axes.text(
        time_s, 0.47, source.value, color=colour, ha="center", va="center", size=11.5, bbox=box
    )


def _draw_end(axes: Axes, episode: Episode) -> None:
    """Say above the band where the task was over, or the episode cut."""
    for name, column in (("terminated", episode.terminated), ("truncated", episode.truncated)):
        for tick in np.flatnonzero(column).tolist():
            time_s = float(elapsed_s(episode)[tick])
            is_late = time_s > end_s(episode) / 2
            axes.annotate(
                name,
                (time_s, 1.38),
                xytext=(-8 if is_late else 8, 0),
                textcoords="offset points",
                ha="right" if is_late else "left",
                va="center",
                size=11,
                color=INK,
                bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 0.5},
                annotation_clip=False,
            )


def _draw_legend(page: Page, episode: Episode) -> None:
    """Say what lines and shades mean; only those that occur."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=MEASURED, lw=1.6, label="measured"),
        Line2D([], [], color=COMMANDED, lw=4.0, label="commanded"),
    ]
    if episode.wishes is not None and np.isfinite(episode.wishes).any():
        handles.append(Line2D([], [], color=WISH, lw=1.8, ls=":", label="wish"))
    if _intervened(episode):
        colour = SOURCES[ControlSource.TELEOP]
        handles.append(Patch(color=colour, alpha=0.3, lw=0, label="intervention"))
    if _gaps(episode):
        handles.append(Patch(facecolor="none", edgecolor=FAINT, hatch="////", label="gap"))
    if _few_rewards(episode):
        handles.append(Line2D([], [], color=REWARD, marker="^", ms=7, lw=1.1, label="reward"))
    page.figure.legend(
        handles=handles,
        ncols=len(handles),
        loc="upper left",
        bbox_to_anchor=(LEFT_IN / WIDTH_IN, 1.0 - (page.at_in + 0.02) / page.height_in),
        borderaxespad=0.0,
        borderpad=0.25,
        handlelength=1.3,
        handletextpad=0.4,
        columnspacing=0.8,
        fontsize=11,
    )


def _few_rewards(episode: Episode) -> list[tuple[float, float]]:
    """Return time [s] and size of every reward, where they are few enough to be marks."""
    rewards, times = few_rewards(episode), elapsed_s(episode)
    return [(float(times[i]), float(rewards[i])) for i in np.flatnonzero(rewards).tolist()]


def _intervened(episode: Episode) -> list[tuple[float, float]]:
    """Return the stretches in which a human took over; one who acted throughout did not."""
    spans = list(episode.interventions())
    if spans == [(0, len(episode))]:
        return []
    return [_times(episode, *span) for span in spans]


def _gaps(episode: Episode) -> list[tuple[float, float]]:
    if episode.is_gap is None:
        return []
    found = runs(episode.is_gap)
    return [_times(episode, first, past) for is_gap, first, past in found if is_gap]


def _times(episode: Episode, first: int, past: int) -> tuple[float, float]:
    """Return when a stretch of ticks begins and ends [s]."""
    times = elapsed_s(episode)
    return float(times[first]), float(times[past]) if past < len(times) else end_s(episode)
