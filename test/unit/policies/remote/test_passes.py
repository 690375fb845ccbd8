"""Laws of the thread that infers: in order, one at a time, and nothing ends it but its end."""

import threading
import time
from concurrent.futures import CancelledError
from queue import Queue

import pytest
from contracts.policy_factories import make_observation
from serving import SHA, SlowPolicy

from so101.policies.checkpoints.live_versions import LiveVersions
from so101.policies.remote.server.batching import Job
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.passes import Passes
from so101.policies.remote.wire.messages import Answer, Code, InferRequest


class Rig:
    """Passes with one policy that waits to be let, and what it answered."""

    def __init__(self, **config):
        self.policy = SlowPolicy()
        self.answers = Queue()
        self.quiet = threading.Semaphore(0)
        versions = LiveVersions(Served(policy=self.policy, sha256=SHA))
        self.passes = Passes(
            versions,
            ServerConfig(port=0, **config),
            peers=lambda: 2,
            on_quiet=self.quiet.release,
        )

    def __enter__(self):
        self.passes.start()
        assert self.quiet.acquire(timeout=5.0)
        return self

    def __exit__(self, *error):
        self.policy.gate.set()
        self.passes.stop()

    def put(self, owner, number=1, arrived_s=float("inf")):
        request = InferRequest(id=number, observation=make_observation(), timeout_ms=1e3)
        job = Job(owner=owner, request=request, arrived_s=arrived_s, answer=self.answers.put)
        return self.passes.put(job)

    def answer(self):
        return self.answers.get(timeout=5.0)


def test_it_is_idle_only_while_nothing_waits_or_runs():
    with Rig() as rig:
        assert rig.passes.is_idle
        rig.put("robot")
        assert rig.policy.is_inside.wait(5.0)
        assert len(rig.passes) == 0
        assert not rig.passes.is_idle  # it runs
        rig.policy.gate.set()
        assert isinstance(rig.answer(), Answer)
        assert rig.quiet.acquire(timeout=5.0)
        assert rig.passes.is_idle
        assert rig.passes.count == 1


def test_an_errand_waits_for_the_pass_that_runs_and_comes_before_the_next():
    with Rig() as rig:
        rig.put("robot")
        assert rig.policy.is_inside.wait(5.0)
        seen = []
        done = rig.passes.run(lambda: seen.append(len(rig.policy.inferred)))
        rig.put("robot", 2)
        assert not seen
        rig.policy.gate.set()
        done.result(5.0)
        assert seen == [1]
        assert [rig.answer().id, rig.answer().id] == [1, 2]


def test_an_errand_that_fails_is_told_to_who_asked_and_ends_nothing():
    def fail():
        raise ValueError("no reset")

    with Rig() as rig:
        rig.policy.gate.set()
        with pytest.raises(ValueError, match="no reset"):
            rig.passes.run(fail).result(5.0)
        rig.put("robot")
        assert isinstance(rig.answer(), Answer)


def test_a_newer_request_takes_the_place_of_an_older_one_and_who_is_gone_is_forgotten():
    with Rig() as rig:
        rig.put("busy")
        assert rig.policy.is_inside.wait(5.0)
        assert rig.put("robot", 1) is None
        assert rig.put("robot", 2).request.id == 1
        rig.put("gone", 3)
        rig.passes.drop("gone")
        rig.policy.gate.set()
        assert [rig.answer().id, rig.answer().id] == [1, 2]
        assert rig.quiet.acquire(timeout=5.0)
        assert rig.answers.empty()


def test_what_waited_too_long_is_not_inferred():
    with Rig() as rig:
        rig.policy.gate.set()
        rig.put("robot", arrived_s=float("-inf"))
        assert rig.answer().code is Code.EXPIRED
        assert not rig.policy.inferred


def test_at_the_end_the_pass_that_runs_is_finished_and_who_waits_is_told():
    with Rig() as rig:
        rig.put("robot", 1)
        assert rig.policy.is_inside.wait(5.0)
        rig.put("other", 2)
        never = rig.passes.run(lambda: None)
        ending = threading.Thread(target=rig.passes.stop)
        ending.start()
        while not rig.passes._is_stopping:
            time.sleep(0.001)
        rig.policy.gate.set()
        ending.join(5.0)
        assert isinstance(rig.answer(), Answer)
        assert (rig.answer().id, rig.answers.empty()) == (2, True)
        with pytest.raises(CancelledError):
            never.result(0.0)
