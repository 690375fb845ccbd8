"""Plays a bag as `ros2 bag play --clock` does, by the rules of its sources; no code of ours."""

from importlib import import_module

from mcap.reader import make_reader
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbag2_rules import Offer, read
from rosgraph_msgs.msg import Clock


class Player:
    """Publishes a bag's messages in the order in which they arrived, and the time of each."""

    def __init__(self, node, bag, remappings=(), excluded=()):
        """Offer every topic as the bag says.

        Args:
            node: Who publishes.
            bag: The directory of an MCAP bag.
            remappings: New absolute name by the name in the bag.
            excluded: Names in the bag that are not played.
        """
        told = read((bag / "metadata.yaml").read_text())
        self._files = [bag / name for name in told.files]
        self._clock = node.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self.publishers = {
            name: node.create_publisher(
                _class(kind), dict(remappings).get(name, name), _qos(offer)
            )
            for (name, kind), offer in zip(told.types.items(), told.offers.values(), strict=True)
            if name not in excluded
        }

    def messages(self):
        """Yield name, arrival [ns] and bytes of what is played."""
        for path in self._files:
            with path.open("rb") as stream:
                for _, channel, message in make_reader(stream).iter_messages():
                    if channel.topic in self.publishers:
                        yield channel.topic, message.log_time, message.data

    def play(self, name, log_ns, data):
        """Publish one message."""
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(log_ns, 10**9)
        self._clock.publish(clock)
        self.publishers[name].publish(data)


def _qos(offer: Offer) -> QoSProfile:
    profile = QoSProfile(
        depth=10,
        reliability=ReliabilityPolicy[offer.reliability.upper()],
        durability=DurabilityPolicy[offer.durability.upper()],
    )
    if offer.deadline_ns < 2**63 - 1:
        profile.deadline = Duration(nanoseconds=offer.deadline_ns)
    return profile


def _class(kind):
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)
