"""Another thread's work is done in the node's own thread, and what goes wrong there is heard."""

import threading

import pytest

pytest.importorskip("rclpy")

from so101.ros.handover import Handover
from so101.ros.spin import Spinner


@pytest.fixture
def node(make_node):
    return make_node("node")


@pytest.fixture
def spinner(node):
    spinner = Spinner(node)
    yield spinner
    spinner.close()


def from_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5.0)


def test_it_runs_in_the_thread_that_spins(node, spinner):
    threads = []
    handover = Handover(node, lambda: threads.append(threading.current_thread()))
    asked = threading.Thread(target=lambda: [handover.ask() for _ in range(3)])
    asked.start()
    assert spinner.spin_until(lambda: len(threads) == 3, 5.0)
    assert set(threads) == {threading.current_thread()}


# rclpy reports the place through a logger method that it has deprecated itself
@pytest.mark.filterwarnings("ignore:Deprecated in favor of:DeprecationWarning")
def test_a_bug_leaves_the_spin(node, spinner):
    def broken():
        raise LookupError("no such drawer")

    handover = Handover(node, broken)
    from_a_thread(handover.ask)
    with pytest.raises(LookupError, match="no such drawer"):
        spinner.spin_for(5.0)


def test_where_nobody_spins_nothing_happens(node):
    calls = []
    Handover(node, lambda: calls.append(1)).ask()
    assert calls == []
