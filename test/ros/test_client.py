"""The command line's client passes on what services say and what topics tell."""

import threading

import pytest

pytest.importorskip("rclpy")

from so101.episode import ControlSource
from so101.errors import ConfigError, SessionError
from so101.events import ControlEvent
from so101.ros.client import GraphClient
from so101.ros.endpoints import Endpoints
from so101.ros.health import Roll
from so101.ros.spin import DISCOVERY_S, Spinner
from so101.topics import CONTROL_SOURCE, DIAGNOSTICS


@pytest.fixture
def graph(make_node):
    """A node with two services and one event, spinning in a thread."""
    node = make_node("graph", namespace="robot1")
    endpoints = Endpoints(node)

    def refuse():
        raise SessionError("no episode is running")

    endpoints.trigger("episode/success", refuse)
    endpoints.switch("arm/arm", lambda value: "armed" if value else "disarmed")
    endpoints.offer(CONTROL_SOURCE)
    endpoints.tell(CONTROL_SOURCE, ControlEvent(stamp_ns=7, source=ControlSource.HOLD))
    spinner = Spinner(node)
    thread = threading.Thread(target=spinner.spin)
    thread.start()
    yield
    spinner.stop()
    thread.join()
    spinner.close()


@pytest.fixture
def client(monkeypatch, ros_domain):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with GraphClient(namespace="robot1") as client:
        yield client


def test_answers_and_refusals(graph, client):
    assert client.call("arm/arm", True) == "armed"
    assert client.call("arm/arm", False) == "disarmed"
    with pytest.raises(SessionError, match=r"episode/success: no episode is running"):
        client.call("episode/success")


def test_a_latched_event_is_waited_for(graph, client):
    event = client.wait_for(CONTROL_SOURCE, ControlEvent)
    assert event == ControlEvent(stamp_ns=7, source=ControlSource.HOLD)
    with pytest.raises(SessionError, match="control_source: no such event"):
        client.wait_for(
            CONTROL_SOURCE,
            ControlEvent,
            lambda event: event.source is ControlSource.POLICY,
            timeout_s=0.1,
        )


def test_wrong_requests_are_refused_before_anything_is_sent(client):
    with pytest.raises(ConfigError, match="unknown service 'arm/amr'"):
        client.call("arm/amr")
    with pytest.raises(ConfigError, match="true or false"):
        client.call("arm/arm")


def test_a_graph_that_is_not_there(client):
    with pytest.raises(SessionError, match="is the graph running"):
        client.call("session/pause", True, timeout_s=0.1)


def test_a_client_that_answers_the_roll_is_missed_until_it_hears(graph, make_node, client):
    caller = make_node("caller", namespace="robot1")
    roll, spinner = Roll(("so101_client",)), Spinner(caller)
    Endpoints(caller).listen(DIAGNOSTICS, roll.on_diagnostics)
    assert roll.missing() == "not heard of yet: so101_client"
    client.follow(CONTROL_SOURCE, ControlEvent, lambda event: None)
    client.answer_roll()
    thread = threading.Thread(target=client.spinner.spin)
    thread.start()
    assert spinner.spin_until(lambda: roll.is_complete, DISCOVERY_S)
    spinner.close()
    client.spinner.stop()
    thread.join()
