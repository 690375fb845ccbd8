"""Servos in memory behind a port without a device, on a clock that only waiting moves.

They have no physics: a goal is met at once while the torque is on. What a test does to them, it
says; replies pass through ``spoil`` before they are sent.
"""

from so101.errors import PortLostError
from so101.servos import packets
from so101.servos import registers as reg
from so101.servos.packets import BROADCAST_ID, Instruction, PacketParser

PASSING_NS = 20_000
"""Time that a look at the clock takes [ns]."""


class Servo:
    """One servo's memory."""

    def __init__(self, servo, joint=None):
        self.id = servo
        self.is_frozen = False
        self.bits = 0
        self.memory = bytearray(reg.MEMORY_SIZE)
        for register in reg.REGISTERS:
            self.set(register, register.default)
        self.set(reg.ID, servo)
        if joint is not None:
            self.set(reg.HOMING_OFFSET, joint.homing_offset)
            self.set(reg.MIN_POSITION_LIMIT, joint.range_min)
            self.set(reg.MAX_POSITION_LIMIT, joint.range_max)
            self.set(reg.P_COEFFICIENT, 16)
            if servo == 6:
                self.set(reg.MAX_TORQUE_LIMIT, 500)
                self.set(reg.PROTECTION_CURRENT, 250)
                self.set(reg.OVERLOAD_TORQUE, 25)
        self.set(reg.PRESENT_POSITION, 2047)
        self.set(reg.PRESENT_VOLTAGE, 120)
        self.set(reg.PRESENT_TEMPERATURE, 30)

    def get(self, register):
        return register.decode(bytes(self.memory[register.address : register.end]))

    def set(self, register, value):
        self.memory[register.address : register.end] = register.encode(value)

    def write(self, address, data):
        self.memory[address : address + len(data)] = data
        if self.get(reg.TORQUE_ENABLE) == 1 and not self.is_frozen and address == 42:
            self.set(reg.PRESENT_POSITION, self.get(reg.GOAL_POSITION))

    def restart(self):
        for register in (reg.TORQUE_ENABLE, reg.ACCELERATION, reg.GOAL_VELOCITY):
            self.set(register, register.default)
        self.set(reg.TORQUE_LIMIT, self.get(reg.MAX_TORQUE_LIMIT))


class ScriptedPort:
    """A port with servos behind it.

    Attributes:
        servos: May be changed at any time; two may have one id.
        requests: Every request, as a packet.
        spoil: Called with each reply's id and bytes; returns the bytes that are sent.
        is_gone: The device was pulled out.
    """

    name = "/dev/scripted"

    def __init__(self, servos):
        self.servos = list(servos)
        self.requests = []
        self.spoil = lambda servo, data: data
        self.is_gone = self.is_closed = False
        self.clock_ns = 0
        self._parser = PacketParser()
        self._replies = b""

    def now_ns(self):
        self.clock_ns += PASSING_NS
        return self.clock_ns

    def by_id(self, servo):
        return next(each for each in self.servos if each.id == servo)

    def write(self, data):
        self._check()
        for packet in self._parser.feed(data):
            self.requests.append(packet)
            self._obey(packet)

    def read(self, timeout_s):
        self._check()
        data, self._replies = self._replies, b""
        if not data:
            self.clock_ns += round(timeout_s * 1e9)
        return data

    def close(self):
        self.is_closed = True

    def writes(self, register):
        """Return the values of every sync write to a register, by servo."""
        found = []
        for packet in self.requests:
            if packet.code == Instruction.SYNC_WRITE:
                address, rows = packets.split_sync_write(packet.parameters)
                if address == register.address:
                    found.append({servo: register.decode(row) for servo, row in rows.items()})
        return found

    def _check(self):
        if self.is_gone:
            raise PortLostError(f"{self.name}: no such device")

    def _obey(self, packet):
        values = packet.parameters
        asked = [servo for servo in self.servos if packet.id in (servo.id, BROADCAST_ID)]
        if packet.code == Instruction.SYNC_WRITE:
            address, rows = packets.split_sync_write(values)
            for servo in self.servos:
                if servo.id in rows:
                    servo.write(address, rows[servo.id])
        elif packet.code == Instruction.SYNC_READ:
            for servo in values[2:]:
                self._answer([s for s in self.servos if s.id == servo], values[0], values[1])
        elif packet.code == Instruction.READ:
            self._answer(asked, values[0], values[1])
        else:
            for servo in asked:
                if packet.code == Instruction.WRITE:
                    servo.write(values[0], values[1:])
                self._reply(servo, b"")

    def _answer(self, servos, address, size):
        for servo in servos:
            self._reply(servo, bytes(servo.memory[address : address + size]))

    def _reply(self, servo, data):
        self._replies += self.spoil(servo.id, packets.status(servo.id, servo.bits, data))
