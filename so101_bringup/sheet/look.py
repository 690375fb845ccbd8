"""Colours, sizes and the page of a picture of an episode.

Colours are those of Okabe and Ito, which colour-blind people tell apart; whatever matters is also
told by a word, a hatch or a line style. Sizes are for a phone: the page is 7.2 inches wide, text
of 12 points is a fortieth of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from so101.episode import ControlSource, Outcome

WIDTH_IN = 7.2
DPI = 150
LEFT_IN, RIGHT_IN = 0.74, 0.16

FONT = "DejaVu Sans"
PAGE, INK, FAINT, GRID = "#ffffff", "#1f2328", "#6e7781", "#d8dee4"
MEASURED, COMMANDED, WISH, REWARD = "#1f2328", "#d58fb8", "#009e73", "#d55e00"
VALUE = "#0072b2"
SOURCES: Mapping[ControlSource, str] = {
    ControlSource.ESTOP: "#d55e00",
    ControlSource.TELEOP: "#e69f00",
    ControlSource.MOTION: "#009e73",
    ControlSource.POLICY: "#0072b2",
    ControlSource.HOLD: "#9aa4ae",
}
ON_SOURCES: Mapping[ControlSource, str] = {
    source: INK if source in (ControlSource.TELEOP, ControlSource.HOLD) else PAGE
    for source in ControlSource
}
"""Colour of text on a source's colour."""
OUTCOMES: Mapping[Outcome | None, str] = {
    Outcome.SUCCESS: "#007a58",
    Outcome.FAILURE: "#b84a00",
    Outcome.TRUNCATED: "#8a6100",
    None: "#57606a",
}
"""Background of an outcome's word; those that are not listed have that of none."""

STYLE: Any = {
    "font.family": FONT,
    "font.size": 12.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.0,
    "axes.facecolor": PAGE,
    "figure.facecolor": PAGE,
    "savefig.facecolor": PAGE,
    "hatch.linewidth": 0.9,
    "legend.frameon": False,
}


def wrap(text: str, width_in: float, size: float) -> list[str]:
    """Return a text in lines of at most a width in the page's font; long words are cut.

    Args:
        text: One line.
        width_in: Room for it [in].
        size: Of the font [pt].
    """
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _width_in(joined, size) <= width_in:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if _width_in(lines[-1] + character, size) > width_in:
                lines.append("")
            lines[-1] += character
    return lines


def _width_in(text: str, size: float) -> float:
    font = FontProperties(family=FONT, size=size)
    width_pt, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width_pt) / 72


@dataclass
class Page:
    """A figure that is filled from the top; lengths are in inches."""

    figure: Figure
    height_in: float
    at_in: float = 0.0

    def skip(self, height_in: float) -> None:
        """Leave room."""
        self.at_in += height_in

    def axes(self, left_in: float, width_in: float, height_in: float, **options: Any) -> Axes:
        """Add axes here; the place on the page stays."""
        bottom_in = self.height_in - self.at_in - height_in
        box = (left_in / WIDTH_IN, bottom_in / self.height_in)
        return self.figure.add_axes(
            (*box, width_in / WIDTH_IN, height_in / self.height_in), **options
        )

    def text(self, left_in: float, text: str, **options: Any) -> Any:
        """Write from here downwards."""
        x, y = left_in / WIDTH_IN, 1.0 - self.at_in / self.height_in
        return self.figure.text(x, y, text, va="top", parse_math=False, **options)
