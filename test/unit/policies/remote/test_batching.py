"""Laws of the queue: newest wins, nobody is lost, only what agrees is inferred together."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.policy_factories import make_observation
from hypothesis import given
from hypothesis import strategies as st

from so101.action import ChunkPrefix
from so101.policies.remote.server.batching import Job, RequestQueue, agree
from so101.policies.remote.wire.messages import InferRequest

SEEN = make_observation()


def job(owner, number=0, *, arrived_s=0.0, timeout_ms=1000.0, **asked):
    request = InferRequest(id=number, observation=SEEN, timeout_ms=timeout_ms, **asked)
    return Job(owner=owner, request=request, arrived_s=arrived_s, answer=lambda outcome: None)


def test_the_newest_request_of_a_connection_takes_the_place_of_its_older_one():
    queue = RequestQueue()
    first, second = job("a", 1), job("a", 2)
    assert queue.put(first) is None
    assert queue.put(second) is first
    assert queue.take(0.0, 8) == ([], [second])


def test_who_waits_longest_comes_first_also_after_asking_anew():
    queue = RequestQueue()
    for one in (job("a", 1), job("b", 1), job("a", 2)):
        queue.put(one)
    assert [one.owner for one in queue.take(0.0, 1)[1]] == ["a"]


def test_a_request_is_not_inferred_once_its_sender_has_stopped_waiting():
    queue = RequestQueue()
    late, good = job("a", arrived_s=1.0, timeout_ms=50.0), job("b", arrived_s=1.0)
    queue.put(late)
    queue.put(good)
    assert queue.take(1.05, 8) == ([late], [good])
    assert len(queue) == 0


def test_what_a_connection_that_is_gone_waited_for_is_forgotten():
    queue = RequestQueue()
    queue.put(job("a"))
    queue.drop("a")
    queue.drop("b")
    assert queue.take(0.0, 8) == ([], [])


NOISE = np.ones((16, 6), dtype=np.float32)
PREFIX = ChunkPrefix(positions=np.zeros((2, 6)), decided=1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, True),
        ({"noise": NOISE}, {"noise": NOISE * 2}, True),
        ({"noise": NOISE}, {}, False),
        ({"indicator": 1}, {"indicator": 1}, True),
        ({"indicator": 1}, {"indicator": 0}, False),
        ({"indicator": 1}, {}, False),
        ({"guidance": 1.5}, {"guidance": 1.0}, False),
        ({"prefix": PREFIX}, {}, False),
        ({"prefix": PREFIX}, {"prefix": PREFIX}, False),
    ],
)
def test_only_requests_that_agree_are_inferred_together(one, other, expected):
    first, second = job("a", **one).request, job("b", **other).request
    assert agree(first, second) is agree(second, first) is expected


def test_a_batch_is_never_larger_than_allowed():
    queue = RequestQueue()
    for owner in range(5):
        queue.put(job(owner))
    assert [len(queue.take(0.0, 2)[1]) for _ in range(4)] == [2, 2, 1, 0]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "drop"]),
        st.integers(0, 3),
        st.sampled_from([None, 0, 1]),
        st.sampled_from([5.0, 1000.0]),
    ),
    max_size=40,
)


@given(STEPS)
def test_every_request_is_taken_superseded_dropped_or_waits(steps):
    queue, put, out, dropped, now = RequestQueue(), [], [], set(), 0.0
    for number, (step, owner, indicator, timeout_ms) in enumerate(steps):
        now += 0.003
        if step == "put":
            one = job(owner, number, arrived_s=now, indicator=indicator, timeout_ms=timeout_ms)
            put.append(one)
            out += [older] if (older := queue.put(one)) else []
        elif step == "drop":
            dropped |= {one for one in put if one.owner == owner and one not in out}
            queue.drop(owner)
        else:
            expired, batch = queue.take(now, 2)
            assert all(one.has_expired(now) for one in expired)
            assert not any(one.has_expired(now) for one in batch)
            assert all(agree(batch[0].request, one.request) for one in batch[1:])
            assert batch or not len(queue)
            out += expired + batch
    out += queue.clear()
    assert len(out) == len(set(out))
    assert set(out) | dropped == set(put)
    assert not set(out) & dropped


def test_a_deadline_counts_from_the_arrival():
    request = replace(job("a").request, timeout_ms=100.0)
    one = Job(owner="a", request=request, arrived_s=5.0, answer=lambda outcome: None)
    assert not one.has_expired(5.0999)
    assert one.has_expired(5.1001)
