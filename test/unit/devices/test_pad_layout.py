"""Layouts: each has a dead man's button, uses are parsed strictly, sticks rest in the middle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.devices.pad_layout import PAD_LAYOUTS, PadReader, layout_of
from so101.devices.sticks import HandWish, Sticks
from so101.errors import ConfigError

sticks = st.builds(
    Sticks,
    axes=st.lists(st.floats(-1.0, 1.0), max_size=9).map(tuple),
    buttons=st.lists(st.booleans(), max_size=14).map(tuple),
)


@pytest.mark.parametrize("name", PAD_LAYOUTS)
@given(seen=sticks)
def test_every_layout_reads_any_pad(name, seen):
    reading = PadReader(layout_of(name)).read(seen)
    assert all(abs(getattr(reading.wish, part)) <= 1.0 for part in HandWish.__annotations__)


@pytest.mark.parametrize("name", PAD_LAYOUTS)
def test_a_pad_nobody_touches_wishes_nothing(name):
    reading = PadReader(layout_of(name)).read(
        Sticks(axes=(0.05, -0.09) * 4, buttons=(False,) * 12)
    )
    assert reading.wish.x == reading.wish.z == reading.wish.roll == 0.0
    assert not (reading.dead_man or reading.take_over or reading.release)
    assert PadReader(layout_of(name)).read(Sticks()).wish.is_still


def test_an_xbox_pad():
    reader = PadReader(layout_of("xbox"))
    axes = [0.0, 1.0, 1.0, 0.0, -1.0, 1.0, 0.0, 0.0]
    buttons = [False] * 11
    buttons[4] = True
    reading = reader.read(Sticks(axes=tuple(axes), buttons=tuple(buttons)))
    assert reading.wish == HandWish(x=1.0, z=-1.0)
    assert reading.dead_man
    axes[5] = -1.0  # the right trigger closes
    assert reader.read(Sticks(axes=tuple(axes))).wish.gripper == -1.0


def test_a_button_that_was_never_told_of_was_not_let_go():
    reader = PadReader(layout_of("xbox"))
    assert not reader.read(Sticks(axes=(0.0,) * 8)).is_let_go
    assert reader.read(Sticks(buttons=(False,) * 5)).is_let_go
    assert not reader.read(Sticks(buttons=(False,) * 4 + (True,))).is_let_go


def test_changes_are_data():
    layout = layout_of("xbox", ("dead_man = button 5", "z=-axis 3 + button 2"))
    assert (layout.dead_man, layout.x) == ("button 5", "axis 1")
    pressed = Sticks(axes=(0.0,) * 3 + (1.0,), buttons=(False, False, True))
    assert PadReader(layout).read(pressed).wish.z == 0.0
    assert PadReader(layout).read(Sticks(axes=(0.0,) * 3 + (1.0,))).wish.z == -1.0


@pytest.mark.parametrize("use", ["", "axis", "axis 1 axis 2", "stick 1", "axis 1 -", "axis 100"])
def test_a_use_that_is_not_understood_is_named(use):
    with pytest.raises(ConfigError, match="layout: dead_man"):
        PadReader(layout_of("xbox", (f"dead_man = {use}",)))


@pytest.mark.parametrize("change", ["deadman = button 1", "x", "= axis 1"])
def test_a_change_that_is_none_is_refused(change):
    with pytest.raises(ConfigError, match="is not NAME = USE"):
        layout_of("xbox", (change,))


def test_an_unknown_layout_is_refused():
    with pytest.raises(ConfigError, match="unknown 'atari'; known: xbox"):
        layout_of("atari")
