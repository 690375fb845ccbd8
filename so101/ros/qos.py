"""Delivery rules of every topic, read from the table in `so101.topics`.

The choices and why:

- Everything is reliable: JPEG frames and joint states fit through the default transports without
  loss, and a learner that joins by stamp cannot tell a lost message from a slow one.
- Publishers keep `DEEP` messages, and so does the recorder. With depths of 10 to 100 a recorder
  that shares two cores with the simulation lost up to 8 % of the joint states; with 1000, none.
- A policy keeps `FRESH` images: an older frame in the queue is a stale one.
- Latched topics are transient local, and their publisher keeps one message: the present state.
  Their subscribers keep more, so that two changes in quick succession are both seen.
- What a device senses may come from somebody else's driver, which offers best effort where ours
  are reliable. `so101.ros.listening` and `so101.ros.taps` notice, and ask for no more then.
- Alive topics promise a message every 100 ms. Only a deadline notices a process that hangs: the
  graph still counts a killed publisher for 20 s, and automatic liveliness ignores a hung callback.
"""

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

from so101.topics import MOTION_ALIVE, POLICY_ALIVE, TELEOP_ALIVE, Topic

DEEP = 1000
"""Depth of publishers and of the recorder [messages]."""

HEAVY = 120
"""Depth of publishers and of the recorder for raw images, four seconds of them [messages].

A thousand frames of 640x480 would be a gigabyte in every queue.
"""

EVENTS = 100
"""Depth of subscribers that follow every change of a stream [messages]."""

FRESH = 2
"""Depth of subscribers that want only the newest image [messages]."""

ALIVE_DEADLINE_NS = 100_000_000
"""A source is silent when its alive topic misses this deadline [ns]."""

_ALIVE = frozenset(topic.name for topic in (POLICY_ALIVE, TELEOP_ALIVE, MOTION_ALIVE))


def deep(topic: Topic) -> int:
    """Return the depth of a topic's publishers and of the recorder [messages]."""
    return HEAVY if topic.name.endswith("/image_raw") else DEEP


def publisher_qos(topic: Topic) -> QoSProfile:
    """Return what a publisher of the topic offers."""
    return _profile(
        topic, 1 if topic.is_latched else deep(topic), with_deadline=topic.name in _ALIVE
    )


def subscriber_qos(
    topic: Topic,
    depth: int = EVENTS,
    *,
    with_deadline: bool = False,
    is_best_effort: bool = False,
) -> QoSProfile:
    """Return what a subscriber of the topic asks for.

    Args:
        topic: The topic.
        depth: Messages kept until they are taken: `DEEP` for a recorder, `FRESH` for a policy's
            images, the default for everybody who follows every message.
        with_deadline: Ask for the alive topics' deadline, to get its missed event. Publishers
            that do not offer it are then not heard at all.
        is_best_effort: Hear also who offers no more than that.
    """
    profile = _profile(topic, depth, with_deadline=with_deadline and topic.name in _ALIVE)
    if is_best_effort:
        profile.reliability = ReliabilityPolicy.BEST_EFFORT
    return profile


def _profile(topic: Topic, depth: int, *, with_deadline: bool) -> QoSProfile:
    durability = (
        DurabilityPolicy.TRANSIENT_LOCAL if topic.is_latched else DurabilityPolicy.VOLATILE
    )
    profile = QoSProfile(
        reliability=ReliabilityPolicy.RELIABLE,
        durability=durability,
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )
    if with_deadline:
        profile.deadline = Duration(nanoseconds=ALIVE_DEADLINE_NS)
    return profile
