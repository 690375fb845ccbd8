"""Which core and which stream training runs on: the ones that nobody else wants."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from so101.action import ChunkPrefix
from so101.arrays import Float32Array
from so101.observation import Observation
from so101.policies.policy import Inference, Policy
from so101.policies.wrappers.wrapped import WrappedPolicy

LOWEST_PRIORITY = 19
"""Of a thread, as nice has it."""
URGENT = -1
"""Of a stream; the others' is 0."""


def lower_priority() -> None:
    """Let this thread run only where no other thread wants the core.

    On Linux a thread has a priority of its own, and keeps it to its end. Elsewhere it would be
    the whole process's, so nothing is changed. The main thread keeps its priority.
    """
    if sys.platform == "linux" and threading.current_thread() is not threading.main_thread():
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)


@contextmanager
def device_stream(device: str, *, is_urgent: bool) -> Iterator[None]:
    """Run this thread's work on a GPU in a stream of its own; without a GPU do nothing.

    A GPU begins the blocks of an urgent stream's kernels before those of others that wait. Streams
    of different threads do not wait for each other, so what one made must be complete before
    another uses it: leaving waits for all of it.

    Args:
        device: Where the network runs, as torch names it.
        is_urgent: Inference; training is not.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    priority = URGENT if is_urgent else 0
    stream = torch.cuda.Stream(device, priority=priority)  # type: ignore[no-untyped-call]
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        stream.synchronize()


def finish_on(device: str) -> None:
    """Wait for what this thread's stream was given: its tensors may be handed over then."""
    if torch.device(device).type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def urgent(policy: Policy, device: str) -> Policy:
    """Return a policy that infers before what is trained on the same GPU; elsewhere itself."""
    return policy if torch.device(device).type != "cuda" else _Urgent(policy, device)


class _Urgent(WrappedPolicy):
    """Infers in an urgent stream, and waits for what it gives out."""

    def __init__(self, policy: Policy, device: str) -> None:
        super().__init__(policy)
        self._stream = torch.cuda.Stream(device, priority=URGENT)  # type: ignore[no-untyped-call]

    def infer(
        self,
        observation: Observation,
        *,
        noise: Float32Array | None = None,
        indicator: int | None = None,
        guidance: float | None = None,
        prefix: ChunkPrefix | None = None,
    ) -> Inference:
        """Plan a chunk."""
        with torch.cuda.stream(self._stream):
            return self._policy.infer(
                observation, noise=noise, indicator=indicator, guidance=guidance, prefix=prefix
            )

    def infer_batch(self, *observations: Any, **asked: Any) -> Any:
        """Plan chunks; see `so101.policies.flow.policy.FlowPolicy.infer_batch`."""
        with torch.cuda.stream(self._stream):
            return self._policy.infer_batch(*observations, **asked)  # type: ignore[attr-defined]
