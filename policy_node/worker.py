"""Inference in a thread of its own, so that who receives and signs for life never waits. No ROS.

One inference is in flight. What comes out is taken by one reader, in the order in which it was
asked for.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from so101.clock import seconds
from so101.errors import So101Error
from so101.observation import Observation
from so101.policies.policy import Inference, Policy
from so101.policies.threads import use_one_thread


@dataclass(frozen=True, kw_only=True)
class Question:
    """What an inference starts from.

    Attributes:
        actor: The policy of the episode; it is reset before the first observation of its own.
        observation: What it sees.
        ages_ms: Age of every sample behind it, by topic [ms].
        asked_ns: When it was asked, monotonic [ns].
    """

    actor: Policy
    observation: Observation
    ages_ms: Mapping[str, float] = field(default_factory=dict)
    asked_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How an inference ended.

    Attributes:
        question: What was asked.
        inference: What came of it; None when nothing did.
        error: Why nothing did; None when something did.
        bug: The traceback of what no policy should raise; empty otherwise.
        waited_ms: From the question to the beginning [ms].
        inference_ms: From the beginning to the end [ms].
    """

    question: Question
    inference: Inference | None = None
    error: Exception | None = None
    bug: str = ""
    waited_ms: float = 0.0
    inference_ms: float = 0.0


class InferenceWorker:
    """Asks policies in one thread; every method may be called from any other one."""

    def __init__(
        self, on_answer: Callable[[], None], now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Start the thread.

        Args:
            on_answer: Called in the thread when there is something to `take`.
            now_ns: Monotonic time [ns].
        """
        self._on_answer = on_answer
        self._now_ns = now_ns
        self._changed = threading.Condition()
        self._waiting: Question | None = None
        self._asked: Question | None = None
        self._began_ns: int | None = None
        self._answers: deque[Answer] = deque()
        self._is_open = True
        self._thread = threading.Thread(target=self._work, daemon=True, name="inference")
        self._thread.start()

    def ask(self, question: Question) -> None:
        """Let a policy infer; after the inference in flight, instead of what waits for it."""
        with self._changed:
            self._waiting = question
            self._changed.notify()

    def take(self) -> Answer | None:
        """Return the oldest answer that was not taken yet, or None."""
        with self._changed:
            return self._answers.popleft() if self._answers else None

    def forget(self) -> None:
        """Drop what waits, what is in flight and what was not taken: their episode is over."""
        with self._changed:
            self._waiting = self._asked = None
            self._answers.clear()

    @property
    def is_owing(self) -> bool:
        """Tell whether an answer is still to be taken."""
        with self._changed:
            return bool(self._waiting or self._asked or self._answers)

    def busy_s(self) -> float:
        """Return for how long the inference in flight has been running, dropped or not [s]."""
        with self._changed:
            return 0.0 if self._began_ns is None else seconds(self._now_ns() - self._began_ns)

    def close(self, patience_s: float = 1.0) -> None:
        """End the thread; one that hangs ends with the process.

        Args:
            patience_s: How long the inference in flight is waited for [s].
        """
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join(patience_s)

    def _work(self) -> None:
        use_one_thread()  # OpenMP counts its threads for each thread that asks
        actor: Policy | None = None
        while (question := self._next()) is not None:
            began_ns = self._now_ns()
            answer = self._infer(question, began_ns, is_new=question.actor is not actor)
            actor = question.actor
            if self._keep(answer):
                self._on_answer()

    def _next(self) -> Question | None:
        """Wait for a question; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or not self._is_open)
            if not self._is_open:
                return None
            self._asked, self._waiting = self._waiting, None
            self._began_ns = self._now_ns()
            return self._asked

    def _infer(self, question: Question, began_ns: int, *, is_new: bool) -> Answer:
        inference: Inference | None = None
        problem: Exception | None = None
        bug = ""
        try:
            if is_new:
                question.actor.reset()
            inference = question.actor.infer(question.observation)
        except So101Error as error:
            problem = error
        except Exception as error:  # a bug, which must not end the thread in silence
            problem, bug = error, traceback.format_exc()
        return Answer(
            question=question,
            inference=inference,
            error=problem,
            bug=bug,
            waited_ms=(began_ns - question.asked_ns) / 1e6,
            inference_ms=(self._now_ns() - began_ns) / 1e6,
        )

    def _keep(self, answer: Answer) -> bool:
        """Offer an answer to whoever takes them, unless it was dropped meanwhile."""
        with self._changed:
            self._began_ns = None
            is_wanted = self._asked is not None
            self._asked = None
            if is_wanted:
                self._answers.append(answer)
            return is_wanted
