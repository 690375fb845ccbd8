"""An episode on one page: what it is, what the cameras saw, what the joints did."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from so101.data.durable import store_error
from so101.data.episodes.episode_spans import elapsed_s
from so101.data.labels.label_table import said
from so101.data.stores.episode_table import recorded_at, said_by
from so101.data.stores.store_entry import EpisodeEntry
from so101.data.text_table import ABSENT, clip, printable
from so101.episode import Episode
from so101.events import LabelEvent
from so101_bringup.sheet.frames import camera_height_in, draw_camera, frame_ticks
from so101_bringup.sheet.look import DPI, FAINT, OUTCOMES, PAGE, STYLE, WIDTH_IN, Page, wrap
from so101_bringup.sheet.panels import draw_panels, panels_height_in

_EDGE_IN, _TITLE_IN, _LINE_IN, _BELOW_IN = 0.16, 0.38, 0.225, 0.14
_NAME_IN = 4.9  # bold letters are wider than the measured ones, and the outcome stands beside them
_TEXT_PT, _MAX_LINES = 12, 6


def write_sheet(
    path: Path, episode: Episode, entry: EpisodeEntry, labels: Sequence[LabelEvent] = ()
) -> None:
    """Draw an episode into a PNG file, replacing an older one.

    Args:
        path: The file.
        episode: The episode.
        entry: What its store says of it.
        labels: What people say of it now.

    Raises:
        StoreError: It cannot be written.
    """
    data = sheet_png(episode, entry, labels)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise store_error(path, error) from error


def sheet_png(episode: Episode, entry: EpisodeEntry, labels: Sequence[LabelEvent] = ()) -> bytes:
    """Return an episode as a PNG; arguments as of `write_sheet`."""
    stream = io.BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        # A task in a script that the font lacks is drawn as boxes; the rest is as good as ever.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw_sheet(episode, entry, labels)
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def draw_sheet(episode: Episode, entry: EpisodeEntry, labels: Sequence[LabelEvent] = ()) -> Figure:
    """Return an episode as a figure; arguments as of `write_sheet`."""
    lines = _heading(episode, entry, labels)
    heading_in = _EDGE_IN + _TITLE_IN + len(lines) * _LINE_IN + _BELOW_IN
    cameras = [*episode.images]
    height_in = (
        heading_in
        + sum(camera_height_in(episode, camera) for camera in cameras)
        + panels_height_in(episode)
    )
    figure = Figure(figsize=(WIDTH_IN, height_in))
    page = Page(figure=figure, height_in=height_in, at_in=_EDGE_IN)
    _draw_heading(page, episode, lines)
    for camera in cameras:
        draw_camera(page, episode, camera)
    times = elapsed_s(episode)
    draw_panels(page, episode, tuple(float(times[tick]) for tick in frame_ticks(episode)))
    return figure


def _heading(episode: Episode, entry: EpisodeEntry, labels: Sequence[LabelEvent]) -> list[str]:
    """Return the lines below the title."""
    facts = episode.facts
    group = f"group {facts.group}, rollout {facts.rollout}" if facts.group >= 0 else ""
    speed = f"played at {facts.speed:.2f}" if facts.speed != 1.0 else ""
    length = f"{episode.duration_s:.2f} s, {len(episode)} steps"
    when = recorded_at(entry)
    told = (facts.phase, group, speed, facts.words and f"task: {facts.words}")
    by = f"outcome said by {said_by(entry)}" if entry.rater else ""
    first = [length, *told, "" if when == ABSENT else when, by]
    texts = [", ".join(printable(word) for word in first if word)]
    texts += [f"{printable(label.rater)} says: {said(label)}" for label in labels]
    width_in = WIDTH_IN - 2 * _EDGE_IN
    lines = [line for text in texts for line in wrap(clip(text, 700), width_in, _TEXT_PT)]
    return lines if len(lines) <= _MAX_LINES else [*lines[: _MAX_LINES - 1], ".."]


def _title(name: str) -> tuple[str, float]:
    """Return a name and the font size [pt] at which it fits beside the outcome, else a part."""
    for size in (17.0, 13.0, 10.0):
        lines = wrap(name, _NAME_IN, size)
        if len(lines) == 1:
            break
    return lines[0] + ".." * (len(lines) > 1), size


def _draw_heading(page: Page, episode: Episode, lines: Sequence[str]) -> None:
    outcome = episode.outcome
    word = outcome.value if outcome else "unlabelled"
    colour = OUTCOMES.get(outcome, OUTCOMES[None])
    title, size = _title(printable(episode.facts.id))
    page.text(_EDGE_IN, title, fontsize=size, weight="bold")
    page.figure.text(
        1.0 - (_EDGE_IN + 0.08) / WIDTH_IN,
        1.0 - (page.at_in + 0.04) / page.height_in,
        word,
        ha="right",
        va="top",
        fontsize=13,
        weight="bold",
        color=PAGE,
        bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.3"},
    )
    page.skip(_TITLE_IN)
    for line in lines:
        page.text(_EDGE_IN, line, fontsize=_TEXT_PT, color=FAINT)
        page.skip(_LINE_IN)
    page.skip(_BELOW_IN)
