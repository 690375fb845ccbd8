"""Six servos behind a port in memory, on a clock of their own: what the driver reads and writes.

They move towards their goals at the servos' own speed, are held up or pushed at times, and their
readings tremble by a tick. Their physics is crude on purpose: a story of thousands of chunks takes
a second. ``so101.simulation.servo_twin`` is the faithful one.
"""

import math

import numpy as np

from so101.arrays import IntArray
from so101.clock import CONTROL_HZ, nanoseconds
from so101.robot import JOINTS, so101
from so101.servos import packets
from so101.servos import registers as reg
from so101.servos.calibration import LAST_TICK, Calibration, JointCalibration
from so101.servos.packets import BROADCAST_ID, Instruction, Packet, PacketParser

LOOK_NS = 5_000
"""Time that a look at the clock takes [ns]."""

SERVO_SPEED_RAD_S = 3.6
"""As fast as the driver lets a servo go: 1.2 times the limit of goals."""

PUSH_RAD_S = 1.0
HELD_TICKS = 10


def calibration() -> Calibration:
    """Return one whose ranges are a bit wider than the URDF's, but for the elbow's."""
    spec, joints = so101(), []
    for number, name in enumerate(JOINTS):
        half = round((spec.upper - spec.lower)[number] / 2 / (2 * math.pi) * LAST_TICK) + 20
        half -= 60 * (name == "elbow_flex")
        low, high = (0, LAST_TICK) if name == "wrist_roll" else (2047 - half, 2047 + half)
        joint = JointCalibration(id=number + 1, homing_offset=9, range_min=low, range_max=high)
        joints.append(joint)
    return Calibration(tuple(joints), "fuzz.json")


class FuzzServos:
    """The servos, their port and their clock.

    Attributes:
        name: Of the port.
        clock_ns: The clock [ns].
        written: Goals that were written since `take`, in ticks.
        measured: Positions as said last, in ticks. Shape (joints,).
    """

    name = "/dev/fuzz"

    def __init__(self, made_for: Calibration, rng: np.random.Generator) -> None:
        """Stand still at home, with everything else as a servo leaves the factory."""
        self.clock_ns = 0
        self.written: list[IntArray] = []
        self._calibration, self._rng = made_for, rng
        spec = so101()
        self._low = made_for.to_ticks(np.maximum(spec.lower, made_for.lower)).astype(float) + 2.0
        self._high = made_for.to_ticks(np.minimum(spec.upper, made_for.upper)).astype(float) - 2.0
        self._at = made_for.to_ticks(spec.home).astype(float)
        self._before = self._at.copy()
        self.measured: IntArray = self._at.astype(np.int64)
        self._parser, self._replies = PacketParser(), b""
        self._memories = {joint.id: bytearray(reg.MEMORY_SIZE) for joint in made_for.joints}
        self._held = np.zeros(len(JOINTS), dtype=np.int64)
        for servo, at in zip(self._memories, self.measured.tolist(), strict=True):
            for register in reg.REGISTERS:
                self._set(servo, register, register.default)
            self._set(servo, reg.ID, servo)
            self._set(servo, reg.GOAL_POSITION, at)
            self._set(servo, reg.PRESENT_VOLTAGE, 120)
            self._set(servo, reg.PRESENT_TEMPERATURE, 30)
        self._say()

    def now_ns(self) -> int:
        """Look at the clock [ns]."""
        self.clock_ns += LOOK_NS
        return self.clock_ns

    def advance(self, to_ns: int) -> None:
        """Let a control period pass: the servos move, unless they are held up."""
        self.clock_ns = max(self.clock_ns, to_ns)
        rng = self._rng
        if rng.random() < 0.02:
            self._held[rng.integers(len(JOINTS))] = rng.integers(1, HELD_TICKS)
        most = SERVO_SPEED_RAD_S / CONTROL_HZ / self._calibration.rad_per_tick
        goal = np.array([self._get(servo, reg.GOAL_POSITION) for servo in self._memories])
        step = np.clip(0.6 * (goal - self._at), -most, most)
        push = PUSH_RAD_S / SERVO_SPEED_RAD_S * most * np.sign(self._at - goal)
        self._before = self._at
        self._at = np.clip(self._at + np.where(self._held > 0, push, step), self._low, self._high)
        self._held = np.maximum(self._held - 1, 0)
        self._say()

    def take(self) -> list[IntArray]:
        """Return the goals that were written since the last call."""
        written, self.written = self.written, []
        return written

    def write(self, data: bytes) -> None:
        """Obey a request of the bus."""
        for packet in self._parser.feed(data):
            self._obey(packet)

    def read(self, timeout_s: float) -> bytes:
        """Return what has been answered; where nothing was, time passes."""
        data, self._replies = self._replies, b""
        if not data:
            self.clock_ns += nanoseconds(timeout_s)
        return data

    def close(self) -> None:
        """Nothing is open."""

    def _say(self) -> None:
        trembling = self._rng.integers(-1, 2, len(JOINTS))
        at = np.clip(np.rint(self._at) + trembling, self._low - 2.0, self._high + 2.0)
        self.measured = at.astype(np.int64)
        speed = (self._at - self._before) * CONTROL_HZ
        for servo, position, velocity in zip(
            self._memories,
            self.measured.tolist(),
            np.rint(speed).astype(int).tolist(),
            strict=True,
        ):
            self._set(servo, reg.PRESENT_POSITION, position)
            self._set(servo, reg.PRESENT_VELOCITY, velocity)

    def _obey(self, packet: Packet) -> None:
        values = packet.parameters
        if packet.code == Instruction.SYNC_READ:
            for servo in values[2:]:
                self._answer(servo, values[0], values[1])
        elif packet.code == Instruction.SYNC_WRITE:
            address, rows = packets.split_sync_write(values)
            for servo, row in rows.items():
                self._memories[servo][address : address + len(row)] = row
            if address == reg.GOAL_POSITION.address:
                goals = [reg.GOAL_POSITION.decode(bytes(row)) for row in rows.values()]
                self.written.append(np.array(goals))
        elif packet.code == Instruction.READ and packet.id in self._memories:
            self._answer(packet.id, values[0], values[1])
        else:
            self._obey_one(packet)

    def _obey_one(self, packet: Packet) -> None:
        for servo, memory in self._memories.items():
            if packet.id in (servo, BROADCAST_ID):
                if packet.code == Instruction.WRITE:
                    first, data = packet.parameters[0], packet.parameters[1:]
                    memory[first : first + len(data)] = data
                self._replies += packets.status(servo, 0)

    def _answer(self, servo: int, address: int, size: int) -> None:
        data = bytes(self._memories[servo][address : address + size])
        self._replies += packets.status(servo, 0, data)

    def _get(self, servo: int, register: reg.Register) -> int:
        return register.decode(bytes(self._memories[servo][register.address : register.end]))

    def _set(self, servo: int, register: reg.Register, value: int) -> None:
        self._memories[servo][register.address : register.end] = register.encode(value)
