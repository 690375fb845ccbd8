"""Publisher and subscriber of every topic fit each other, and state survives for late joiners."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from std_msgs.msg import Header, String

from so101.config import load_yaml
from so101.robot import CAMERAS
from so101.ros.convert import to_header, to_text
from so101.ros.qos import ALIVE_DEADLINE_NS, DEEP, FRESH, deep, publisher_qos, subscriber_qos
from so101.ros.spin import Spinner, wait_for_matched
from so101.topics import POLICY_ALIVE, TASK, TOPICS, image_topic, recorded_topics

ROOT = Path(__file__).parents[2]
ALL = (*TOPICS, image_topic("wrist"))


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_both_sides_fit(topic):
    offered = publisher_qos(topic)
    for with_deadline in (False, True):
        asked = subscriber_qos(topic, with_deadline=with_deadline)
        assert qos_check_compatible(offered, asked)[0] == QoSCompatibility.OK
    assert offered.reliability == ReliabilityPolicy.RELIABLE
    latched = offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert latched == topic.is_latched
    assert offered.depth == (1 if topic.is_latched else DEEP)


def test_depth_is_the_subscribers_choice():
    assert subscriber_qos(image_topic("wrist"), FRESH).depth == FRESH


def test_alive_topics_promise_a_deadline():
    assert publisher_qos(POLICY_ALIVE).deadline == Duration(nanoseconds=ALIVE_DEADLINE_NS)


def test_a_late_subscriber_gets_the_present_state(make_node):
    talker, listener = make_node("talker"), make_node("listener")
    publisher = talker.create_publisher(String, TASK.name, publisher_qos(TASK))
    publisher.publish(to_text("old"))
    publisher.publish(to_text("new"))
    heard = []
    listener.create_subscription(
        String, TASK.name, lambda message: heard.append(message.data), subscriber_qos(TASK)
    )
    spinner = Spinner(listener)
    assert spinner.spin_until(lambda: bool(heard), 10.0)
    assert heard == ["new"]
    spinner.close()


@pytest.mark.case(42)
def test_a_silent_source_misses_its_deadline(make_node):
    talker, listener = make_node("talker"), make_node("listener")
    publisher = talker.create_publisher(Header, POLICY_ALIVE.name, publisher_qos(POLICY_ALIVE))
    heard, missed = [], []
    subscription = listener.create_subscription(
        Header,
        POLICY_ALIVE.name,
        heard.append,
        subscriber_qos(POLICY_ALIVE, with_deadline=True),
        event_callbacks=SubscriptionEventCallbacks(deadline=missed.append),
    )
    spinner = Spinner(listener)
    wait_for_matched(spinner, [publisher], [subscription])
    publisher.publish(to_header(1))
    assert spinner.spin_until(lambda: bool(heard), 5.0)
    assert spinner.spin_until(lambda: bool(missed), 5.0)
    spinner.close()


def test_the_file_for_ros2_bag_record_asks_for_what_is_offered_as_deep_as_our_recorder():
    told = load_yaml(ROOT / "config/bag_qos.yaml")
    recorded = {f"/{topic.name}": topic for topic in recorded_topics(CAMERAS)}
    assert {*told} == {*recorded}
    for name, values in told.items():
        asked = QoSProfile(
            history=HistoryPolicy.get_from_short_key(values["history"]),
            depth=values["depth"],
            reliability=ReliabilityPolicy.get_from_short_key(values["reliability"]),
            durability=DurabilityPolicy.get_from_short_key(values["durability"]),
        )
        topic = recorded[name]
        assert qos_check_compatible(publisher_qos(topic), asked)[0] != QoSCompatibility.ERROR
        assert (asked.depth, asked.durability) == (deep(topic), subscriber_qos(topic).durability)
