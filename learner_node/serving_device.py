"""Which core and which stream training runs on: the ones that nobody else wants."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

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
