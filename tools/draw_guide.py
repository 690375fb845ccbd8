"""Draws docs/images/arm_wiring.png and calibrating.png for the guide to a real arm.

Run it from the repository's root: ``.venv/bin/python tools/draw_guide.py``. The calibration's
screen is what `so101 calibrate` prints for an arm that is moved as a person would.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from so101.robot import JOINTS
from so101.servos.calibrating import Calibrating
from so101.servos.sweep import urdf_ways
from so101_bringup.calibrate_screen import table, task

FOLDER = Path("docs/images")
INK, PAPER, SOFT, POWER, DATA, STOP = (
    "#24292f", "#ffffff", "#f6f8fa", "#c2410c", "#0969da", "#cf222e",
)  # fmt: skip
BOXES = {  # left, lower, width, height, text, edge
    "supply": (0.1, 3.3, 2.1, 1.1, "power supply\n5 V or 12 V", INK),
    "switch": (3.1, 3.3, 2.1, 1.1, "SWITCH\nthe real e-stop", STOP),
    "board": (6.1, 3.3, 2.1, 1.1, "servo board\n(USB adapter)", INK),
    "computer": (6.1, 0.6, 2.1, 1.1, "computer", INK),
    "cameras": (3.1, 0.6, 2.1, 1.1, "cameras", INK),
}
CHAIN = (9.1, 3.5, 0.62, 0.7, 0.14)  # left, lower, width, height, gap


def box(axes: Any, name: str) -> None:
    """Draw one of `BOXES`."""
    left, lower, width, height, text, edge = BOXES[name]
    is_stop = edge == STOP
    style = FancyBboxPatch(
        (left, lower), width, height, boxstyle="round,pad=0.02,rounding_size=0.12",
        fc="#ffebe9" if is_stop else SOFT, ec=edge, lw=2.5 if is_stop else 1.2,
    )  # fmt: skip
    axes.add_patch(style)
    weight = "bold" if is_stop else "normal"
    axes.text(
        left + width / 2, lower + height / 2, text,
        ha="center", va="center", color=edge, fontsize=11, weight=weight,
    )  # fmt: skip


def line(axes: Any, points: list[tuple[float, float]], color: str, text: str = "") -> None:
    """Draw a cable, with a word above its first piece."""
    x, y = zip(*points, strict=True)
    axes.plot(x, y, color=color, lw=2.5, solid_capstyle="round", zorder=0)
    if text:
        axes.text(
            (x[0] + x[1]) / 2, (y[0] + y[1]) / 2 + 0.14, text, ha="center", fontsize=9, color=color
        )


def draw_wiring() -> None:
    """Write where power and data go, and where the switch sits."""
    figure, axes = plt.subplots(figsize=(11.0, 4.0))
    middle = 3.85
    line(axes, [(2.25, middle), (3.05, middle)], POWER, "power")
    line(axes, [(5.25, middle), (6.05, middle)], POWER, "power")
    line(axes, [(8.25, middle), (9.05, middle)], POWER, "chain")
    line(axes, [(7.15, 3.25), (7.15, 1.75)], DATA)
    axes.text(
        6.95, 2.45, "USB: data only,\nit powers no servo", ha="right", fontsize=9, color=DATA
    )
    line(axes, [(5.25, 1.15), (6.05, 1.15)], DATA, "USB")
    for name in BOXES:
        box(axes, name)
    left, lower, width, height, gap = CHAIN
    for number, name in enumerate(JOINTS):
        at = left + number * (width + gap)
        line(axes, [(at - gap, middle), (at, middle)], POWER)
        axes.add_patch(FancyBboxPatch(
            (at, lower), width, height, boxstyle="round,pad=0.02,rounding_size=0.08",
            fc=SOFT, ec=INK, lw=1.2,
        ))  # fmt: skip
        axes.text(at + width / 2, middle, str(number + 1), ha="center", va="center", fontsize=12)
        axes.text(
            at + width / 2, lower - 0.15, name, rotation=35, ha="right", va="top", fontsize=9
        )
    axes.text(
        0.1, 2.5, "Switched off, the arm falls:\nput a hand under it, or let it fall.",
        fontsize=10, color=STOP, va="center",
    )  # fmt: skip
    axes.set_xlim(0.0, 13.8)
    axes.set_ylim(0.3, 4.7)
    axes.set_aspect("equal")
    save(figure, "arm_wiring.png", PAPER)


def half_done() -> Calibrating:
    """Return a calibration whose first two joints are done, and the third is on its way."""
    machine, ways = Calibrating((1, 2, 3, 4, 5, 6)), np.rint(urdf_ways() / 2).astype(np.int64)
    encoders = np.full(len(JOINTS), 2047, dtype=np.int64)

    def turn(joint: int, goal: int) -> None:
        while encoders[joint] != goal:
            step = np.clip(goal - encoders[joint], -40, 40)
            encoders[joint] += step
            machine.see(encoders.copy())

    machine.see(encoders.copy())
    machine.confirm()
    for joint in (0, 1):
        turn(joint, 2047 - ways[joint])
        turn(joint, 2047 + ways[joint])
        turn(joint, 2047 - 500 * joint)
        machine.confirm()
    turn(2, 2047 - ways[2])
    turn(2, 2047 + 130)
    machine.confirm()
    turn(2, 2047 + 200)
    return machine


def draw_screen() -> None:
    """Write the calibration's screen as a terminal shows it."""
    machine = half_done()
    lines = ["$ so101 calibrate --port /dev/serial/by-id/usb-... --id blue"]
    lines += [*task(machine), *table(machine)]
    width = max(map(len, lines))
    figure = plt.figure(figsize=(width * 0.079 + 0.4, len(lines) * 0.2 + 0.35))
    for number, text in enumerate(lines):
        color = "#ffa657" if "  ! " in text else "#7ee787" if "  > " in text else "#e6edf3"
        y = 1.0 - (number + 1.1) / (len(lines) + 1.2)
        figure.text(0.02, y, text, family="DejaVu Sans Mono", fontsize=9.3, color=color)
    save(figure, "calibrating.png", "#0d1117")


def save(figure: Any, name: str, paper: str) -> None:
    """Write a figure without axes."""
    for axes in figure.axes:
        axes.set_axis_off()
    path = FOLDER / name
    figure.savefig(path, dpi=100, facecolor=paper, bbox_inches="tight", pad_inches=0.12)
    plt.close(figure)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    draw_wiring()
    draw_screen()
