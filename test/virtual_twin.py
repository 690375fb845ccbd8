"""The servo twin on a clock that only waiting moves: the same physics on any machine."""

import json

import numpy as np

from hardware_node.arm import ServoArm
from hardware_node.params import HardwareParams
from hardware_node.settings import settings_of
from so101.clock import CONTROL_GRID, nanoseconds
from so101.control.arm_loop import ArmLoop
from so101.control.safety import SafetyGate
from so101.control.trajectory import JointTrajectory
from so101.errors import PortLostError
from so101.robot import JOINTS, so101
from so101.servos.bus import ServoBus
from so101.servos.calibration import read_calibration
from so101.simulation.servo_twin.assembly import Assembly
from so101.simulation.servo_twin.bus import TwinBus
from so101.simulation.servo_twin.commands import Commands
from so101.simulation.servo_twin.twin import ServoTwin

SPEC = so101()
LOOK_NS = 5_000
"""Time that a look at the clock takes [ns]."""


class TwinPort:
    """A serial port to a twin in this process; also its clock and its plug."""

    name = path = "/dev/twin"

    def __init__(self, pose, seed=0):
        noise, faults = np.random.default_rng(seed).spawn(2)
        twin = ServoTwin(Assembly(), pose, noise)
        self.bus = TwinBus(twin, adapter_ns=1_000_000, rng=faults)
        self.commands = Commands(self.bus, self)
        self.clock_ns = 0
        self.is_gone = False

    def now_ns(self):
        self.clock_ns += LOOK_NS
        return self.clock_ns

    def run(self, line):
        return self.commands.run(line, self.clock_ns)

    def advance(self, to_ns):
        """Let time pass in steps of the twin's physics."""
        while self.clock_ns < to_ns:
            self.clock_ns = min(to_ns, self.clock_ns + 3_000_000)
            self.commands.advance(self.clock_ns)
            self.bus.twin.advance(self.clock_ns)

    def write(self, data):
        self._check()
        self.bus.receive(data, self.clock_ns)

    def read(self, timeout_s):
        self._check()
        end_ns, due_ns = self.clock_ns + nanoseconds(timeout_s), self.bus.next_due_ns
        self.advance(end_ns if due_ns is None else min(max(due_ns, self.clock_ns), end_ns))
        return self.bus.take(self.clock_ns)

    def close(self):
        self.is_gone = True

    def open(self):
        self.is_gone = False

    def _check(self):
        if self.is_gone:
            raise PortLostError(f"{self.name}: no such device")


class HeldUpPort(TwinPort):
    """A twin whose process is not run now and then: what it is asked then it answers later."""

    def __init__(self, pose, seed, *, rate_hz, length_s):
        """Be held up so often, and each time so long on average."""
        super().__init__(pose)
        self._rng, self._rate_hz, self._length_s = np.random.default_rng(seed), rate_hz, length_s
        self._begins_ns = self._ends_ns = 0
        self._asked = []

    def advance(self, to_ns):
        while self.clock_ns < to_ns:
            if self._is_held_up():
                self.clock_ns = min(to_ns, self._ends_ns)
            else:
                self._hear()
                super().advance(min(to_ns, self._begins_ns))

    def write(self, data):
        self._check()
        self._asked.append(data)

    def read(self, timeout_s):
        self._check()
        end_ns = self.clock_ns + nanoseconds(timeout_s)
        while True:
            if not self._is_held_up():
                self._hear()
                data = self.bus.take(self.clock_ns)
                if data:
                    return data
            if self.clock_ns >= end_ns:
                return b""
            due_ns = end_ns if self.bus.next_due_ns is None else self.bus.next_due_ns
            self.advance(min(end_ns, max(due_ns, self.clock_ns + LOOK_NS)))

    def _hear(self):
        for data in self._asked:
            self.bus.receive(data, self.clock_ns)
        self._asked.clear()

    def _is_held_up(self):
        while self.clock_ns >= self._ends_ns:
            self._begins_ns = self._ends_ns + self._drawn_ns(1.0 / self._rate_hz)
            self._ends_ns = self._begins_ns + self._drawn_ns(self._length_s)
        return self.clock_ns >= self._begins_ns

    def _drawn_ns(self, mean_s):
        return nanoseconds(self._rng.exponential(mean_s)) + 1


class TwinRig:
    """The driver's arm and loop, tick by tick, with a twin behind its bus."""

    def __init__(self, path, *, pose=SPEC.home, is_armed=True, gate_spec=SPEC, collision=None):
        self.port, self.path = TwinPort(pose), path
        Assembly().write_calibration(path)
        self.calibration = read_calibration(path)
        settings = settings_of(HardwareParams(write_eeprom=True))
        self.arm = ServoArm(self.calibration, SPEC, settings, now_ns=self.port.now_ns)
        self.loop = ArmLoop(self.arm, gate_spec, SafetyGate(gate_spec, collision))
        self.attach()
        self.index = 0
        self.tick()
        if is_armed:
            self.switch_on()

    def attach(self):
        self.port.is_gone = False
        return self.arm.attach(ServoBus(self.port, now_ns=self.port.now_ns))

    def switch_on(self):
        self.arm.check()
        self.loop.arm()
        self.arm.switch_on()

    def tick(self, count=1):
        for _ in range(count):
            self.index = max(self.index + 1, CONTROL_GRID.ceil(self.port.clock_ns))
            self.port.advance(CONTROL_GRID.stamp(self.index))
            tick = self.loop.tick(self.port.clock_ns)
        return tick

    def follow(self, goals, duration_s):
        """Follow goals (points, joints), evenly spaced in a time [s]."""
        at, goals = self.port.clock_ns, np.atleast_2d(goals)
        times = tuple(nanoseconds(duration_s * (k + 1) / len(goals)) for k in range(len(goals)))
        self.loop.follow(
            JointTrajectory(stamp_ns=at, joints=JOINTS, times_ns=times, positions=goals), at
        )

    @property
    def truth(self):
        """Where the arm really is [rad]."""
        return self.port.bus.twin.plant.positions.copy()

    @property
    def state(self):
        return json.loads(self.port.commands.state())

    @property
    def reason(self):
        return self.loop.state_event(0).values["reason"]
