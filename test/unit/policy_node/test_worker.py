"""One inference after the other, the newest observation first, and no death in silence."""

import threading
from dataclasses import dataclass, field

import pytest
from contracts.policy_factories import make_observation
from hypothesis import given
from hypothesis import strategies as st

from policy_node.worker import InferenceWorker, Question
from so101.errors import ObservationError
from so101.policies.hold_policy import HoldPolicy

PATIENCE_S = 20.0


@dataclass
class Gated(HoldPolicy):
    """A policy that infers when it is let, and says what it saw."""

    problems: dict = field(default_factory=dict)
    seen: list = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.has_begun, self.may_go = threading.Semaphore(0), threading.Semaphore(0)

    def infer(self, observation, **options):
        self.has_begun.release()
        assert self.may_go.acquire(timeout=PATIENCE_S)
        self.seen.append(observation.stamp_ns)
        if observation.stamp_ns in self.problems:
            raise self.problems[observation.stamp_ns]
        return super().infer(observation, **options)

    def reset(self):
        self.seen.append("reset")


class Asked:
    """A worker, what it was asked, and a way to wait for what it does."""

    def __init__(self, **problems):
        self.now_ns = 0
        self.news = threading.Semaphore(0)
        self.worker = InferenceWorker(self.news.release, lambda: self.now_ns)
        self.policy = Gated(problems={int(k[1:]): v for k, v in problems.items()})

    def ask(self, stamp_ns, policy=None):
        observation = make_observation(stamp_ns=stamp_ns)
        self.worker.ask(
            Question(actor=policy or self.policy, observation=observation, asked_ns=self.now_ns)
        )

    def begin(self, stamp_ns):
        """Ask, and wait until the policy infers."""
        self.ask(stamp_ns)
        assert self.policy.has_begun.acquire(timeout=PATIENCE_S)

    def go_on(self, inferences=1):
        self.policy.may_go.release(inferences)

    def answer(self):
        assert self.news.acquire(timeout=PATIENCE_S)
        return self.worker.take()


@pytest.fixture
def make():
    made = []

    def make_one(**problems):
        made.append(Asked(**problems))
        return made[-1]

    yield make_one
    for one in made:
        one.go_on(100)
        one.worker.close()


def stamp_of(answer):
    return answer.question.observation.stamp_ns


def test_who_asks_does_not_wait_and_is_told(make):
    asked = make()
    asked.begin(1)
    assert asked.worker.take() is None
    asked.go_on()
    answer = asked.answer()
    assert (stamp_of(answer), answer.error, answer.bug) == (1, None, "")
    assert answer.inference.chunk.stamp_ns == 1
    assert asked.worker.take() is None


def test_while_one_is_in_flight_only_the_newest_waits(make):
    asked = make()
    asked.begin(1)
    for stamp_ns in (2, 3, 4):
        asked.ask(stamp_ns)
    asked.go_on(2)
    assert [stamp_of(asked.answer()) for _ in range(2)] == [1, 4]
    assert asked.policy.seen == ["reset", 1, 4]


def test_an_answer_is_owed_from_the_question_until_it_is_taken_or_dropped(make):
    asked = make()
    assert not asked.worker.is_owing
    asked.begin(1)
    assert asked.worker.is_owing
    asked.go_on()
    assert asked.news.acquire(timeout=PATIENCE_S)
    assert asked.worker.is_owing
    asked.worker.take()
    assert not asked.worker.is_owing
    asked.begin(2)
    asked.worker.forget()
    assert not asked.worker.is_owing
    asked.ask(3)
    assert asked.worker.is_owing


def test_what_is_dropped_while_it_is_in_flight_gives_no_answer(make):
    """Nor does what waits; the next episode's policy is asked afterwards, and reset first."""
    asked = make()
    asked.begin(1)
    asked.ask(2)
    asked.worker.forget()
    other = Gated()
    other.may_go.release()
    asked.ask(3, other)
    asked.go_on()
    assert stamp_of(asked.answer()) == 3
    assert asked.worker.take() is None
    assert (asked.policy.seen, other.seen) == (["reset", 1], ["reset", 3])


def test_an_answer_that_nobody_took_is_dropped_with_its_episode(make):
    asked = make()
    asked.ask(1)
    asked.go_on()
    assert asked.news.acquire(timeout=PATIENCE_S)
    asked.worker.forget()
    assert asked.worker.take() is None


def test_a_problem_is_an_answer_and_a_bug_comes_with_its_traceback(make):
    asked = make(_1=ObservationError("no image of front"), _2=ZeroDivisionError("by nothing"))
    asked.go_on(3)
    asked.ask(1)
    answer = asked.answer()
    assert (answer.inference, str(answer.error), answer.bug) == (None, "no image of front", "")
    asked.ask(2)
    answer = asked.answer()
    assert answer.inference is None
    assert "by nothing" in str(answer.error)
    assert "Traceback" in answer.bug and "in infer" in answer.bug
    asked.ask(3)
    assert asked.answer().inference is not None


def test_it_tells_how_long_things_take(make):
    asked = make()
    assert asked.worker.busy_s() == 0.0
    asked.now_ns = 5_000_000
    asked.begin(1)
    asked.ask(2)
    asked.now_ns = 45_000_000
    assert asked.worker.busy_s() == pytest.approx(0.04)
    asked.worker.forget()  # it hangs all the same
    assert asked.worker.busy_s() == pytest.approx(0.04)
    asked.ask(3)
    asked.go_on()
    assert asked.policy.has_begun.acquire(timeout=PATIENCE_S)
    asked.now_ns = 75_000_000
    asked.go_on()
    answer = asked.answer()
    assert (answer.waited_ms, answer.inference_ms) == (pytest.approx(0.0), pytest.approx(30.0))
    assert asked.worker.busy_s() == 0.0


def test_closing_it_ends_its_thread(make):
    asked = make()
    asked.worker.close()
    asked.ask(1)
    assert not asked.policy.has_begun.acquire(timeout=0.05)


@given(steps=st.lists(st.sampled_from(["ask", "finish", "forget"]), max_size=25))
def test_whatever_happens_answers_are_in_order_each_once_and_of_the_present_episode(steps):
    asked, in_flight, waiting, episode, newest = Asked(), None, None, 0, 0
    for step in steps:
        if step == "ask":
            newest += 1
            if in_flight is None:
                asked.begin(newest)
                in_flight = (newest, episode)
            else:
                asked.ask(newest)
                waiting = newest
        elif step == "forget":
            asked.worker.forget()
            episode, waiting = episode + 1, None
        elif in_flight is not None:
            asked.go_on()
            (stamp_ns, began), in_flight = in_flight, None
            if began == episode:
                assert stamp_of(asked.answer()) == stamp_ns
            if waiting is not None:
                assert asked.policy.has_begun.acquire(timeout=PATIENCE_S)
                in_flight, waiting = (waiting, episode), None
        assert asked.worker.take() is None
    asked.go_on(100)
    asked.worker.close()
