"""The spinner runs everything a node has, loses nothing, wakes and ends when told.

It rests on rclpy's EventsExecutor, which is experimental: a new rclpy that changes it fails here.
"""

import threading
import time

import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from so101.errors import SessionError
from so101.ros.convert import from_joint_command, to_joint_command, to_text
from so101.ros.qos import DEEP, publisher_qos, subscriber_qos
from so101.ros.spin import Spinner, wait_for_matched
from so101.topics import JOINT_COMMANDS, LABEL


@pytest.fixture
def node(make_node):
    return make_node("node")


@pytest.fixture
def spinner(node):
    spinner = Spinner(node)
    yield spinner
    spinner.close()


def echo(node, topics, heard):
    """Publish and hear some text topics on one node; return the publishers."""
    for topic in topics:
        node.create_subscription(String, topic, lambda m: heard.append(m.data), 100)
    return [node.create_publisher(String, topic, 100) for topic in topics]


def test_every_message_runs_once_and_in_order(node, spinner):
    heard = []
    publishers = echo(node, ("a", "b"), heard)
    wait_for_matched(spinner, publishers)
    sent = [f"{name}{i}" for i in range(20) for name in "ab"]
    for text in sent:
        publishers["ab".index(text[0])].publish(to_text(text))
    assert spinner.spin_until(lambda: len(heard) >= len(sent), 5.0)
    spinner.spin_for(0.02)
    for topic in "ab":
        assert [text for text in heard if text[0] == topic] == [f"{topic}{i}" for i in range(20)]


def test_drain_runs_everything_that_has_arrived_and_does_not_wait(node, spinner):
    heard = []
    (publisher,) = echo(node, ("a",), heard)
    wait_for_matched(spinner, [publisher])
    spinner.drain()
    for i in range(10):
        publisher.publish(to_text(str(i)))
    assert spinner.spin_until(lambda: bool(heard), 5.0)
    time.sleep(0.05)  # the middleware's own thread delivers
    spinner.drain()
    assert heard == [str(i) for i in range(10)]
    start = time.monotonic()
    for _ in range(20):
        spinner.drain()
    assert time.monotonic() - start < 0.5


def test_raw_bytes_of_a_burst_all_arrive(make_node):
    talker, recorder = make_node("talker"), make_node("recorder")
    publisher = talker.create_publisher(
        JointState, JOINT_COMMANDS.name, publisher_qos(JOINT_COMMANDS)
    )
    heard = []
    subscription = recorder.create_subscription(
        JointState,
        JOINT_COMMANDS.name,
        heard.append,
        subscriber_qos(JOINT_COMMANDS, DEEP),
        raw=True,
    )
    spinner = Spinner(recorder)
    wait_for_matched(spinner, [publisher], [subscription])
    positions = from_joint_command(to_joint_command(0, [0.0] * 6))[1]
    for stamp_ns in range(DEEP):  # nobody takes anything meanwhile
        publisher.publish(to_joint_command(stamp_ns, positions))
    assert spinner.spin_until(lambda: len(heard) == DEEP, 10.0)
    assert all(isinstance(message, bytes) for message in heard)
    spinner.close()


def test_services_clients_and_timers_run(make_node):
    server, client = make_node("server"), make_node("client")

    def serve(request, response):
        response.success, response.message = True, "done"
        return response

    server.create_service(Trigger, "work", serve)
    caller = client.create_client(Trigger, "work")
    ticks = []
    client.create_timer(0.005, lambda: ticks.append(1))
    spinner = Spinner(server, client)
    wait_for_matched(spinner, clients=[caller])
    future = caller.call_async(Trigger.Request())
    assert spinner.spin_until(future.done, 5.0)
    assert future.result().message == "done"
    assert spinner.spin_until(lambda: len(ticks) > 3, 5.0)
    spinner.close()


def test_interfaces_made_while_spinning_are_served(node, spinner):
    spinner.spin_for(0.02)
    heard = []
    (publisher,) = echo(node, ("late",), heard)
    wait_for_matched(spinner, [publisher])
    publisher.publish(to_text("x"))
    assert spinner.spin_until(lambda: heard == ["x"], 5.0)


def test_waiting_ends_on_time(spinner):
    start = time.monotonic()
    assert not spinner.spin_until(lambda: False, 0.05)
    assert 0.05 <= time.monotonic() - start < 1.0


@pytest.mark.parametrize("how", ["stop", "shutdown"])
def test_spin_ends_when_told_from_another_thread(spinner, ros_context, how):
    end = spinner.stop if how == "stop" else ros_context.shutdown
    timer = threading.Timer(0.05, end)
    timer.start()
    start = time.monotonic()
    spinner.spin()
    assert time.monotonic() - start < 2.0
    assert spinner.is_stopped
    spinner.drain()
    spinner.spin_once(1.0)  # nothing happens any more
    assert not spinner.spin_until(lambda: False, 5.0)
    assert time.monotonic() - start < 2.0
    timer.join()


def test_wake_makes_a_waiting_spinner_look_again(spinner):
    done = []
    waits = []

    def work():
        time.sleep(0.03)
        done.append(time.monotonic())
        spinner.wake()

    for _ in range(5):
        done.clear()
        thread = threading.Thread(target=work)
        thread.start()
        assert spinner.spin_until(lambda: bool(done), 5.0)
        waits.append(time.monotonic() - done[0])
        thread.join()
    assert min(waits) < 0.02  # without waking it, about 0.07 s


# rclpy reports the place through a logger method that it has deprecated itself
@pytest.mark.filterwarnings("ignore:Deprecated in favor of:DeprecationWarning")
def test_an_exception_in_a_callback_is_not_swallowed(node, spinner):
    def fail():
        raise ValueError("broken callback")

    node.create_timer(0.001, fail)
    with pytest.raises(ValueError, match="broken callback"):
        spinner.spin_for(5.0)


def test_matching_names_who_is_missing(node, spinner):
    lonely = node.create_publisher(String, LABEL.name, 1)
    with pytest.raises(SessionError, match="label"):
        wait_for_matched(spinner, [lonely], timeout_s=0.05)
