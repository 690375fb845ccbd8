"""The leader behind a bus: limp when found, held from where it is, lost after three readings."""

import numpy as np
import pytest
from factories import make_calibration
from scripted_servos import ScriptedPort, Servo

from so101.errors import HardwareError
from so101.servos import registers as reg
from so101.servos.bus import TRIES, ServoBus
from so101.servos.calibration import calibration_from
from so101.servos.leader_servos import MOST_MISSES, RETRY_NS, ServoLeader
from so101.servos.packets import Instruction

CALIBRATION = calibration_from(make_calibration(), "test")


class Shelf:
    """Opens scripted ports, each with six servos; counts them."""

    def __init__(self):
        self.is_empty = False
        self.ports = []
        self.clock_ns = 0

    @property
    def port(self):
        return self.ports[-1]

    def now_ns(self):
        self.clock_ns += 20_000
        return self.clock_ns

    def open(self):
        if self.is_empty:
            raise HardwareError("/dev/leader: there is no such device")
        servos = [Servo(one.id, one) for one in CALIBRATION.joints]
        for servo in servos:
            servo.set(reg.TORQUE_ENABLE, 1)
        self.ports.append(ScriptedPort(servos))
        return ServoBus(self.port, now_ns=self.port.now_ns)


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def leader(shelf):
    return ServoLeader(shelf.open, CALIBRATION, now_ns=lambda: port_clock(shelf))


def port_clock(shelf):
    """Follow the clock of the port, which waiting moves, beside the shelf's own."""
    moved = sum(port.clock_ns for port in shelf.ports)
    return shelf.now_ns() + moved


def torques(shelf):
    return [servo.get(reg.TORQUE_ENABLE) for servo in shelf.port.servos]


def test_it_is_limp_when_found_and_read_in_radians(leader, shelf):
    shelf_ticks = np.arange(1500, 2100, 100)
    leader.read()
    assert torques(shelf) == [0] * 6
    for servo, ticks in zip(shelf.port.servos, shelf_ticks, strict=True):
        servo.set(reg.PRESENT_POSITION, int(ticks))
    np.testing.assert_allclose(leader.read(), CALIBRATION.to_rad(shelf_ticks))


def test_its_first_goal_is_where_it_is_and_its_torque_is_small(leader, shelf):
    at = leader.read()
    goal = at + 0.05
    leader.hold(goal)
    first, second = (list(one.values()) for one in shelf.port.writes(reg.GOAL_POSITION))
    assert first == CALIBRATION.to_ticks(at).tolist()
    assert second == CALIBRATION.to_ticks(goal).tolist()
    assert torques(shelf) == [1] * 6
    assert all(servo.get(reg.TORQUE_LIMIT) == 300 for servo in shelf.port.servos)
    np.testing.assert_allclose(leader.read(), goal, atol=2e-3)
    leader.let_go()
    assert torques(shelf) == [0] * 6


def test_a_goal_beyond_its_range_is_its_end(leader, shelf):
    leader.hold(np.full(6, 50.0))
    (_, goals) = shelf.port.writes(reg.GOAL_POSITION)
    assert list(goals.values()) == [3000] * 6


def test_two_lost_readings_are_the_one_before_and_the_third_is_a_lost_leader(leader, shelf):
    before = leader.read()
    shelf.port.spoil = lambda servo, data: b""
    for _ in range(MOST_MISSES - 1):
        np.testing.assert_array_equal(leader.read(), before)
    for _ in range(3):
        with pytest.raises(HardwareError, match="leader: "):
            leader.read()


def test_a_leader_that_fell_silent_is_found_with_its_first_answer_and_limp(leader, shelf):
    """Its port stays open: waiting for another try, it would fall meanwhile."""
    at = leader.read()
    leader.hold(at)
    shelf.port.spoil = lambda servo, data: b""
    for _ in range(MOST_MISSES - 1):
        leader.read()
    with pytest.raises(HardwareError, match="leader: "):
        leader.read()
    assert torques(shelf) == [1] * 6
    shelf.port.spoil = lambda servo, data: data
    np.testing.assert_allclose(leader.read(), at)
    assert len(shelf.ports) == 1 and torques(shelf) == [0] * 6
    leader.hold(at)
    assert torques(shelf) == [1] * 6


def test_it_is_switched_on_with_three_readings_and_the_limit_comes_first(leader, shelf):
    at = leader.read()
    asked = len(shelf.port.requests)
    leader.hold(at)
    sent = shelf.port.requests[asked:]
    assert sum(packet.code == Instruction.SYNC_READ for packet in sent) == 3
    codes = {Instruction.SYNC_READ, Instruction.SYNC_WRITE}
    assert {packet.code for packet in sent} == codes
    written = [p.parameters[0] for p in sent if p.code == Instruction.SYNC_WRITE]
    assert written[0] == reg.TORQUE_LIMIT.address
    assert written[-2:] == [reg.TORQUE_ENABLE.address, reg.GOAL_POSITION.address]


@pytest.mark.parametrize("deaf", [1, TRIES])
def test_what_a_servo_did_not_hear_is_written_again_and_then_told(leader, shelf, deaf):
    at = leader.read()
    elbow = shelf.port.servos[2]
    obey, left = elbow.write, [deaf]

    def write(address, data):
        if address == reg.TORQUE_ENABLE.address and left[0]:
            left[0] -= 1
        else:
            obey(address, data)

    elbow.write = write
    if deaf < TRIES:
        leader.hold(at)
        assert torques(shelf) == [1] * 6
    else:
        with pytest.raises(HardwareError, match="elbow_flex: torque_enable is 0 after 1"):
            leader.hold(at)


def test_a_port_that_is_gone_is_opened_again_after_a_while_and_limp(leader, shelf):
    leader.hold(leader.read())
    shelf.port.is_gone = shelf.is_empty = True
    for _ in range(MOST_MISSES):
        try:
            leader.read()
        except HardwareError:
            break
    with pytest.raises(HardwareError, match="leader"):
        leader.read()
    shelf.is_empty = False
    assert len(shelf.ports) == 1  # not asked at every tick
    shelf.clock_ns += RETRY_NS
    leader.read()
    assert len(shelf.ports) == 2 and torques(shelf) == [0] * 6


def test_a_leader_that_is_not_there_is_named(leader, shelf):
    shelf.is_empty = True
    with pytest.raises(HardwareError, match="leader: /dev/leader: there is no such device"):
        leader.read()


def test_closing_lets_it_go(leader, shelf):
    leader.hold(leader.read())
    leader.close()
    assert torques(shelf) == [0] * 6 and shelf.port.is_closed
