"""A serial port over a pty: bytes pass, waits are bounded, and a pulled plug is seen at once."""

import os
import time
import tty
from contextlib import suppress

import pytest

from so101.errors import HardwareError, PortLostError
from so101.servos.port import SerialPort, ports


@pytest.fixture
def pty():
    far, near = os.openpty()
    tty.setraw(far)
    yield far, os.ttyname(near)
    for file in (far, near):
        with suppress(OSError):
            os.close(file)


def test_bytes_pass_both_ways(pty):
    far, name = pty
    port = SerialPort(name)
    port.write(b"\xff\xff\x01\x00\n\r")
    assert os.read(far, 100) == b"\xff\xff\x01\x00\n\r"
    os.write(far, bytes(range(256)))
    got = b""
    while len(got) < 256:
        data = port.read(5.0)
        assert data
        got += data
    assert got == bytes(range(256))
    port.close()


def test_silence_ends_a_wait_in_time(pty):
    port = SerialPort(pty[1])
    began_s = time.monotonic()
    assert port.read(0.02) == b""
    assert time.monotonic() - began_s >= 0.019
    assert port.read(0.0) == b""
    port.close()


@pytest.mark.case(3)
def test_a_pulled_plug_is_no_silence():
    far, near = os.openpty()
    tty.setraw(near)
    port = SerialPort(os.ttyname(near))
    os.close(near)
    os.close(far)
    with pytest.raises(PortLostError, match="/dev/pts"):
        port.read(1.0)
    with pytest.raises(PortLostError):
        port.write(b"x")
    port.close()


def test_two_programs_do_not_share_a_port(pty):
    port = SerialPort(pty[1])
    with pytest.raises(HardwareError, match="another program uses it"):
        SerialPort(pty[1])
    port.close()
    SerialPort(pty[1]).close()


def test_a_missing_device_is_named_with_those_that_are_there(tmp_path):
    with pytest.raises(HardwareError, match=r"/nowhere: there is no such device; there "):
        SerialPort("/nowhere")
    with pytest.raises(HardwareError, match="name the adapter"):
        SerialPort("")
    (tmp_path / "usb-b").touch()
    (tmp_path / "usb-a").touch()
    assert ports(tmp_path) == (str(tmp_path / "usb-a"), str(tmp_path / "usb-b"))
    assert ports(tmp_path / "none") == ()
