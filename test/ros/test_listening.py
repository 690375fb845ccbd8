"""Whoever publishes is heard, also a driver that offers best effort, or it is said why not."""

import time

import pytest

pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

from so101.events import ERROR, Event, from_message
from so101.ros.convert import to_image, to_joint_command, to_text
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.interfaces import interface_class
from so101.ros.observing import observe
from so101.ros.qos import publisher_qos
from so101.ros.spin import Spinner
from so101.ros.taps import Taps
from so101.streams import ObservationConfig
from so101.topics import (
    DIAGNOSTICS,
    JOINT_COMMANDS,
    JOINT_STATES,
    JOY,
    TASK,
    TOPICS,
    camera_info_topic,
    image_topic,
    raw_image_topic,
)

FRONT = image_topic("front")
VOLATILE = QoSProfile(depth=10, durability=DurabilityPolicy.VOLATILE)


@pytest.fixture
def driver(make_node):
    """Somebody else's: what it publishes is not of our table's QoS."""
    node = make_node("usb_cam")

    def publisher(topic, profile=qos_profile_sensor_data):
        return node.create_publisher(interface_class(topic.type), topic.name, profile)

    return publisher


@pytest.fixture
def listener(make_node):
    node = make_node("listener")
    spinner = Spinner(node)
    yield node, Endpoints(node), spinner
    spinner.close()


def state(stamp_ns):
    return to_joint_command(stamp_ns, [0.1] * 6)


def say_until(spinner, publish, holds):
    """Publish again and again, as drivers do, until something holds."""

    def said():
        publish()
        return holds()

    assert spinner.spin_until(said, 10.0)


def test_what_devices_sense_is_marked_so():
    sensed = {topic.name for topic in TOPICS if topic.is_sensed}
    assert sensed == {JOINT_STATES.name, JOY.name}
    assert all(make("x").is_sensed for make in (image_topic, raw_image_topic, camera_info_topic))


def test_an_observation_hears_a_best_effort_camera_and_arm(listener, driver):
    _, endpoints, spinner = listener
    heard = []
    observe(endpoints, ObservationConfig(cameras=("front",)), lambda *sample: heard.append(sample))
    arm, camera = driver(JOINT_STATES), driver(FRONT)

    def publish():
        arm.publish(state(1))
        camera.publish(to_image(1, "front", b"\xff\xd8 a picture"))

    say_until(spinner, publish, lambda: {s[0] for s in heard} == {JOINT_STATES.name, FRONT.name})


def test_whoever_is_reliable_is_still_heard_once(listener, driver, make_node):
    _, endpoints, spinner = listener
    stamps = []
    endpoints.listen(JOINT_STATES, lambda m: stamps.append(m.header.stamp.nanosec))
    loose, strict = driver(JOINT_STATES), driver(JOINT_STATES, publisher_qos(JOINT_STATES))
    say_until(spinner, lambda: loose.publish(state(7)), lambda: 7 in stamps)
    say_until(spinner, lambda: strict.publish(state(8)), lambda: 8 in stamps)
    for stamp in range(100, 200):
        strict.publish(state(stamp))
    assert spinner.spin_until(lambda: 199 in stamps, 10.0)
    assert [stamp for stamp in stamps if stamp >= 100] == list(range(100, 200))


def test_a_command_that_may_be_lost_is_an_error_by_name(listener, driver):
    node, endpoints, spinner = listener
    heard, told = [], []
    endpoints.listen(JOINT_COMMANDS, heard.append)
    Health(node, endpoints)
    endpoints.listen(DIAGNOSTICS, lambda message: told.append(from_message(message)))
    publisher = driver(JOINT_COMMANDS)
    say_until(spinner, lambda: publisher.publish(state(1)), lambda: any(map(is_error, told)))
    (problem,) = {event.message for event in told if is_error(event)}
    assert problem.startswith("joint_commands: somebody is not heard")
    assert "best effort" in problem
    assert heard == []


def is_error(event: Event) -> bool:
    return event.level == ERROR


def test_state_that_is_not_latched_is_an_error_by_name(listener, driver):
    _, endpoints, spinner = listener
    endpoints.listen(TASK, lambda _: None)
    problems = []
    publisher = driver(TASK, VOLATILE)
    say_until(
        spinner,
        lambda: publisher.publish(to_text("pick")),
        lambda: problems.append(endpoints.take_problem()) or any(problems),
    )
    (problem,) = filter(None, problems)
    assert problem == (
        "task: somebody is not heard: it is published volatile, which late nodes miss; "
        "let it be transient local"
    )


def test_the_recorder_takes_a_best_effort_stream_and_counts_both(driver, make_node):
    taps = Taps(make_node("recorder"), (JOINT_STATES, TASK))
    strict = driver(JOINT_STATES, publisher_qos(JOINT_STATES))
    loose = driver(JOINT_STATES)
    taken = []
    drain_until(
        taps,
        taken,
        lambda: len({one.publisher for one in taken}) == 2,
        lambda: (strict.publish(state(1)), loose.publish(state(1))),
    )
    (reliable,) = (
        bytes(one.endpoint_gid)
        for one in taps.node.get_publishers_info_by_topic("/joint_states")
        if one.qos_profile.reliability is ReliabilityPolicy.RELIABLE
    )
    taken.clear()
    for stamp in range(20):
        strict.publish(state(stamp))
    drain_until(taps, taken, lambda: len(of(reliable, taken)) >= 20)
    last = of(reliable, taken)[-20:]
    assert [one.sequence for one in last] == list(range(last[0].sequence, last[0].sequence + 20))
    taps.close()


def of(publisher, taken):
    return [one for one in taken if one.publisher == publisher]


def drain_until(taps, taken, holds, publish=lambda: None):
    end_s = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < end_s
        publish()
        taken += taps.drain(time.time_ns())


def test_reliable_streams_stay_reliable(make_node, driver):
    taps = Taps(make_node("recorder"), (JOINT_STATES,))
    publisher = driver(JOINT_STATES, publisher_qos(JOINT_STATES))
    taken = []
    drain_until(taps, taken, lambda: taken, lambda: publisher.publish(state(1)))
    (asked,) = taps.node.get_subscriptions_info_by_topic("/joint_states")
    assert asked.qos_profile.reliability is ReliabilityPolicy.RELIABLE
    taps.close()
