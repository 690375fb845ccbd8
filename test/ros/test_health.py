"""A graph begins only when everybody has come and has found everybody."""

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray
from hypothesis import given
from hypothesis import strategies as st

from so101.events import Event, encode, from_message
from so101.ros.convert import to_event
from so101.ros.endpoints import Endpoints
from so101.ros.health import LISTENS, PUBLISHES, Health, Roll, connections
from so101.ros.spin import Spinner, wait_for_matched
from so101.topics import DIAGNOSTICS, JOINT_STATES, TASK


def report(name, **found):
    """A report; ``out_x=(n, partners)`` publishes /x, ``in_x`` listens to it."""
    keys = {"out": PUBLISHES, "in": LISTENS}
    values = {
        f"{keys[key.split('_')[0]]}/{key.split('_')[1]}": encode(list(pair))
        for key, pair in found.items()
    }
    return to_event(Event(stamp_ns=1, name=name, message="alive", values=values))


def test_a_node_that_was_not_heard_of_is_awaited_by_name():
    roll = Roll(("a", "b"))
    roll.on_diagnostics(report("a"))
    assert not roll.is_complete
    assert roll.missing() == "not heard of yet: b"
    roll.on_diagnostics(report("b"))
    assert roll.is_complete


def test_a_listener_that_has_not_found_its_publisher_is_seen_though_it_does_not_know():
    roll = Roll(("sender", "receiver"))
    roll.on_diagnostics(report("sender", out_x=(1, 0)))
    roll.on_diagnostics(report("receiver", in_x=(1, 0)))
    assert "sender does not reach everybody yet on /x" in roll.missing()
    assert "receiver does not reach everybody yet on /x" in roll.missing()
    roll.on_diagnostics(report("sender", out_x=(1, 1)))
    assert roll.missing() == "receiver does not reach everybody yet on /x"
    roll.on_diagnostics(report("receiver", in_x=(1, 1)))
    assert roll.is_complete


def test_a_roll_that_begins_anew_waits_for_new_reports():
    roll = Roll(("a",))
    roll.on_diagnostics(report("a"))
    roll.begin_anew()
    assert roll.missing() == "not heard of yet: a"


def test_spectators_and_topics_with_one_end_hold_nobody_up():
    roll = Roll(("a",))
    roll.on_diagnostics(report("a", out_x=(1, 3), out_y=(1, 0), in_z=(1, 0)))
    assert roll.is_complete


def test_other_nodes_and_other_diagnostics_say_nothing():
    roll = Roll(("a",))
    roll.on_diagnostics(report("camera", out_x=(1, 0)))
    roll.on_diagnostics(DiagnosticArray())
    foreign = to_event(Event(stamp_ns=1, name="a", values={"temperature": "hot"}))
    roll.on_diagnostics(foreign)
    assert roll.missing() == "not heard of yet: a"


def test_a_graph_of_nobody_is_complete():
    assert Roll(()).is_complete


pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4)


@given(ends=pairs, data=st.data())
def test_complete_means_that_every_pair_has_met(ends, data):
    """Each node has so many publishers and listeners; of all pairs some have met."""
    senders = [(node, k) for node, (out, _) in enumerate(ends) for k in range(out)]
    receivers = [(node, k) for node, (_, heard) in enumerate(ends) for k in range(heard)]
    met = {(s, r): data.draw(st.integers(0, 9)) > 0 for s in senders for r in receivers}
    names = tuple(f"n{node}" for node in range(len(ends)))
    roll = Roll(names)
    for node, name in enumerate(names):
        found = {}
        outs = [sum(met[s, r] for r in receivers) for s in senders if s[0] == node]
        heards = [sum(met[s, r] for s in senders) for r in receivers if r[0] == node]
        if outs:
            found["out_x"] = (len(outs), min(outs))
        if heards:
            found["in_x"] = (len(heards), min(heards))
        roll.on_diagnostics(report(name, **found))
    assert roll.is_complete == all(met.values())


def test_nodes_report_what_they_have_and_whom_they_reach(make_node):
    sender, receiver = make_node("sender"), make_node("receiver")
    spinner = Spinner(receiver, sender)
    sending, receiving = Endpoints(sender), Endpoints(receiver)
    sending.offer(TASK, JOINT_STATES)
    receiving.listen(TASK, lambda message: None)
    Health(sender, sending)
    Health(receiver, receiving)
    heard = []
    receiving.listen(DIAGNOSTICS, lambda m: heard.append(m))
    roll = Roll(("sender", "receiver"))

    def is_complete():
        while heard:
            roll.on_diagnostics(heard.pop())
        return roll.is_complete

    assert spinner.spin_until(is_complete, 10.0)
    task = "/" + TASK.name
    assert connections([sender])[PUBLISHES + task] == (1, 1)
    assert connections([receiver])[LISTENS + task] == (1, 1)
    assert connections([sender, receiver])[PUBLISHES + "/" + JOINT_STATES.name] == (1, 0)
    assert not any(key.endswith(DIAGNOSTICS.name) for key in connections([sender]))
    spinner.close()


def test_two_listeners_in_one_process_count_as_two(make_node):
    first, second = make_node("first"), make_node("second")
    spinner = Spinner(first, second)
    Endpoints(first).listen(TASK, lambda message: None)
    Endpoints(second).listen(TASK, lambda message: None)
    endpoints = Endpoints(first)
    endpoints.offer(TASK)
    wait_for_matched(spinner, [endpoints._publishers[TASK.name]])
    key = LISTENS + "/" + TASK.name
    assert spinner.spin_until(lambda: connections([first, second])[key] == (2, 1), 5.0)
    spinner.close()


def test_a_report_is_an_event(make_node):
    assert from_message(report("a", out_x=(1, 2))).values == {PUBLISHES + "/x": "[1, 2]"}
