"""The order of a tick, resets on the grid, and that an episode repeats to the last bit."""

import numpy as np
import pytest

from so101.arm import ArmState
from so101.clock import CONTROL_GRID, NS_PER_S, POLICY_GRID
from so101.control.arm_mode import ArmMode
from so101.control.trajectory import JointTrajectory
from so101.robot import JOINTS, so101
from so101.simulation.build import make_cell
from so101.simulation.cell import SimulatedCell
from so101.simulation.tasks.pick import PickTask

START = PickTask().start(4)


class Log:
    """A world and an arm loop that write down what is asked of them."""

    def __init__(self):
        self.calls = []
        self.is_settled = True

    def read_state(self):
        zeros = np.zeros(6)
        return ArmState(positions=zeros, velocities=zeros, effort=zeros)

    def reset(self, start):
        self.calls.append("reset")

    def advance(self):
        self.calls.append("advance")

    def objects(self):
        self.calls.append("objects")
        return np.zeros((1, 7))

    def render(self, camera):
        self.calls.append(f"render {camera}")
        return np.zeros((2, 2, 3), dtype=np.uint8)

    def tick(self, stamp_ns):
        self.calls.append(f"tick {CONTROL_GRID.floor(stamp_ns)}")
        return type("Tick", (), {"state": self.read_state()})()

    def follow(self, trajectory, now_ns):
        self.calls.append(f"follow {now_ns}")


def log_cell(cameras=("front",)):
    log = Log()
    return SimulatedCell(log, log, cameras), log


def test_a_tick_is_the_arm_then_a_look_and_no_time_passes():
    cell, log = log_cell()
    tick = cell.tick()
    assert log.calls == ["tick 0", "objects", "render front"]
    assert (tick.stamp_ns, cell.last_ns, cell.stamp_ns) == (0, 0, 0)
    cell.advance()
    assert log.calls[-1] == "advance"
    between = cell.tick()
    assert (between.objects, between.images) == (None, {})
    assert log.calls[3:] == ["advance", "tick 1"]


def test_nothing_is_rendered_when_nobody_looks():
    cell, log = log_cell()
    assert cell.tick(render=False).images == {}
    assert log.calls == ["tick 0", "objects"]


def test_a_trajectory_is_followed_as_of_the_last_tick():
    cell, log = log_cell()
    cell.tick()
    cell.follow(None)
    assert log.calls[-1] == "follow 0"


@pytest.mark.parametrize("ticks", [0, 1, 5, 6, 7, 61])
@pytest.mark.parametrize("not_before_ns", [0, NS_PER_S // 3, 10 * NS_PER_S])
def test_a_reset_begins_on_a_whole_tenth_of_a_second_after_the_last_tick(ticks, not_before_ns):
    cell, _ = log_cell(())
    for _ in range(ticks):
        cell.tick()
        cell.advance()
    last_ns = cell.last_ns
    stamp_ns = cell.reset(START, not_before_ns)
    assert stamp_ns == cell.stamp_ns
    assert stamp_ns % (NS_PER_S // 10) == 0
    assert POLICY_GRID.is_tick(stamp_ns) and cell.is_policy_tick
    assert stamp_ns > last_ns and stamp_ns >= not_before_ns
    assert stamp_ns - max(last_ns, not_before_ns) <= NS_PER_S // 10
    assert not cell.is_still  # nothing is known about the new scene


def test_time_starts_where_it_is_told():
    log = Log()
    assert SimulatedCell(log, log, start_ns=NS_PER_S + 1).stamp_ns == POLICY_GRID.stamp(31)


def play(cell, not_before_ns=0):
    """Run one second after a reset, following a wave; return every number there is."""
    start_ns = cell.reset(START, not_before_ns)
    cell.loop.arm()
    first = CONTROL_GRID.floor(start_ns)
    home, rows = so101().home, []
    for k in range(60):
        tick = cell.tick()
        if k % 16 == 0:
            due = [CONTROL_GRID.stamp(first + k + 2 * (i + 1)) for i in range(16)]
            wave = home + 0.1 * np.sin(0.1 * (k / 2 + np.arange(1, 17)))[:, None]
            cell.follow(
                JointTrajectory(
                    stamp_ns=tick.stamp_ns,
                    joints=JOINTS,
                    times_ns=tuple(stamp - tick.stamp_ns for stamp in due),
                    positions=wave,
                )
            )
        state = tick.arm.state
        rows.append([*state.positions, *state.velocities, *state.effort, *tick.arm.command])
        cell.advance()
    return np.array(rows)


def test_an_episode_repeats_to_the_last_bit_whenever_and_after_whatever_it_is_run():
    cell = make_cell(cameras=())
    first = play(cell)
    assert np.ptp(first[:, :6], axis=0).min() > 0.01  # it did move
    assert cell.loop.mode is ArmMode.ARMED
    np.testing.assert_array_equal(play(cell), first)
    np.testing.assert_array_equal(play(cell, 1234 * NS_PER_S + 7), first)
    np.testing.assert_array_equal(play(make_cell(cameras=())), first)


def test_an_arm_that_has_nothing_to_do_comes_to_rest():
    cell = make_cell(cameras=())
    play(cell)
    cell.reset(START)
    ticks = 0
    while not cell.is_still:
        cell.tick()
        cell.advance()
        ticks += 1
        assert ticks < 120
