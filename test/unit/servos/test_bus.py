"""Laws of the bus: what is asked again, until when, and what is said of those that stay silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_servos import PASSING_NS, ScriptedPort, Servo

from so101.clock import nanoseconds
from so101.errors import HardwareError, PortLostError
from so101.servos import registers as reg
from so101.servos.bus import PATIENT_S, REPLY_S, TRIES, ServoBus
from so101.servos.packets import Instruction

IDS = (1, 2, 3, 4, 5, 6)


def make():
    port = ScriptedPort(Servo(servo) for servo in IDS)
    return port, ServoBus(port, now_ns=port.now_ns)


class Spoiler:
    """Spoils replies one after the other, as a list says; the rest pass."""

    def __init__(self, deeds):
        self.deeds = list(deeds)

    def __call__(self, servo, data):
        deed = self.deeds.pop(0) if self.deeds else "pass"
        if deed == "lose":
            return b""
        if deed == "flip":
            return data[:-2] + bytes((data[-2] ^ 0x10, data[-1]))
        if deed == "cut":
            return data[:-3]
        if deed == "noise":
            return b"\x00\xff" + data
        return data


DEEDS = st.lists(st.sampled_from(["pass", "lose", "flip", "cut", "noise"]), max_size=12)


@given(st.integers(-4095, 4095), st.sampled_from(IDS))
def test_what_is_written_is_read_back(value, servo):
    _, bus = make()
    bus.write(servo, reg.GOAL_POSITION, value)
    assert bus.read(servo, reg.GOAL_POSITION) == value
    assert bus.ping(servo).id == servo


@given(st.dictionaries(st.sampled_from(IDS), st.integers(0, 4095), min_size=1))
def test_a_sync_write_reaches_whom_it_names_and_nobody_else(values):
    port, bus = make()
    bus.sync_write(reg.GOAL_POSITION, values)
    for servo in IDS:
        assert port.by_id(servo).get(reg.GOAL_POSITION) == values.get(servo, 0)
    replies = bus.sync_read(reg.GOAL_POSITION.address, 2, tuple(values))
    assert {s: reg.GOAL_POSITION.decode(r.parameters) for s, r in replies.items()} == values


@given(DEEDS)
def test_whatever_becomes_of_replies_what_is_returned_is_true(deeds):
    """Either everybody's own bytes, or an error that names those who are missing."""
    port, bus = make()
    for servo in IDS:
        port.by_id(servo).set(reg.PRESENT_POSITION, 100 * servo)
    port.spoil = Spoiler(deeds)
    try:
        replies = bus.sync_read(56, 2, IDS, port.clock_ns + nanoseconds(0.05))
    except HardwareError:
        assert deeds  # it was asked for
        return
    found = {s: reg.PRESENT_POSITION.decode(r.parameters) for s, r in replies.items()}
    assert found == {servo: 100 * servo for servo in IDS}


@pytest.mark.case(1)
def test_one_lost_reply_costs_one_more_request_for_that_servo_only():
    port, bus = make()
    port.spoil = Spoiler(["pass", "pass", "lose"])
    bus.sync_read(56, 6, IDS, port.clock_ns + nanoseconds(0.05))
    assert [packet.parameters[2:] for packet in port.requests] == [bytes(IDS), bytes([3])]
    assert (bus.counts.repeated, bus.counts.lost, bus.counts.corrupt) == (1, 1, 0)


@pytest.mark.case(1)
def test_a_garbled_reply_is_asked_again_without_waiting():
    port, bus = make()
    port.spoil = Spoiler(["flip"])
    began_ns = port.clock_ns
    bus.read(4, reg.PRESENT_POSITION)
    assert port.clock_ns - began_ns < nanoseconds(REPLY_S)
    assert (bus.counts.repeated, bus.counts.lost, bus.counts.corrupt) == (1, 0, 1)


def test_where_no_loop_waits_it_is_patient_and_then_no_longer():
    port, bus = make()
    port.spoil = lambda servo, data: b""

    def waited_ns():
        began_ns = port.clock_ns
        with pytest.raises(HardwareError):
            bus.write(3, reg.LOCK, 1)
        return port.clock_ns - began_ns

    with bus.patient():
        assert waited_ns() >= TRIES * nanoseconds(PATIENT_S)
    assert waited_ns() < 2 * TRIES * nanoseconds(REPLY_S)


@given(st.floats(0.001, 0.1))
def test_nobody_waits_past_the_deadline(allowed_s):
    port, bus = make()
    port.spoil = lambda servo, data: b""
    deadline_ns = port.clock_ns + nanoseconds(allowed_s)
    with pytest.raises(HardwareError):
        bus.sync_read(56, 6, IDS, deadline_ns)
    assert port.clock_ns <= deadline_ns + 10 * PASSING_NS


def test_a_silent_servo_is_named_with_port_and_register():
    port, bus = make()
    port.servos = [servo for servo in port.servos if servo.id != 5]
    with pytest.raises(HardwareError, match=r"/dev/scripted: .*servo 5 to read present_voltage"):
        bus.read(5, reg.PRESENT_VOLTAGE)
    assert len(port.requests) == TRIES
    with pytest.raises(HardwareError, match="servo 5 to write torque_enable=0"):
        bus.write(5, reg.TORQUE_ENABLE, 0)


def test_late_replies_are_not_taken_for_those_to_the_next_request():
    port, bus = make()
    port.by_id(2).set(reg.PRESENT_POSITION, 1234)
    bus.try_read(2, reg.PRESENT_LOAD.address, 2, port.clock_ns)  # its reply is left in the port
    assert bus.read(2, reg.PRESENT_POSITION) == 1234


def test_a_write_is_confirmed_or_repeated():
    port, bus = make()
    port.spoil = Spoiler(["lose"])
    bus.write(3, reg.TORQUE_LIMIT, 500)
    writes = [packet for packet in port.requests if packet.code == Instruction.WRITE]
    assert len(writes) == 2
    assert port.by_id(3).get(reg.TORQUE_LIMIT) == 500


def test_a_scan_finds_everybody_and_counts_doubles():
    port, bus = make()
    port.servos.append(Servo(3))
    assert sorted(bus.scan()) == [1, 2, 3, 3, 4, 5, 6]


def test_a_lost_port_is_no_silent_servo():
    port, bus = make()
    port.is_gone = True
    with pytest.raises(PortLostError):
        bus.read(1, reg.PRESENT_POSITION)
