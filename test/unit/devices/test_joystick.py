"""The gamepad's bytes: eight to an event, nothing waited for, its loss said at once."""

import os
import pty
import struct
import tty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.devices.joystick import Joystick
from so101.devices.sticks import MOST, Sticks
from so101.errors import HardwareError

BUTTON, AXIS, INITIAL = 1, 2, 0x80


def event(value, kind, number):
    return struct.pack("<IhBB", 1234, value, kind, number)


@pytest.fixture
def pipe(tmp_path):
    """Return a joystick on a named pipe and the end that plays the kernel."""
    path = tmp_path / "js0"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    joystick = Joystick(path)
    os.close(reader)
    yield joystick, writer
    joystick.close()


def test_events_change_the_state_and_silence_keeps_it(pipe):
    joystick, writer = pipe
    assert joystick.look() == []
    os.write(writer, event(0, AXIS | INITIAL, 1) + event(1, BUTTON | INITIAL, 4))
    assert joystick.look() == [Sticks(axes=(0.0, 0.0), buttons=(False,) * 4 + (True,))]
    os.write(writer, event(-32767, AXIS, 1) + event(0, BUTTON, 4))
    pushed = joystick.look()[-1]
    assert (pushed.axes[1], pushed.buttons[4]) == (1.0, False)  # up is positive
    assert joystick.look() == [pushed]
    os.close(writer)


def test_no_press_is_missed_however_short(pipe):
    joystick, writer = pipe
    os.write(writer, event(1, BUTTON, 2) + event(0, BUTTON, 2))
    assert [one.buttons[2] for one in joystick.look()] == [True, False, False]
    os.close(writer)


def test_what_was_held_when_it_was_opened_was_not_let_go_first(pipe):
    """The kernel tells the state button by button; only the whole of it is a reading."""
    joystick, writer = pipe
    os.write(writer, b"".join(event(n == 4, BUTTON | INITIAL, n) for n in range(8)))
    (seen,) = joystick.look()
    assert seen.buttons == (False,) * 4 + (True,) + (False,) * 3
    os.close(writer)


def test_a_torn_event_is_finished_later(pipe):
    joystick, writer = pipe
    data = event(32767, AXIS, 0)
    os.write(writer, data[:5])
    assert joystick.look() == []
    os.write(writer, data[5:])
    assert joystick.look()[-1].axes == (-1.0,)
    os.close(writer)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_left(data):
    reader, writer = os.pipe()
    try:
        joystick = Joystick(f"/proc/self/fd/{reader}")
        os.write(writer, data)
        for seen in joystick.look():
            assert len(seen.axes) <= MOST and len(seen.buttons) <= MOST
        joystick.close()
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.case(25)
def test_a_closed_pipe_is_a_lost_pad(pipe):
    joystick, writer = pipe
    os.write(writer, event(32767, AXIS, 0))
    os.close(writer)
    with pytest.raises(HardwareError, match="js0: gone: it was closed"):
        joystick.look()


@pytest.mark.case(25)
def test_a_terminal_whose_other_end_is_closed_is_a_lost_pad():
    master, slave = pty.openpty()
    tty.setraw(slave)
    joystick = Joystick(os.ttyname(slave))
    os.close(slave)
    os.write(master, event(-32767, AXIS, 0))
    assert joystick.look()[-1].axes == (1.0,)
    os.close(master)
    with pytest.raises(HardwareError, match="gone"):
        joystick.look()
    joystick.close()


def test_a_pad_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HardwareError, match="js7: cannot be opened: No such file"):
        Joystick(tmp_path / "js7")


@pytest.mark.parametrize("axis", [float("nan"), float("inf"), 1.5, -2.0])
def test_sticks_refuse_what_no_pad_reports(axis):
    with pytest.raises(HardwareError, match="axis 1 is"):
        Sticks(axes=(0.0, axis))
