"""The thread that infers: it takes what waits, pass by pass, and touches no socket.

Whoever queues a request wakes it without a detour, and it writes the answers itself; only the
bytes go back to the event loop. A policy of a few hundred microseconds is not kept waiting for
longer than it takes.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from so101.policies.checkpoints.live_versions import LiveVersions
from so101.policies.remote.server.batching import Job, RequestQueue
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.inference import Served, infer_jobs
from so101.policies.remote.wire.messages import Answer, Code, Failure

_log = logging.getLogger(__name__)


class Passes:
    """Passes of the policies over the requests that wait. Any thread may call it.

    Attributes:
        count: Passes so far.
        busy_since_s: When the pass that runs began, monotonic [s]; 0 when none runs.
    """

    def __init__(
        self,
        versions: LiveVersions[Served],
        config: ServerConfig,
        *,
        peers: Callable[[], int],
        on_quiet: Callable[[], object],
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            versions: Says which policy answers whom.
            config: How many requests may share a pass, and how long one waits for others.
            peers: Returns how many could ask.
            on_quiet: Told, by the thread, that nothing waits or runs any more.
        """
        self.count = 0
        self.busy_since_s = 0.0
        self._versions, self._config = versions, config
        self._peers, self._on_quiet = peers, on_quiet
        self._queue = RequestQueue()
        self._errands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._changed = threading.Condition()
        self._is_idle, self._is_stopping = True, False
        self._thread = threading.Thread(target=self._run, name="policy")

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return self._is_idle

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, job: Job) -> Job | None:
        """Queue a request; return the older one of its owner, whose place it takes.

        ``job.answer`` is called by the thread, once.
        """
        with self._changed:
            older = self._queue.put(job)
            self._call()
        return older

    def run(self, errand: Callable[[], None]) -> Future[None]:
        """Have something done between two passes, before the next one."""
        done: Future[None] = Future()
        with self._changed:
            self._errands.append((errand, done))
            self._call()
        return done

    def drop(self, owner: Hashable) -> None:
        """Forget what a connection that is gone was waiting for."""
        with self._changed:
            self._queue.drop(owner)

    def stop(self) -> None:
        """Finish the pass that runs, and tell who waits. Blocks until then."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    def _call(self) -> None:
        self._is_idle = False
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_idle = not (self._queue or self._errands)
                if self._is_idle:
                    self._on_quiet()
                    self._changed.wait_for(lambda: self._is_stopping or not self._is_idle)
                if self._is_stopping:
                    break
                errands, self._errands = self._errands, deque()
                expired, batch = self._take()
            for errand, done in errands:
                _do(errand, done)
            for job in expired:
                job.answer(Failure(id=job.request.id, code=Code.EXPIRED))
            for served, jobs in self._versions.sort(batch, lambda job: job.owner):
                self._infer(served, jobs)
        for job in self._queue.clear():
            job.answer(Failure(id=job.request.id, code=Code.STOPPING))
        for _, done in self._errands:
            done.cancel()

    def _take(self) -> tuple[list[Job], list[Job]]:
        """Take the next pass; where several robots wait, others may be about to."""
        most = self._config.max_batch
        if len(self._queue) > 1:
            self._changed.wait_for(
                lambda: self._is_stopping or len(self._queue) >= min(most, self._peers()),
                self._config.window_ms / 1000.0,
            )
        return self._queue.take(time.monotonic(), most)

    def _infer(self, served: Served, batch: list[Job]) -> None:
        self.busy_since_s = time.monotonic()
        answers: list[Answer | Failure]
        try:
            answers = infer_jobs(served, batch)
        except Exception:  # a bug, which must not end the service for all
            _log.exception("a pass failed")
            answers = [Failure(id=job.request.id, code=Code.POLICY) for job in batch]
        self.busy_since_s = 0.0
        self.count += 1
        for job, answer in zip(batch, answers, strict=True):
            job.answer(answer)


def _do(errand: Callable[[], None], done: Future[None]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        errand()
    except Exception as error:  # whoever waits for it is told
        done.set_exception(error)
    else:
        done.set_result(None)
