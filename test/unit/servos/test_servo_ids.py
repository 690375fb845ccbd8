"""Ids are given to one servo at a time, are kept without power, and doubled ones are noticed."""

import pytest
from scripted_servos import ScriptedPort, Servo
from servo_hosts import Host

from so101.errors import HardwareError
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.packets import Instruction
from so101.servos.servo_ids import give_id, only_servo
from so101.simulation.servo_twin.assembly import Assembly


class TwinPort:
    """The twin in memory as a port; only waiting moves its time."""

    name = "twin"

    def __init__(self, host):
        self.host = host

    def now_ns(self):
        return self.host.now_ns

    def write(self, data):
        self.host.send(data)

    def read(self, timeout_s):
        end_ns = self.host.now_ns + round(timeout_s * 1e9)
        while not (data := self.host.bus.take(self.host.now_ns)) and self.host.now_ns < end_ns:
            self.host.wait(min(0.005, (end_ns - self.host.now_ns) / 1e9))
        return data

    def close(self):
        pass


def factory_servos():
    """Return the twin with six servos as they are shipped, all plugged in, and a bus."""
    host = Host(pose="rest", assembly=Assembly(is_calibrated=False))
    host.command("id all 1")
    port = TwinPort(host)
    return host, ServoBus(port, now_ns=port.now_ns)


def scripted(*ids):
    port = ScriptedPort(Servo(servo) for servo in ids)
    return port, ServoBus(port, now_ns=port.now_ns)


def test_six_servos_get_their_ids_one_at_a_time_and_keep_them_without_power():
    host, bus = factory_servos()
    for servo in (6, 5, 4, 3, 2, 1):
        host.command(f"alone {servo}")
        assert only_servo(bus) == 1
        give_id(bus, 1, servo)
        assert only_servo(bus) == servo
    host.command("clear")
    host.command("reboot all")
    host.wait(2.0)
    assert bus.scan() == (1, 2, 3, 4, 5, 6)
    assert {bus.read(servo, reg.LOCK) for servo in (1, 2, 3, 4, 5, 6)} == {1}


def test_servos_of_one_id_are_no_single_servo():
    host, bus = factory_servos()
    with pytest.raises(HardwareError, match="several servos answer at once"):
        only_servo(bus)
    host.command("id all 9")  # not the id that was looked for first
    with pytest.raises(HardwareError, match="several servos answer at once"):
        only_servo(bus)


@pytest.mark.parametrize(
    ("ids", "text"),
    [((), "no servo answers"), ((1, 4), r"2 servos answer \(ids 1, 4\)"), ((6, 6), "2 servos")],
)
def test_no_servo_and_several_are_refused(ids, text):
    _, bus = scripted(*ids)
    with pytest.raises(HardwareError, match=text):
        only_servo(bus)


def test_another_model_is_refused():
    port, bus = scripted(1)
    port.servos[0].set(reg.MODEL_NUMBER, 1284)
    with pytest.raises(HardwareError, match="model 1284, not an STS3215"):
        only_servo(bus)


class Renamed(Servo):
    """Answers by the id that its memory has now."""

    @property
    def id(self):
        return self.get(reg.ID) if hasattr(self, "memory") else 0

    @id.setter
    def id(self, value):
        pass


def renamed():
    servo = Renamed(1)
    servo.set(reg.ID, 1)
    port = ScriptedPort([servo])
    return servo, port, ServoBus(port, now_ns=port.now_ns)


def test_a_servo_that_confirms_with_its_new_id_has_it_all_the_same():
    servo, _, bus = renamed()
    give_id(bus, 1, 5)
    assert servo.get(reg.ID) == 5
    assert servo.get(reg.LOCK) == 1


def test_a_servo_that_does_not_take_its_id_is_locked_again_and_said():
    servo, port, bus = renamed()
    obey = servo.write
    servo.write = lambda address, data: None if address == reg.ID.address else obey(address, data)
    with pytest.raises(HardwareError, match="does not answer to its new id 5"):
        give_id(bus, 1, 5)
    assert (servo.get(reg.ID), servo.get(reg.LOCK)) == (1, 1)
    assert any(one.code == Instruction.WRITE for one in port.requests)


@pytest.mark.parametrize("wanted", [-1, 254])
def test_an_id_that_cannot_be_one_is_not_written(wanted):
    port, bus = scripted(1)
    with pytest.raises(HardwareError, match="expected 0 to 253"):
        give_id(bus, 1, wanted)
    assert not port.requests
