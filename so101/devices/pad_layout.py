"""Which stick moves what: tables for common pads, each of which may be changed by parameters.

A use is a sum of terms such as ``axis 1``, ``- axis 3``, ``trigger 5 - trigger 2`` or
``button 3 - button 0``. Numbers are the kernel's for ``/dev/input/js*``, which ROS's ``joy_node``
keeps for most pads.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from so101.devices.sticks import HandWish, Sticks
from so101.errors import ConfigError

DEAD_ZONE = 0.1
"""Sticks do not come back to the middle quite [share of their way]."""

_TERM = re.compile(r"\s*([+-]?)\s*(axis|trigger|button)\s+(\d{1,2})\s*")


@dataclass(frozen=True, kw_only=True)
class PadLayout:
    """What each part of a pad means, in words.

    Attributes:
        x: See `HandWish`, as the next five are.
        y: Left.
        z: Up.
        pitch: Fingertips up.
        roll: Turn.
        gripper: Open.
        dead_man: Must be held for anything to move.
        take_over: Asks for control.
        release: Gives control back.
    """

    x: str
    y: str
    z: str
    pitch: str
    roll: str
    gripper: str
    dead_man: str
    take_over: str
    release: str


PAD_LAYOUTS: Mapping[str, PadLayout] = {
    "xbox": PadLayout(
        x="axis 1",
        y="axis 0",
        z="axis 4",
        roll="axis 3",
        pitch="axis 7",
        gripper="trigger 2 - trigger 5",
        dead_man="button 4",
        take_over="button 7",
        release="button 6",
    ),
    "playstation": PadLayout(
        x="axis 1",
        y="axis 0",
        z="axis 4",
        roll="axis 3",
        pitch="axis 7",
        gripper="trigger 2 - trigger 5",
        dead_man="button 4",
        take_over="button 9",
        release="button 8",
    ),
    "logitech": PadLayout(
        x="axis 1",
        y="axis 0",
        z="axis 3",
        roll="axis 2",
        pitch="axis 5",
        gripper="button 6 - button 7",
        dead_man="button 4",
        take_over="button 9",
        release="button 8",
    ),
    "keyboard": PadLayout(
        x="axis 0",
        y="axis 1",
        z="axis 2",
        pitch="axis 3",
        roll="axis 4",
        gripper="axis 5",
        dead_man="button 0",
        take_over="button 1",
        release="button 2",
    ),
}
"""By name. ``logitech`` is its D mode; in X mode such a pad is an ``xbox``."""


@dataclass(frozen=True, kw_only=True)
class PadReading:
    """What a person means by sticks and buttons.

    Attributes:
        wish: Where the tool is to go.
        dead_man: The dead man's button is held.
        is_let_go: It was reported, and as not held.
        take_over: Control is asked for.
        release: Control is given back.
    """

    wish: HandWish
    dead_man: bool
    is_let_go: bool
    take_over: bool
    release: bool


class PadReader:
    """Reads sticks by a layout."""

    def __init__(self, layout: PadLayout) -> None:
        """Parse it.

        Raises:
            ConfigError: A use is not understood, or there is no dead-man button.
        """
        words = {spec.name: getattr(layout, spec.name) for spec in fields(layout)}
        self._terms = {name: _parse(name, text) for name, text in words.items()}

    def read(self, sticks: Sticks) -> PadReading:
        """Return what they mean. Parts that were never reported are at rest."""
        share = {name: _sum(terms, sticks) for name, terms in self._terms.items()}
        wish = HandWish(**{spec.name: share[spec.name] for spec in fields(HandWish)})
        buttons = {name: share[name] > 0.5 for name in ("dead_man", "take_over", "release")}
        is_told = all(
            _is_told(kind, number, sticks) for _, kind, number in self._terms["dead_man"]
        )
        return PadReading(wish=wish, is_let_go=is_told and not buttons["dead_man"], **buttons)


def layout_of(name: str, changes: Sequence[str] = ()) -> PadLayout:
    """Return a layout of the table with changes such as ``dead_man = button 5``.

    Raises:
        ConfigError: The name or a change is not understood.
    """
    if name not in PAD_LAYOUTS:
        raise ConfigError(f"layout: unknown {name!r}; known: {', '.join(PAD_LAYOUTS)}")
    words = {spec.name: getattr(PAD_LAYOUTS[name], spec.name) for spec in fields(PadLayout)}
    for change in changes:
        key, equals, use = (part.strip() for part in change.partition("="))
        if key not in words or not equals:
            raise ConfigError(
                f"layout: {change!r} is not NAME = USE with a NAME of {', '.join(words)}"
            )
        words[key] = use
    return PadLayout(**words)


_Term = tuple[float, str, int]


def _parse(name: str, text: str) -> tuple[_Term, ...]:
    terms: list[_Term] = []
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None or (terms and not match[1]):
            break
        terms.append((-1.0 if match[1] == "-" else 1.0, match[2], int(match[3])))
        at = match.end()
    if at < len(text) or not terms:
        raise ConfigError(f"layout: {name}: {text!r} is no sum of axis, trigger, button numbers")
    return tuple(terms)


def _sum(terms: tuple[_Term, ...], sticks: Sticks) -> float:
    total = sum(sign * _share(kind, number, sticks) for sign, kind, number in terms)
    return max(-1.0, min(1.0, total))


def _is_told(kind: str, number: int, sticks: Sticks) -> bool:
    return number < len(sticks.buttons if kind == "button" else sticks.axes)


def _share(kind: str, number: int, sticks: Sticks) -> float:
    if kind == "button":
        return float(number < len(sticks.buttons) and sticks.buttons[number])
    value = sticks.axes[number] if number < len(sticks.axes) else 0.0
    if kind == "trigger":  # exactly 0 is a trigger that was not touched yet
        value = 0.0 if value == 0.0 else 0.5 * (1.0 - value)
    if abs(value) <= DEAD_ZONE:
        return 0.0
    return (value - (DEAD_ZONE if value > 0.0 else -DEAD_ZONE)) / (1.0 - DEAD_ZONE)
