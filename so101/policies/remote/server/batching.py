"""Which requests wait for the policy, and which are inferred together. Pure; time is passed in.

Each connection has one place: what a robot asked before its newest observation is of no use. So
the queue is never longer than there are connections, and nobody can fill it for the others.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from so101.policies.remote.wire.messages import Answer, Failure, InferRequest


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A request on its way through the server.

    Attributes:
        owner: The connection it came from.
        request: What is asked.
        arrived_s: When it arrived [s], on the clock of `RequestQueue.take`.
        answer: Called once with what became of it, by the thread that infers.
    """

    owner: Hashable
    request: InferRequest
    arrived_s: float
    answer: Callable[[Answer | Failure], None]

    def has_expired(self, now_s: float) -> bool:
        """Tell whether its sender has stopped waiting."""
        return now_s >= self.arrived_s + self.request.timeout_ms / 1000.0


class RequestQueue:
    """Waiting requests, the longest-waiting connection first, one request per connection."""

    def __init__(self) -> None:
        """Begin empty."""
        self._jobs: dict[Hashable, Job] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._jobs)

    def put(self, job: Job) -> Job | None:
        """Add a request; return the older one of its connection, whose place it takes."""
        older = self._jobs.get(job.owner)
        self._jobs[job.owner] = job
        return older

    def drop(self, owner: Hashable) -> None:
        """Forget what a connection that is gone was waiting for."""
        self._jobs.pop(owner, None)

    def clear(self) -> list[Job]:
        """Return everything that waits, and wait for nothing any more."""
        jobs = list(self._jobs.values())
        self._jobs.clear()
        return jobs

    def take(self, now_s: float, most: int) -> tuple[list[Job], list[Job]]:
        """Take what is due next.

        Args:
            now_s: The time [s].
            most: Requests that may be inferred together.

        Returns:
            The requests that have expired, and those to infer now: the longest-waiting one and
            those that agree with it.
        """
        expired = [job for job in self._jobs.values() if job.has_expired(now_s)]
        for job in expired:
            del self._jobs[job.owner]
        batch: list[Job] = []
        for job in self._jobs.values():
            if len(batch) < most and (not batch or agree(batch[0].request, job.request)):
                batch.append(job)
        for job in batch:
            del self._jobs[job.owner]
        return expired, batch


def agree(one: InferRequest, other: InferRequest) -> bool:
    """Tell whether one pass of a policy can answer two requests: all but noise must be alike."""
    return (
        one.indicator == other.indicator
        and one.guidance == other.guidance
        and one.prefix is None
        and other.prefix is None
        and (one.noise is None) == (other.noise is None)
    )
