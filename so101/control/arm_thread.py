"""Runs an arm loop at 60 Hz in a plain thread, for arms that time does not wait for.

It owns the clock and the thread that `ArmLoop` does not have. No executor and no callback is in
its way: what others do in their threads delays a tick by Python's switching time at most.
"""

import threading
import time
from collections.abc import Callable

from so101.clock import CONTROL_GRID, seconds
from so101.control.arm_loop import ArmLoop, ArmTick


class ArmThread:
    """Calls `ArmLoop.tick` on every tick of the control grid.

    A tick that comes late is run at once; those that are over by then are left out and counted,
    for the gate's limits hold from one tick to the next and a burst would break them.

    Attributes:
        missed: Ticks that were left out.
        error: What ended the thread before it was told to end; None while all is well.
    """

    def __init__(
        self,
        loop: ArmLoop,
        on_tick: Callable[[int, ArmTick], None],
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Wire the parts; `start` begins.

        Args:
            loop: Whose ticks it runs.
            on_tick: Called in the thread with the stamp [ns] and what the tick did; it must
                return well within a period.
            now_ns: The clock that stamps are taken from [ns].
            wait: Sleeps so long [s] and tells whether the thread is to end; None for the thread's
                own, which sleeps by the steady clock. An event's wait goes by the date in some
                builds of Python.
        """
        self.missed = 0
        self.error: Exception | None = None
        self._lateness_ns = 0
        self._loop = loop
        self._on_tick = on_tick
        self._now_ns = now_ns
        self._ending = threading.Event()
        self._wait = wait or self._sleep
        self._thread = threading.Thread(target=self._run, name="arm_loop", daemon=True)

    def start(self) -> None:
        """Begin with the next tick of the grid."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it ticks."""
        return self._thread.is_alive()

    def take_lateness_ns(self) -> int:
        """Return how late a tick began at most since the last time this was asked [ns]."""
        lateness_ns, self._lateness_ns = self._lateness_ns, 0
        return lateness_ns

    def stop(self) -> None:
        """End after the tick at hand.

        Raises:
            Exception: What had ended it before, such as a `HardwareError`.
        """
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        index = CONTROL_GRID.ceil(self._now_ns())
        try:
            while not self._pause_until(CONTROL_GRID.stamp(index)):
                stamp_ns = CONTROL_GRID.stamp(index)
                self._lateness_ns = max(self._lateness_ns, self._now_ns() - stamp_ns)
                self._on_tick(stamp_ns, self._loop.tick(stamp_ns))
                following = max(index + 1, CONTROL_GRID.floor(self._now_ns()))
                self.missed += following - index - 1
                index = following
        except Exception as error:
            self.error = error

    def _pause_until(self, due_ns: int) -> bool:
        """Sleep until a stamp [ns]; tell whether it is to end instead."""
        return self._wait(max(0.0, seconds(due_ns - self._now_ns()))) or self._ending.is_set()

    def _sleep(self, duration_s: float) -> bool:
        time.sleep(duration_s)
        return False
