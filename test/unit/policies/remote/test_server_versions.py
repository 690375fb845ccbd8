"""Over real sockets: an episode keeps its checkpoint, and who trains beside knows of requests."""

import threading
from contextlib import ExitStack

from serving import SHA, Robot, SlowPolicy, serving

from so101.policies.hold_policy import HoldPolicy
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.server import PolicyServer
from so101.policies.remote.wire.messages import Done, Reset
from so101.policies.remote.wire.protocol import pack_message


def sha(number):
    return f"{number:064d}"


def served(number):
    return Served(policy=HoldPolicy(), sha256=sha(number))


def begin(robot):
    robot.last += 1
    robot.socket.send(pack_message(Reset(id=robot.last)))
    assert isinstance(robot.read(), Done)


def test_an_episode_keeps_its_checkpoint_until_the_robot_begins_another():
    with serving(swap_rule="episode") as server, Robot(server) as one, Robot(server) as other:
        assert one.ask().checkpoint == other.ask().checkpoint == SHA
        server.swap(served(1))
        assert one.ask().checkpoint == SHA
        begin(one)
        server.swap(served(2))
        assert (one.ask().checkpoint, other.ask().checkpoint) == (sha(1), SHA)
        with Robot(server) as late:
            assert late.hello.checkpoint == late.ask().checkpoint == sha(2)
        begin(other)
        assert (one.ask().checkpoint, other.ask().checkpoint) == (sha(1), sha(2))


def test_no_more_checkpoints_are_alive_than_are_allowed():
    with serving(swap_rule="episode", max_versions=2) as server:
        with Robot(server) as one, Robot(server) as other:
            one.ask()
            server.swap(served(1))
            begin(other)
            server.swap(served(2))  # both are in use, so it waits
            begin(other)
            assert other.ask().checkpoint == sha(2)
            assert one.ask().checkpoint == SHA
            server.swap(served(3))
            assert other.ask().checkpoint == sha(2)
        with Robot(server) as late:
            assert late.ask().checkpoint == sha(3)


def test_requests_of_several_checkpoints_are_answered_by_their_own():
    slow = SlowPolicy()
    with ExitStack() as stack:
        server = stack.enter_context(serving(slow, swap_rule="episode"))
        one, *later = [stack.enter_context(Robot(server)) for _ in range(3)]
        one.send()
        assert slow.is_inside.wait(5.0)
        server.swap(served(1))
        for robot in later:
            robot.last += 1
            robot.socket.send(pack_message(Reset(id=robot.last)))
            robot.send()
        slow.gate.set()
        assert one.read().checkpoint == SHA
        for robot in later:
            assert isinstance(robot.read(), Done)
            assert robot.read().checkpoint == sha(1)


class Busy:
    """Remembers what it was told, and by whom it can be waited for."""

    def __init__(self):
        self.told, self.is_free = [], threading.Event()

    def __call__(self, is_busy):
        self.told.append(is_busy)
        if is_busy:
            self.is_free.clear()
        else:
            self.is_free.set()


def test_who_trains_beside_is_told_of_every_request_and_its_end():
    busy, slow = Busy(), SlowPolicy()
    server = PolicyServer(Served(policy=slow, sha256=SHA), ServerConfig(port=0), on_busy=busy)
    with HostedServer(server):
        with Robot(server) as robot:
            robot.send()
            assert slow.is_inside.wait(5.0)
            assert busy.told == [True]
            robot.send()  # waits behind the first
            slow.gate.set()
            robot.read()
            robot.read()
            assert busy.is_free.wait(5.0)
        assert busy.told == [True, False] * (len(busy.told) // 2)
        slow.gate.clear()
        slow.is_inside.clear()
        with Robot(server) as robot:
            robot.send()
            assert slow.is_inside.wait(5.0)
            robot.send()
        slow.gate.set()  # the robot is gone, and what it was waiting for with it
        assert busy.is_free.wait(5.0)
        assert busy.told[-1] is False


def test_the_pages_say_how_what_runs_beside_is_and_keep_the_reason_from_strangers():
    with serving() as server:
        metrics = server.metrics
        assert metrics.summary() == "ok\n"
        metrics.notices["learner"] = 'degraded: /data/run: disk "full"\nof bags'
        metrics.beside = {"learner_step": 12.0}
        assert metrics.summary() == "ok\nlearner: degraded\n"
        text = metrics.text()
        assert "disk 'full' of bags" in text
        assert "so101_serve_learner_step 12\n" in text
