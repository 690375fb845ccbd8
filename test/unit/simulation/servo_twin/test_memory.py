"""What a servo remembers, and what it forgets with the power."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.servos import registers as reg
from so101.servos.registers import MEMORY_SIZE, REGISTERS
from so101.simulation.servo_twin.memory import ServoMemory

eeprom = st.sampled_from([r for r in REGISTERS if r.is_eeprom and r.is_writable])
ram = st.sampled_from([r for r in REGISTERS if not r.is_eeprom and r.is_writable])


def other_value(register, memory):
    """Return some number that the register does not hold."""
    return register.highest - 1 if memory.get(register) != register.highest - 1 else 0


@given(eeprom, st.booleans())
def test_eeprom_acts_at_once_and_is_kept_only_without_lock(register, is_locked):
    memory = ServoMemory({})
    memory.write(reg.LOCK.address, bytes((is_locked,)))
    before, value = memory.get(register), other_value(register, memory)
    memory.write(register.address, register.encode(value))
    assert memory.get(register) == value
    memory.power_up()
    assert memory.get(register) == (before if is_locked else value)


@given(ram)
def test_ram_is_forgotten(register):
    memory = ServoMemory({})
    memory.write(register.address, register.encode(other_value(register, memory)))
    memory.power_up()
    assert memory.get(register) == register.default


def test_the_torque_limit_begins_as_the_kept_maximum():
    memory = ServoMemory({reg.MAX_TORQUE_LIMIT: 500})
    memory.write(reg.TORQUE_LIMIT.address, reg.TORQUE_LIMIT.encode(900))
    memory.power_up()
    assert memory.get(reg.TORQUE_LIMIT) == 500
    assert memory.get(reg.TORQUE_ENABLE) == 0


@given(st.integers(0, 255), st.binary(max_size=120))
def test_no_write_changes_what_is_read_only_or_fails(address, data):
    memory = ServoMemory({})
    read_only = [r for r in REGISTERS if not r.is_writable]
    before = [memory.get(register) for register in read_only]
    memory.write(address, data)
    assert [memory.get(register) for register in read_only] == before


@given(st.integers(0, 255), st.integers(0, 120))
def test_a_read_has_the_size_that_was_asked_for(address, size):
    data = ServoMemory({}).read(address, size)
    assert len(data) == size
    assert not any(data[max(MEMORY_SIZE - address, 0) :])


@pytest.mark.parametrize("register", [reg.GOAL_POSITION, reg.ACCELERATION, reg.P_COEFFICIENT])
def test_every_write_is_counted_once(register):
    memory = ServoMemory({})
    motions, changes = memory.motions, memory.changes
    memory.write(register.address, register.encode(7))
    is_motion = not register.is_eeprom
    assert (memory.motions - motions, memory.changes - changes) == (is_motion, not is_motion)
