"""Registers: numbers and bytes are inverse pairs, and the table is consistent."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import HardwareError
from so101.servos import registers
from so101.servos.registers import BY_NAME, REGISTERS, pick, span

any_register = st.sampled_from(REGISTERS)
numbers = any_register.flatmap(lambda r: st.tuples(st.just(r), st.integers(r.lowest, r.highest)))


@given(numbers)
def test_numbers_survive_their_bytes(case):
    register, value = case
    data = register.encode(value)
    assert len(data) == register.size
    assert register.decode(data) == value


@given(numbers)
def test_numbers_survive_their_units(case):
    register, value = case
    assert register.from_si(register.to_si(value)) == value


@given(any_register, st.data())
def test_all_bytes_are_some_number_that_fits(register, data):
    raw = data.draw(st.binary(min_size=register.size, max_size=register.size))
    assert register.lowest <= register.decode(raw) <= register.highest


@given(any_register)
def test_what_does_not_fit_is_refused(register):
    for value in (register.lowest - 1, register.highest + 1):
        with pytest.raises(HardwareError, match=f"{register.name}.*expected"):
            register.encode(value)
        with pytest.raises(HardwareError, match=f"{register.name}.*expected"):
            register.from_si(value * register.scale)
    for amount in (math.nan, math.inf, 1e300):
        with pytest.raises(HardwareError, match=register.name):
            register.from_si(amount)
    with pytest.raises(HardwareError, match="expected"):
        register.decode(bytes(register.size + 1))


def test_no_two_registers_share_a_byte_and_all_are_within_the_memory():
    for before, after in pairwise(REGISTERS):
        assert before.end <= after.address
    assert REGISTERS[-1].end <= registers.MEMORY_SIZE
    assert len(BY_NAME) == len(REGISTERS)
    assert all(r.is_eeprom == (r.address < registers.TORQUE_ENABLE.address) for r in REGISTERS)
    assert all(r.lowest <= r.default <= r.highest for r in REGISTERS)


def test_signs_are_a_bit_beside_an_amount():
    # Two's complement would be the wrong guess; -1 is the amount 1 with the sign's bit.
    assert registers.PRESENT_POSITION.encode(-1) == b"\x01\x80"
    assert registers.PRESENT_LOAD.encode(-1) == b"\x01\x04"
    assert registers.HOMING_OFFSET.encode(-1) == b"\x01\x08"
    assert registers.PRESENT_LOAD.decode(b"\x00\x04") == 0


def test_the_feedback_of_a_tick_is_one_read():
    address, size = span(registers.PRESENT_POSITION, registers.PRESENT_CURRENT)
    assert (address, size) == (56, 15)
    data = bytearray(size)
    data[registers.PRESENT_CURRENT.address - address :] = registers.PRESENT_CURRENT.encode(-200)
    assert pick(bytes(data), address, registers.PRESENT_CURRENT) == -200
    with pytest.raises(HardwareError, match=r"goal_position at 42: .* does not cover it"):
        pick(bytes(data), address, registers.GOAL_POSITION)
    with pytest.raises(HardwareError, match="expected rising addresses"):
        span(registers.PRESENT_CURRENT, registers.PRESENT_POSITION)


def test_a_turn_is_a_turn():
    assert registers.PRESENT_POSITION.to_si(4096) == pytest.approx(2 * math.pi)
    assert registers.ACCELERATION.to_si(254) == pytest.approx(254 * math.radians(8.789), rel=1e-4)
