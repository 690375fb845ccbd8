"""A host in simulated time: asks a twin, lets time pass, reads the replies."""

import numpy as np

from so101.robot import so101
from so101.servos import packets
from so101.servos.packets import PacketParser
from so101.simulation.servo_twin.assembly import Assembly
from so101.simulation.servo_twin.bus import TwinBus
from so101.simulation.servo_twin.commands import Commands
from so101.simulation.servo_twin.twin import ServoTwin

MS = 1_000_000
IDS = tuple(range(1, 7))


class FakeSocket:
    """Remembers whether it is open."""

    path = "/dev/pts/none"
    is_open = True

    def close(self):
        self.is_open = False

    def open(self):
        self.is_open = True


class Host:
    """One arm, its bus and its commands at a time that only this object moves."""

    def __init__(self, *, pose="home", adapter_ns=MS, assembly=None, seed=0):
        positions = so101().poses[pose]
        self.twin = ServoTwin(assembly or Assembly(), positions, np.random.default_rng(seed))
        self.bus = TwinBus(self.twin, adapter_ns=adapter_ns, rng=np.random.default_rng(seed + 1))
        self.socket = FakeSocket()
        self.commands = Commands(self.bus, self.socket)
        self.now_ns = 0
        self.twin.advance(0)

    def wait(self, time_s):
        """Let time pass in control periods."""
        end_ns = self.now_ns + round(time_s * 1e9)
        while self.now_ns < end_ns:
            self.now_ns = min(self.now_ns + 5 * MS, end_ns)
            self.commands.advance(self.now_ns)
            self.twin.advance(self.now_ns)

    def send(self, data):
        self.bus.receive(data, self.now_ns)

    def ask(self, data, wait_s=0.02):
        """Send a request and return the replies that came within a time."""
        self.send(data)
        self.wait(wait_s)
        return PacketParser().feed(self.bus.take(self.now_ns))

    def get(self, register, servo_id=1):
        (reply,) = self.ask(packets.read(servo_id, register.address, register.size))
        return register.decode(reply.parameters)

    def put(self, register, value, servo_ids=IDS):
        data = register.encode(value)
        self.send(packets.sync_write(register.address, dict.fromkeys(servo_ids, data)))

    def command(self, line):
        return self.commands.run(line, self.now_ns)
