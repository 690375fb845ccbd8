"""Laws of the thread that paces an arm loop: on the grid, never twice, never in a burst."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.arm import ArmState
from so101.clock import CONTROL_GRID, nanoseconds
from so101.control.arm_loop import ArmLoop
from so101.control.arm_thread import ArmThread
from so101.control.safety import SafetyGate
from so101.errors import HardwareError
from so101.robot import so101

SPEC = so101()
PERIOD_NS = CONTROL_GRID.stamp(1)


class StillArm:
    """Stands at home and takes every goal."""

    def __init__(self):
        self.is_there = True

    def read_state(self):
        if not self.is_there:
            raise HardwareError("the bus is silent")
        return ArmState(positions=SPEC.home, velocities=np.zeros(6), effort=np.zeros(6))

    def write_goal(self, positions):
        return positions


class Clock:
    """Time that passes in waits and, as told, in ticks."""

    def __init__(self, began_ns, ticks_take_ns):
        self.now_ns = began_ns
        self.left = list(ticks_take_ns)
        self.stamps = []

    def __call__(self):
        return self.now_ns

    def wait(self, duration_s):
        assert duration_s >= 0.0
        self.now_ns += round(duration_s * 1e9)
        return not self.left

    def on_tick(self, stamp_ns, tick):
        assert np.array_equal(tick.command, SPEC.home)
        self.stamps.append(stamp_ns)
        assert self.now_ns >= stamp_ns - 1  # never early; seconds are rounded
        self.now_ns += self.left.pop(0)


def loop_of(arm=None):
    return ArmLoop(arm or StillArm(), SPEC, SafetyGate(SPEC, None))


@given(st.integers(0, 10**15), st.lists(st.integers(0, 5 * PERIOD_NS), min_size=1, max_size=30))
def test_ticks_are_on_the_grid_in_order_and_what_is_over_is_left_out(began_ns, ticks_take_ns):
    clock = Clock(began_ns, ticks_take_ns)
    thread = ArmThread(loop_of(), clock.on_tick, now_ns=clock, wait=clock.wait)
    thread.start()
    while thread.is_running:
        time.sleep(0)
    thread.stop()
    assert len(clock.stamps) == len(ticks_take_ns)
    assert all(CONTROL_GRID.is_tick(stamp) for stamp in clock.stamps)
    assert began_ns <= clock.stamps[0] < began_ns + PERIOD_NS + 1
    ticks = [CONTROL_GRID.floor(stamp) for stamp in clock.stamps]
    steps = np.diff(ticks)
    assert (steps >= 1).all()
    for step, took_ns in zip(steps, ticks_take_ns[:-1], strict=True):
        assert (step - 1) * PERIOD_NS <= took_ns + PERIOD_NS  # late by less than a period
        assert step == 1 or step * (PERIOD_NS - 1) <= took_ns + PERIOD_NS
    assert thread.missed >= (steps - 1).sum()


def test_prompt_ticks_miss_none():
    clock = Clock(0, [PERIOD_NS // 2] * 60)
    thread = ArmThread(loop_of(), clock.on_tick, now_ns=clock, wait=clock.wait)
    thread.start()
    while thread.is_running:
        time.sleep(0)
    assert clock.stamps == [CONTROL_GRID.stamp(k) for k in range(60)]
    assert thread.missed == 0


def test_an_arm_that_cannot_be_read_ends_it_loudly():
    arm = StillArm()
    arm.is_there = False
    thread = ArmThread(loop_of(arm), lambda *_: None)
    thread.start()
    while thread.is_running:
        time.sleep(0)
    with pytest.raises(HardwareError, match="the bus is silent"):
        thread.stop()


def test_one_that_was_never_started_can_be_stopped():
    ArmThread(loop_of(), lambda *_: None).stop()


def test_in_real_time_it_ticks_while_others_work():
    """60 ticks a second; a busy machine may miss some, and counts them."""
    seen = []
    enough = threading.Event()

    def on_tick(stamp_ns, _):
        seen.append(stamp_ns)
        if stamp_ns >= seen[0] + nanoseconds(0.5):
            enough.set()

    thread = ArmThread(loop_of(), on_tick)
    thread.start()
    assert enough.wait(20.0)
    thread.stop()
    ticks = CONTROL_GRID.floor(seen[-1]) - CONTROL_GRID.floor(seen[0])
    assert ticks >= 30
    assert len(seen) - 1 + thread.missed == pytest.approx(ticks, abs=1)
