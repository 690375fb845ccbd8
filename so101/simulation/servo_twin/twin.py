"""A chain of servos on one arm: instructions in, replies out, physics in between.

Time is whatever the owner says it is; nothing here waits. What a wire or an adapter does to the
bytes is `so101.simulation.servo_twin.bus`'s business.
"""

from collections.abc import Callable

import numpy as np

from so101.arrays import FloatArray
from so101.clock import NS_PER_S
from so101.robot import JOINTS
from so101.servos import packets
from so101.servos import registers as reg
from so101.servos.packets import BROADCAST_ID, Instruction, Packet
from so101.simulation.servo_twin.assembly import Assembly
from so101.simulation.servo_twin.memory import ServoMemory
from so101.simulation.servo_twin.motors import Motors
from so101.simulation.servo_twin.plant import STEP_HZ, Plant

NOISE = 0.3
"""Standard deviation of an encoder's reading [ticks]."""
BOOT_NS = 300_000_000
"""A servo that restarts is silent for this long."""
RESET_VOLTAGE = 3.5
"""Below this the servos' processors stop; they restart when the voltage is back [V]."""
_CATCH_UP = STEP_HZ // 2
_SET_MIDDLE = 128
Answers = list[tuple[int, list[bytes]]]
"""Ids that were asked and the replies of all servos with that id, in the order of the wire."""

_MOVING = 0.02
_FEEDBACK = (reg.PRESENT_POSITION.address, reg.PRESENT_CURRENT.end)


class ServoTwin:
    """The servos of one arm, in the order of the chain.

    Faults reach in through the public attributes; arrays are of shape (servos,).

    Attributes:
        plant: The arm.
        memories: The servos' registers.
        motors: The servos' motors.
        missing: Servos that are not on the bus.
        jumps: What is added to the encoders [ticks].
        frozen: Encoders that say the same for ever [ticks]; not a number: they do not.
        lost_steps: Physics steps left out because the process was stopped for too long.
    """

    def __init__(
        self, assembly: Assembly, positions: FloatArray, rng: np.random.Generator
    ) -> None:
        """Power up with torque off.

        Args:
            assembly: Where the servos' horns are.
            positions: Where the arm stands [rad]. Shape (joints,).
            rng: For the encoders' noise.
        """
        count = len(JOINTS)
        self.plant = Plant(positions)
        self.memories = [ServoMemory(assembly.memory(joint)) for joint in range(count)]
        self.motors = Motors(self.memories)
        self.missing: set[int] = set()
        self.jumps: FloatArray = np.zeros(count)
        self.frozen: FloatArray = np.full(count, np.nan)
        self.lost_steps = 0
        self._zero = assembly.encoders(np.zeros(count))
        self._rng = rng
        self._now_ns, self._steps_done, self._start_ns = 0, 0, -1
        self._shown_ns = -1
        self._boots_until = np.zeros(count, dtype=np.int64)
        self._prepared: dict[int, bytes] = {}
        self._actions: dict[int, Callable[[int, bytes], Answers]] = {
            Instruction.PING: self._ping,
            Instruction.READ: self._read,
            Instruction.WRITE: self._write,
            Instruction.REG_WRITE: self._prepare,
            Instruction.ACTION: self._act,
            Instruction.REBOOT: self._reboot,
            Instruction.SYNC_READ: self._sync_read,
            Instruction.SYNC_WRITE: self._sync_write,
        }
        self._measure()
        for servo in range(count):
            self._put_goal_where_it_is(servo)

    def advance(self, now_ns: int) -> None:
        """Let time pass until a stamp [ns]; the first call starts the clock."""
        self._now_ns = now_ns
        if self._start_ns < 0:
            self._start_ns = now_ns
        due = (now_ns - self._start_ns) * STEP_HZ // NS_PER_S - self._steps_done
        lost = max(due - _CATCH_UP, 0)
        self.lost_steps += lost
        self._steps_done += due
        for _ in range(due - lost):
            self._measure()
            torques = self.motors.step(self.motors.encoders, self.motors.velocity, 1.0 / STEP_HZ)
            self.plant.step(torques, self.motors.is_driven)
            if self.motors.voltage < RESET_VOLTAGE:
                for servo in range(len(self.memories)):
                    self.reboot(servo)

    def reboot(self, servo: int) -> None:
        """Power a servo down and up: RAM is lost, torque is off, it is silent for a moment."""
        self.memories[servo].power_up()
        self.motors.restart(servo)
        self._put_goal_where_it_is(servo)
        self._boots_until[servo] = self._now_ns + BOOT_NS

    def handle(self, packet: Packet) -> Answers:
        """Carry out a request and return the answers; there are none to nonsense.

        Raises:
            HardwareError: A sync write is not made of whole rows.
        """
        action = self._actions.get(packet.code)
        return action(packet.id, packet.parameters) if action else []

    def _ping(self, servo_id: int, parameters: bytes) -> Answers:
        asked = self._ids() if servo_id == BROADCAST_ID else [servo_id]
        return [(one, self._replies(one)) for one in asked]

    def _read(self, servo_id: int, parameters: bytes) -> Answers:
        if len(parameters) != 2 or servo_id == BROADCAST_ID:
            return []
        return [(servo_id, self._replies(servo_id, *parameters))]

    def _sync_read(self, servo_id: int, parameters: bytes) -> Answers:
        address, size = parameters[:1], parameters[1:2]
        if not size:
            return []
        return [(one, self._replies(one, address[0], size[0])) for one in parameters[2:]]

    def _write(self, servo_id: int, parameters: bytes) -> Answers:
        acknowledgement = self._acknowledge(servo_id)  # with the id it was asked by
        for servo in self._addressed(servo_id):
            self._store(servo, parameters)
        return acknowledgement

    def _sync_write(self, servo_id: int, parameters: bytes) -> Answers:
        address, rows = packets.split_sync_write(parameters)
        for one, data in rows.items():
            for servo in self._addressed(one):
                self._store(servo, bytes((address,)) + data)
        return []

    def _prepare(self, servo_id: int, parameters: bytes) -> Answers:
        for servo in self._addressed(servo_id):
            self._prepared[servo] = parameters
        return self._acknowledge(servo_id)

    def _act(self, servo_id: int, parameters: bytes) -> Answers:
        acknowledgement = self._acknowledge(servo_id)
        for servo in self._addressed(servo_id):
            self._store(servo, self._prepared.pop(servo, b""))
        return acknowledgement

    def _reboot(self, servo_id: int, parameters: bytes) -> Answers:
        for servo in self._addressed(servo_id):
            self.reboot(servo)
        return []

    def _measure(self) -> None:
        """Read the encoders; speeds are theirs, so a frozen encoder stands still."""
        plant = self.plant
        noise = self._rng.standard_normal(len(self._zero)) * NOISE
        ticks = np.rint(plant.positions / reg.RAD_PER_TICK + self._zero + self.jumps + noise)
        is_frozen = ~np.isnan(self.frozen)
        self.motors.encoders = np.where(is_frozen, self.frozen, ticks)
        self.motors.velocity = np.where(is_frozen, 0.0, plant.velocities)

    def _ids(self) -> list[int]:
        ids = {self.memories[servo].get(reg.ID) for servo in self._addressed(BROADCAST_ID)}
        return sorted(ids)

    def _addressed(self, servo_id: int) -> list[int]:
        """Return which servos of the chain listen to an id; more than one by mistake."""
        return [
            servo
            for servo, memory in enumerate(self.memories)
            if servo_id in (BROADCAST_ID, memory.get(reg.ID))
            and servo not in self.missing
            and self._now_ns >= self._boots_until[servo]
        ]

    def _replies(self, servo_id: int, address: int = 0, size: int = 0) -> list[bytes]:
        replies = []
        errors = self.motors.errors
        is_feedback = size and address < _FEEDBACK[1] and address + size > _FEEDBACK[0]
        if is_feedback and self._shown_ns != self._now_ns:
            self._shown_ns = self._now_ns
            self._refresh()
        for servo in self._addressed(servo_id):
            data = self.memories[servo].read(address, size)
            replies.append(packets.status(servo_id, int(errors[servo]), data))
        return replies

    def _acknowledge(self, servo_id: int) -> Answers:
        if servo_id == BROADCAST_ID:
            return []
        errors = self.motors.errors
        answering = [
            packets.status(servo_id, int(errors[servo]))
            for servo in self._addressed(servo_id)
            if self.memories[servo].get(reg.RESPONSE_STATUS_LEVEL)
        ]
        return [(servo_id, answering)]

    def _store(self, servo: int, parameters: bytes) -> None:
        """Write an address's data."""
        if not parameters:
            return
        memory = self.memories[servo]
        memory.write(parameters[0], parameters[1:])
        if memory.get(reg.TORQUE_ENABLE) == _SET_MIDDLE:
            middle = int(self.motors.encoders[servo]) - reg.TICKS_PER_TURN // 2
            highest = reg.HOMING_OFFSET.highest
            memory.put(reg.HOMING_OFFSET, min(max(middle, -highest), highest))
            memory.keep(reg.HOMING_OFFSET)
            memory.put(reg.TORQUE_ENABLE, 0)

    def _put_goal_where_it_is(self, servo: int) -> None:
        self.memories[servo].put(reg.GOAL_POSITION, int(self.motors.positions[servo]))

    def _refresh(self) -> None:
        """Bring the feedback registers of all servos up to date."""
        motors = self.motors
        feedback = (
            (reg.PRESENT_POSITION, motors.positions),
            (reg.PRESENT_VELOCITY, motors.velocity / reg.RAD_PER_TICK),
            (reg.PRESENT_LOAD, motors.duty / reg.PRESENT_LOAD.scale),
            (reg.PRESENT_VOLTAGE, np.full(motors.duty.shape, motors.voltage / 0.1)),
            (reg.PRESENT_TEMPERATURE, motors.temperature),
            (reg.STATUS, motors.errors),
            (reg.MOVING, np.abs(motors.velocity) > _MOVING),
            (reg.PRESENT_CURRENT, motors.amperes / reg.PRESENT_CURRENT.scale),
        )
        for register, values in feedback:
            limited = np.minimum(np.maximum(values, register.lowest), register.highest)
            for memory, value in zip(self.memories, np.rint(limited).tolist(), strict=True):
                memory.show(register, int(value))
