"""What the cameras of an episode saw: a few frames of each, with time, reward and who acted."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from so101.arrays import ImageArray
from so101.data.episodes.episode_spans import elapsed_s, few_rewards, rewards_between, spread_ticks
from so101.episode import SOURCE_CODES, ControlSource, Episode
from so101.errors import BagError
from so101.images import decode_image, image_shape
from so101_bringup.sheet.look import DPI, FAINT, GRID, INK, PAGE, REWARD, SOURCES, WIDTH_IN, Page

COLUMNS, ROWS = 4, 2
_GAP_IN, _EDGE_IN, _NAME_IN, _BELOW_IN = 0.05, 0.16, 0.28, 0.14
_WIDTH_IN = (WIDTH_IN - 2 * _EDGE_IN - (COLUMNS - 1) * _GAP_IN) / COLUMNS
_BY_CODE = {code: source for source, code in SOURCE_CODES.items()}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of one camera.

    Attributes:
        time_s: Since the first tick [s].
        image: uint8 of shape (height, width, 3), or None.
        problem: Why there is none.
        source: Who was in control.
        earned: Reward since the frame before; 0 in an episode of many.
    """

    time_s: float
    image: ImageArray | None
    problem: str
    source: ControlSource
    earned: float


def frame_ticks(episode: Episode) -> tuple[int, ...]:
    """Return the ticks whose frames are shown."""
    return spread_ticks(len(episode), COLUMNS * ROWS) if episode.images else ()


def camera_height_in(episode: Episode, camera: str) -> float:
    """Return the room that a camera's frames take on a page [in]."""
    rows = -(-len(frame_ticks(episode)) // COLUMNS)
    height_in = _WIDTH_IN * _aspect(episode, camera)
    return _NAME_IN + rows * height_in + (rows - 1) * _GAP_IN + _BELOW_IN


def draw_camera(page: Page, episode: Episode, camera: str) -> None:
    """Draw a camera's frames in rows."""
    page.text(_EDGE_IN, f"{camera} camera", fontsize=13, weight="bold")
    page.skip(_NAME_IN)
    height_in = _WIDTH_IN * _aspect(episode, camera)
    for place, frame in enumerate(camera_frames(episode, camera)):
        column = place % COLUMNS
        if place and not column:
            page.skip(height_in + _GAP_IN)
        left_in = _EDGE_IN + column * (_WIDTH_IN + _GAP_IN)
        _draw(page.axes(left_in, _WIDTH_IN, height_in), frame)
    page.skip(height_in + _BELOW_IN)


def camera_frames(episode: Episode, camera: str) -> tuple[Frame, ...]:
    """Return the frames of one camera that are shown, at the size at which they are."""
    ticks = frame_ticks(episode)
    width = round(_WIDTH_IN * DPI)
    size = (round(width * _aspect(episode, camera)), width)
    times = elapsed_s(episode)
    frames = []
    earnings = rewards_between(few_rewards(episode), ticks)
    for tick, earned in zip(ticks, earnings, strict=True):
        image, problem = _decode(episode.images[camera][tick], size)
        source = _BY_CODE[int(episode.sources[tick])]
        frames.append(
            Frame(
                time_s=float(times[tick]),
                image=image,
                problem=problem,
                source=source,
                earned=earned,
            )
        )
    return tuple(frames)


def time_text(time_s: float) -> str:
    """Return a time as it is written on a frame; minutes need no hundredths."""
    return f"{time_s:.2f} s" if time_s < 100 else f"{time_s:.0f} s"


def _decode(data: bytes | None, size: tuple[int, int]) -> tuple[ImageArray | None, str]:
    if data is None:
        return None, "no image"
    try:
        return decode_image(data, size), ""
    except BagError:
        return None, "unreadable"


def _aspect(episode: Episode, camera: str) -> float:
    """Return height by width of a camera's first readable image, within what fits a page."""
    for data in episode.images[camera]:
        try:
            height, width = image_shape(data or b"")
        except BagError:
            continue
        return float(np.clip(height / width, 0.3, 1.5))
    return 0.75


def _draw(axes: Axes, frame: Frame) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if frame.image is None:
        axes.set_facecolor(GRID)
        axes.text(0.5, 0.55, frame.problem, ha="center", transform=axes.transAxes, color=FAINT)
    else:
        axes.imshow(frame.image, aspect="auto", interpolation="antialiased")
    colour = SOURCES[frame.source]
    axes.add_patch(Rectangle((0.0, 0.0), 1.0, 0.05, transform=axes.transAxes, fc=colour, lw=0))
    _chip(axes, (0.035, 0.11), time_text(frame.time_s), "left", INK)
    if frame.earned:
        _chip(axes, (0.965, 0.11), f"reward {frame.earned:+.3g}", "right", REWARD)


def _chip(axes: Axes, at: tuple[float, float], text: str, side: str, colour: str) -> None:
    """Write on an image so that it can be read whatever is behind it."""
    box = {"facecolor": colour, "edgecolor": "none", "alpha": 0.82, "boxstyle": "round,pad=0.22"}
    axes.text(
        *at, text, transform=axes.transAxes, ha=side, va="bottom", color=PAGE, size=11, bbox=box
    )
