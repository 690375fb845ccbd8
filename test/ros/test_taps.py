"""Taps take every message as it was sent, in order, with the publisher's own numbers."""

import time

import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message

from so101.ros import taps as taps_module
from so101.ros.convert import to_joint_command, to_text
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner, wait_for_matched
from so101.ros.taps import Tapped, Taps, arrived_before, in_order
from so101.topics import JOINT_COMMANDS, JOINT_STATES, LABEL, TASK

MESSAGES = 2000


@pytest.fixture
def sender(make_node):
    node = make_node("sender")
    endpoints = Endpoints(node)
    endpoints.offer(JOINT_COMMANDS, TASK)
    spinner = Spinner(node)
    yield endpoints, node, spinner
    spinner.close()


@pytest.fixture
def taps(make_node, sender):
    taps = Taps(make_node("recorder", namespace=""), (JOINT_COMMANDS, TASK))
    _, node, spinner = sender
    wait_for_matched(spinner, list(node.publishers)[-2:])
    yield taps
    taps.close()


def drain(taps, spinner, count):
    taken = []
    spinner.spin_until(
        lambda: bool(taken.extend(taps.drain(time.time_ns()))) or len(taken) >= count, 10.0
    )
    return taken


def command(k):
    return to_joint_command(k + 1, [float(k)] * 6)


def test_two_thousand_messages_arrive_in_order_and_without_a_gap(sender, taps):
    endpoints, _, spinner = sender
    taken = []
    for k in range(MESSAGES):
        endpoints.publish(JOINT_COMMANDS, command(k))
        if k % 100 == 99:
            taken += taps.drain(time.time_ns())
    taken += drain(taps, spinner, MESSAGES - len(taken))
    assert len(taken) == MESSAGES
    first = taken[0].sequence
    assert [message.sequence for message in taken] == list(range(first, first + MESSAGES))
    assert [message.received_ns for message in taken] == sorted(m.received_ns for m in taken)
    assert len({message.publisher for message in taken}) == 1
    assert taken[0].publisher


def test_bytes_are_those_that_were_sent(sender, taps):
    """Fields are compared: padding behind the last one is garbage."""
    endpoints, _, spinner = sender
    sent = [command(k) for k in range(3)]
    for message in sent:
        endpoints.publish(JOINT_COMMANDS, message)
    for tapped, message in zip(drain(taps, spinner, 3), sent, strict=True):
        assert tapped.topic is JOINT_COMMANDS
        assert deserialize_message(tapped.data, type(message)) == message


def test_topics_are_merged_in_the_order_of_arrival(sender, taps):
    endpoints, _, spinner = sender
    for k in range(20):
        endpoints.publish(JOINT_COMMANDS, command(k))
    drained = drain(taps, spinner, 20)
    endpoints.publish(TASK, to_text("pick"))
    drained += drain(taps, spinner, 1)
    assert [m.topic.name for m in drained] == [JOINT_COMMANDS.name] * 20 + [TASK.name]


def test_an_answer_is_never_taken_before_its_question(sender, taps, monkeypatch):
    """Both arrive in the middle of a round, when the question's topic is emptied already."""
    endpoints, _, spinner = sender
    rounds = []

    def take_and_be_late(subscription):
        found = take_all(subscription)
        if not rounds:
            rounds.append(len(found))
            endpoints.publish(JOINT_COMMANDS, command(0))
            endpoints.publish(TASK, to_text("pick"))
            time.sleep(0.2)
        return found

    take_all = taps_module._take_all
    monkeypatch.setattr(taps_module, "_take_all", take_and_be_late)
    first = taps.drain(time.time_ns())
    second = drain(taps, spinner, 2)
    assert (rounds, first) == ([0], [])
    assert [message.topic for message in second] == [JOINT_COMMANDS, TASK]


def test_a_latched_message_reaches_taps_that_come_later(sender, make_node):
    endpoints, _, spinner = sender
    endpoints.publish(TASK, to_text("pick"))
    late = Taps(make_node("late"), (TASK,))
    (message,) = drain(late, spinner, 1)
    assert b"pick" in message.data
    late.close()


def test_nothing_there_is_nothing_taken(make_node):
    taps = Taps(make_node("alone"), (LABEL,))
    assert taps.drain(time.time_ns()) == []
    taps.close()


def test_who_was_sent_again_keeps_its_followers_waiting():
    received = {10: 500, 11: 1200, 12: 600, 13: 700}  # 11 was lost at first
    messages = [
        Tapped(topic=JOINT_STATES, data=b"", received_ns=at, sequence=n, publisher=b"a")
        for n, at in received.items()
    ]
    assert arrived_before(messages, 1000) == 1
    assert arrived_before(messages, 1200) == 4
    assert [one.sequence for one in in_order(messages)] == [10, 11, 12, 13]
