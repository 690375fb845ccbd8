"""Whatever is published on its topics, a node lives and says what it dropped."""

import signal
import subprocess

import pytest

pytest.importorskip("rclpy")

from malformed import attacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from ros.test_cdr import MESSAGES
from twin_process import Program, Twin, hardware_node

from so101.events import WARN, from_message
from so101.ros.endpoints import Endpoints, interface_class
from so101.ros.health import DROPPED
from so101.ros.spin import Spinner
from so101.topics import DIAGNOSTICS

PATIENCE_S = 60.0
ROUNDS = 200
ROSES_OWN = ("/parameter_events", "/rosout", "/clock")


class Attacker:
    """Publishes on everything that a node listens to, and hears what the node says of itself."""

    def __init__(self, node, target):
        self.node, self.target, self.told = node, target, []
        Endpoints(node).listen(DIAGNOSTICS, self._on_diagnostics)
        self.spinner = Spinner(node)

    def _on_diagnostics(self, message):
        if message.status and message.status[0].name == self.target:
            self.told.append(from_message(message))

    def until(self, is_so):
        assert self.spinner.spin_until(is_so, PATIENCE_S), self.told[-1:]

    def topics(self):
        """Return name and type of what the target listens to."""
        found = self.node.get_subscriber_names_and_types_by_node(self.target, "/")
        return [(name, kinds[0]) for name, kinds in found if name not in ROSES_OWN]

    def attack(self, rounds):
        for number, (name, kind) in enumerate(self.topics()):
            qos = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            publisher = self.node.create_publisher(interface_class(kind), name, qos)
            self.until(lambda publisher=publisher: publisher.get_subscription_count() > 0)
            good = bytes(serialize_message(MESSAGES[kind.split("/")[-1]]))
            for data in attacks(good, rounds, seed=number):
                publisher.publish(data)
                self.spinner.drain()
        self.until(lambda: self.dropped >= {name.lstrip("/") for name, _ in self.topics()})

    @property
    def dropped(self):
        """Topics that the target says it dropped messages of, warning of it."""
        warned = [
            event for event in self.told if event.level == WARN and "dropped" in event.message
        ]
        keys = {key for event in warned for key in event.values}
        return {key.removeprefix(DROPPED) for key in keys if key.startswith(DROPPED)}


@pytest.fixture
def attacker(ros_context):
    node = Node("attacker", context=ros_context, use_global_arguments=False)
    made = []

    def make(target):
        made.append(Attacker(node, target))
        return made[0]

    yield make
    made[0].spinner.close()
    node.destroy_node()


def test_no_bytes_end_the_arbiter(attacker, ros_domain):
    argv = ["-m", "intervention_node.node"]
    with Program(argv, ros_domain, stderr=subprocess.DEVNULL) as program:
        check_survives(program, attacker("intervention_node"), 10)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["intervention_node", "hardware_node"])
def test_no_bytes_end_a_node_for_long(attacker, ros_domain, tmp_path, name):
    with Twin(tmp_path) as twin:
        argv = ["-m", f"{name}.node"]
        is_arm = name == "hardware_node"
        program = hardware_node(twin, ros_domain) if is_arm else Program(argv, ros_domain)
        with program:
            check_survives(program, attacker(name), ROUNDS)


def check_survives(program, attacker, rounds):
    attacker.until(lambda: attacker.told or program.process.poll() is not None)
    assert program.process.poll() is None, "it ended before anything was sent"
    attacker.attack(rounds)
    told = len(attacker.told)
    attacker.until(lambda: len(attacker.told) > told + 3)  # it lives
    assert program.end(signal.SIGINT) == 0
