"""What a person sees while calibrating: what to do now, and a live line per joint. Pure."""

import math

from so101.robot import JOINTS
from so101.servos.calibrating import SWEPT, Calibrating, Stage
from so101.servos.calibration import FULL_TURN_JOINT, LAST_TICK, MIDDLE_TICK, RAD_PER_TICK
from so101.servos.sweep import Sweep, urdf_ways

KEYS = "Enter: done   a: begin again   q: leave everything as it was"
_CELLS = 41
"""Characters of a bar: one turn, with its middle in the middle."""


def task(machine: Calibrating) -> list[str]:
    """Return what the person does now, and what was wrong or is worth knowing."""
    said = [_task(machine)]
    said += [f"  ! {problem}" for problem in machine.problems]
    said += [f"  note: {note}" for note in machine.notes]
    return [*said, f"  {KEYS}"]


def table(machine: Calibrating) -> list[str]:
    """Return a line per joint: its way so far, where it is, and the model's ends."""
    if machine.encoders is None:
        return []
    if machine.sweep is None:
        ticks = zip(JOINTS, machine.encoders.tolist(), strict=True)
        return [f"    {name:<14} encoder {tick:4d}" for name, tick in ticks]
    return [_row(machine, machine.sweep, at) for at in range(len(JOINTS))]


def _task(machine: Calibrating) -> str:
    if machine.stage is Stage.MIDDLE:
        return (
            "1 of 3  Hold every joint in the middle of its way: straight ahead, upper arm "
            "upright, forearm and gripper level, jaw half open."
        )
    if machine.joint is not None:
        done = SWEPT.index(machine.joint) + 1
        return (
            f"2 of 3  Move {JOINTS[machine.joint]} slowly to both of its ends "
            f"({done} of {len(SWEPT)}). Others may move a little."
        )
    if machine.stage is Stage.REST:
        return (
            "3 of 3  Lay the arm down where it can stay without being held. Enter writes to the "
            "servos and the file."
        )
    return "done"


def _row(machine: Calibrating, sweep: Sweep, joint: int) -> str:
    pointer = ">" if joint == machine.joint else " "
    turned = (int(sweep.positions[joint]) - MIDDLE_TICK) * RAD_PER_TICK
    now = round(math.degrees(turned))  # whole, or there would be a -0
    if JOINTS[joint] == FULL_TURN_JOINT:
        return f"  {pointer} {JOINTS[joint]:<14} {bar(sweep, joint)} {now:5d}°  turns freely"
    way = math.degrees(int(sweep.high[joint] - sweep.low[joint]) * RAD_PER_TICK)
    expected = math.degrees(float(urdf_ways()[joint]) * RAD_PER_TICK)
    return (
        f"  {pointer} {JOINTS[joint]:<14} {bar(sweep, joint)} {now:5d}°  "
        f"{way:3.0f}° of {expected:.0f}°"
    )


def bar(sweep: Sweep, joint: int) -> str:
    """Return one turn as characters: ``=`` where the joint was, ``#`` where it is, ``:`` the ends.

    The ends are those of the model, about the middle pose.
    """
    half_way = float(urdf_ways()[joint]) / 2.0
    cells = ["-"] * _CELLS
    for end in (MIDDLE_TICK - half_way, MIDDLE_TICK + half_way):
        cells[_cell(end)] = ":"
    low, high = _cell(float(sweep.low[joint])), _cell(float(sweep.high[joint]))
    cells[low : high + 1] = "=" * (high + 1 - low)
    cells[_cell(float(sweep.positions[joint]))] = "#"
    return "[" + "".join(cells) + "]"


def _cell(position: float) -> int:
    """Return the character of a position; what is past the encoder's end is at the end."""
    return min(max(round(position / LAST_TICK * (_CELLS - 1)), 0), _CELLS - 1)
