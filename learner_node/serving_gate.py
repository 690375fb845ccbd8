"""Training gives way to inference in one process: the gate between the two.

Both hold Python's one lock in turn, and a policy of a hundred small operations asks for it a
hundred times: beside a training that runs on, each of them may wait. So a request shuts the gate,
and training stands still at its next torch operation until no request is left; the operation under
way, a backward pass among them, runs on outside Python's lock, on a core of its own.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode

SWITCH_INTERVAL_S = 0.0005
"""Longest that Python code of the training keeps a request waiting for the interpreter [s]; what
is read and decoded between two torch operations is such code. Python's own default is ten times
that."""


class RequestGate:
    """Shut while a request waits or runs.

    Attributes:
        waited_s: How long training has stood still here [s].
    """

    def __init__(
        self, patience_s: float = 0.5, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin open.

        Args:
            patience_s: How long one training step waits in all [s]: under requests without a
                pause training becomes slow, but does not stand still for ever.
            clock: Monotonic [s].
        """
        self._patience_s, self._clock = patience_s, clock
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._requests = 0
        self._left_s = patience_s
        self.waited_s = 0.0

    @property
    def is_shut(self) -> bool:
        """Tell whether a request waits or runs."""
        return self._requests > 0

    def set_busy(self, is_busy: bool) -> None:
        """Shut the gate for one more who has requests, or take note that it has none any more."""
        with self._lock:
            self._requests += 1 if is_busy else -1
            if self._requests:
                self._open.clear()
            else:
                self._open.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold the gate shut while a request is answered."""
        self.set_busy(True)
        try:
            yield
        finally:
            self.set_busy(False)

    def begin_step(self) -> None:
        """Begin a training step, with all its patience, when nobody asks for anything."""
        self._left_s = self._patience_s
        self.give_way()

    def give_way(self) -> None:
        """Stand still while the gate is shut, as long as the step has patience."""
        if not self._requests or self._left_s <= 0.0:
            return
        before = self._clock()
        self._open.wait(self._left_s)
        waited_s = self._clock() - before
        self._left_s -= waited_s
        self.waited_s += waited_s

    @contextmanager
    def training(self) -> Iterator[None]:
        """Give way before every torch operation of this thread."""
        with _GivingWay(self):
            yield


class _GivingWay(TorchFunctionMode):
    """Passes the gate before every torch operation of the thread that entered it."""

    def __init__(self, gate: RequestGate) -> None:
        super().__init__()
        self._gate = gate

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self._gate.give_way()
        return func(*args, **(kwargs or {}))


@contextmanager
def quick_switching(interval_s: float = SWITCH_INTERVAL_S) -> Iterator[None]:
    """Let threads that want the interpreter have it sooner, and put the interval back after."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, interval_s))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
