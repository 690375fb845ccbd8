"""The keyboard: a key is held while it repeats, and the terminal is always put right."""

import os
import pty
import signal
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.devices.keyboard import AXES, HELD_S, Keys, read_keys, single_keys
from so101.devices.pad_layout import PadReader, layout_of
from so101.devices.sticks import Sticks

READER = PadReader(layout_of("keyboard"))


def read(keys, now_s):
    return READER.read(keys.sticks(now_s))


def test_a_key_is_held_while_it_repeats_and_no_longer():
    keys = Keys()
    for k in range(5):
        keys.press(b"w", 0.04 * k)
        assert read(keys, 0.04 * k + 0.03).wish.x == 1.0
    let_go_s = 0.16 + HELD_S
    assert read(keys, let_go_s - 0.01).dead_man
    after = read(keys, let_go_s + 0.001)
    assert after.wish.is_still and not after.dead_man


@pytest.mark.parametrize(("number", "pair"), list(enumerate(AXES)))
def test_every_axis_goes_both_ways_and_both_keys_cancel(number, pair):
    for key, sign in zip(pair, (1.0, -1.0), strict=True):
        keys = Keys()
        keys.press(key.encode(), 0.0)
        assert keys.sticks(0.01).axes[number] == sign
    both = Keys()
    both.press("".join(pair).encode(), 0.0)
    assert both.sticks(0.01) == Sticks(axes=(0.0,) * 6, buttons=(False,) * 3)


@given(st.binary(max_size=60))
def test_any_bytes_are_keys_or_nothing(data):
    keys = Keys()
    keys.press(data, 1.0)
    assert read(keys, 1.0 + HELD_S).wish.is_still


def test_take_over_and_release_are_keys():
    keys = Keys()
    keys.press(b"t", 0.0)
    assert (read(keys, 0.01).take_over, read(keys, 0.01).dead_man) == (True, False)
    keys.press(b"g", 1.0)
    assert read(keys, 1.01).release


def break_off(master, slave):
    with single_keys(slave):
        os.write(master, b"w")
        assert read_keys(slave, 5.0) == b"w"  # no newline was waited for
        assert read_keys(slave, 0.0) == b""
        raise RuntimeError("boom")


def test_the_terminal_tells_single_keys_and_is_put_right_after_an_error():
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with pytest.raises(RuntimeError, match="boom"):
        break_off(master, slave)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    assert read_keys(slave, 0.0) is None
    os.close(slave)


PROGRAM = """
import signal, sys
from so101.devices.keyboard import single_keys
def end(*_): sys.exit(0)
signal.signal(signal.SIGTERM, end)
with single_keys(0):
    print("ready", flush=True)
    signal.pause()
"""


def test_the_terminal_is_put_right_when_the_program_is_told_to_end():
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=slave, stdout=subprocess.PIPE
    )
    assert program.stdout.readline() == b"ready\n"
    assert termios.tcgetattr(slave) != before
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=10.0)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
