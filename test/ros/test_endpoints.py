"""Endpoints publish, hear and serve by the topic table; bad messages and refusals stop nobody."""

import os
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray
from std_srvs.srv import SetBool, Trigger

from so101.clock import NS_PER_S
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource
from so101.errors import BagError, ConfigError, SessionError, TrajectoryError
from so101.events import ControlEvent
from so101.robot import JOINTS
from so101.ros.convert import to_text
from so101.ros.endpoints import Endpoints
from so101.ros.interfaces import interface_class
from so101.ros.spin import Spinner, wait_for_matched
from so101.services import SERVICES
from so101.topics import CONTROL_SOURCE, LABEL, POLICY_TRAJECTORY, TASK, recorded_topics

EVENT = ControlEvent(stamp_ns=7, source=ControlSource.POLICY, device="policy", decision_ticks=8)


@pytest.fixture
def node(make_node):
    return make_node("node")


@pytest.fixture
def endpoints(node):
    return Endpoints(node)


@pytest.fixture
def spinner(node):
    spinner = Spinner(node)
    yield spinner
    spinner.close()


def test_every_type_of_the_tables_exists():
    for topic in recorded_topics(("wrist", "front")):
        assert interface_class(topic.type).__name__ == topic.type.split("/")[-1]
    for service in SERVICES.values():
        assert interface_class(service.type) in (Trigger, SetBool)


def test_an_event_arrives_as_it_was_told(endpoints, spinner):
    heard = []
    endpoints.hear(CONTROL_SOURCE, ControlEvent, heard.append)
    endpoints.offer(CONTROL_SOURCE)
    endpoints.tell(CONTROL_SOURCE, EVENT)
    assert spinner.spin_until(lambda: bool(heard), 5.0)
    assert heard == [EVENT]


def test_a_trajectory_names_its_source_or_who_speaks(endpoints, spinner):
    heard = []
    endpoints.follow(POLICY_TRAJECTORY, heard.append)
    endpoints.offer(POLICY_TRAJECTORY)
    wish = JointTrajectory(
        stamp_ns=7, joints=JOINTS, times_ns=(NS_PER_S,), positions=np.zeros((1, 6))
    )
    endpoints.command(POLICY_TRAJECTORY, wish)
    endpoints.command(POLICY_TRAJECTORY, replace(wish, source="policy"))
    assert spinner.spin_until(lambda: len(heard) == 2, 5.0)
    assert [one.source for one in heard] == [f"/node {os.getpid()}", "policy"]


def test_offering_twice_makes_one_publisher(endpoints, node):
    endpoints.offer(TASK, TASK)
    before = len(list(node.publishers))
    endpoints.offer(TASK)
    assert len(list(node.publishers)) == before


def test_a_message_that_is_not_ours_is_dropped_and_the_next_one_heard(endpoints, node, spinner):
    heard = []
    endpoints.hear(CONTROL_SOURCE, ControlEvent, heard.append)
    endpoints.offer(CONTROL_SOURCE)
    wait_for_matched(spinner, [endpoints._publishers[CONTROL_SOURCE.name]])
    endpoints.publish(CONTROL_SOURCE, DiagnosticArray())
    spinner.spin_for(0.05)
    endpoints.tell(CONTROL_SOURCE, EVENT)
    assert spinner.spin_until(lambda: bool(heard), 5.0)
    assert heard == [EVENT]


@pytest.mark.parametrize("error", [BagError, ConfigError, SessionError, TrajectoryError])
def test_a_callback_that_cannot_read_a_message_stops_nobody(endpoints, spinner, error):
    heard = []

    def read(message):
        heard.append(message.data)
        raise error("not ours")

    endpoints.listen(TASK, read)
    endpoints.offer(TASK)
    endpoints.publish(TASK, to_text("a"))
    assert spinner.spin_until(lambda: len(heard) == 1, 5.0)


@pytest.mark.filterwarnings("ignore:Deprecated in favor of:DeprecationWarning")  # rclpy's own
def test_a_bug_in_a_callback_is_not_swallowed(endpoints, spinner):
    def read(message):
        raise ZeroDivisionError

    endpoints.listen(TASK, read)
    endpoints.offer(TASK)
    endpoints.publish(TASK, to_text("a"))
    with pytest.raises(ZeroDivisionError):
        spinner.spin_until(lambda: False, 5.0)


def test_raw_bytes_pass_untouched(endpoints, spinner):
    heard = []
    endpoints.read(LABEL, heard.append)
    endpoints.offer(LABEL)
    publisher = endpoints._publishers[LABEL.name]
    wait_for_matched(spinner, [publisher])
    endpoints.publish(LABEL, DiagnosticArray())
    assert spinner.spin_until(lambda: bool(heard), 5.0)
    assert isinstance(heard[0], bytes)


def call(node, spinner, name, request):
    client = node.create_client(interface_class(SERVICES[name].type), name)
    wait_for_matched(spinner, clients=[client])
    future = client.call_async(request)
    assert spinner.spin_until(future.done, 5.0)
    return future.result()


def test_services_answer_in_words(endpoints, node, spinner):
    asked = []
    endpoints.trigger("arm/recover", lambda: "recovered")
    endpoints.switch("arm/arm", lambda value: asked.append(value) or f"{value}")
    answer = call(node, spinner, "arm/recover", Trigger.Request())
    assert (answer.success, answer.message) == (True, "recovered")
    for value in (True, False):
        answer = call(node, spinner, "arm/arm", SetBool.Request(data=value))
        assert (answer.success, answer.message) == (True, str(value))
    assert asked == [True, False]


def test_a_refusal_says_why(endpoints, node, spinner):
    def refuse():
        raise SessionError("no episode is running")

    endpoints.trigger("episode/success", refuse)
    answer = call(node, spinner, "episode/success", Trigger.Request())
    assert (answer.success, answer.message) == (False, "no episode is running")
