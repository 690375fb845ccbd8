"""A chunk that ends without a successor, or with a late one: the arm brakes smoothly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.action import ActionChunk
from so101.arm import ArmState
from so101.clock import CONTROL_GRID, CONTROL_HZ
from so101.control.arm_loop import ArmLoop
from so101.control.arm_mode import ArmMode
from so101.control.safety import SafetyGate
from so101.control.trajectory import chunk_to_trajectory
from so101.errors import TrajectoryError
from so101.robot import so101

SPEC = so101()
FIRST = 600
PERIOD_S = 1.0 / CONTROL_HZ


class PerfectArm:
    """Is where it was told to be."""

    def __init__(self):
        self.positions = self.before = np.array(SPEC.home)

    def read_state(self):
        velocities = (self.positions - self.before) * CONTROL_HZ
        return ArmState(positions=self.positions, velocities=velocities, effort=np.zeros(6))

    def write_goal(self, positions):
        self.before, self.positions = self.positions, positions
        return positions


class Rig:
    """An armed loop, and every command it gave."""

    def __init__(self):
        self.loop = ArmLoop(PerfectArm(), SPEC, SafetyGate(SPEC, None))
        self.commands = []
        self.index = FIRST
        self.tick()
        self.loop.arm()

    @property
    def now_ns(self):
        return CONTROL_GRID.stamp(self.index - 1)

    def tick(self, times=1):
        for _ in range(times):
            result = self.loop.tick(CONTROL_GRID.stamp(self.index))
            self.commands.append(result.command)
            self.index += 1
        return result

    def follow(self, positions, *, observed_ticks_ago=0):
        stamp_ns = CONTROL_GRID.stamp(self.index - 1 - observed_ticks_ago)
        chunk = ActionChunk(stamp_ns=stamp_ns, positions=positions)
        self.loop.follow(chunk_to_trajectory(chunk, SPEC.joints), self.now_ns)

    def assert_smooth(self):
        """The limits of every joint hold between any two commands: there is no step."""
        goals = np.array(self.commands)
        for order, most in (
            (1, SPEC.max_velocity),
            (2, SPEC.max_acceleration),
            (3, SPEC.max_jerk),
        ):
            made = np.abs(np.diff(goals, n=order, axis=0)).max(axis=0)
            assert (made <= most * PERIOD_S**order + 1e-9).all(), order


def run_up(speed, points=16):
    """A chunk that starts gently and ends at full speed [rad/s], as if more were to come."""
    pace = np.minimum(np.arange(1, points + 1) / 6.0, 1.0) * speed / 30.0
    return SPEC.home + np.cumsum(pace)[:, None] * np.array([1.0, -0.5, 0.5, 0.3, -1.0, 0.4])


@pytest.mark.case(19)
@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 1.2), st.integers(1, 16))
def test_an_arm_whose_chunk_ends_at_speed_comes_to_rest_and_stays(speed, points):
    rig = Rig()
    rig.follow(run_up(speed, points))
    rig.tick(2 * points + 40)
    rig.assert_smooth()
    assert rig.loop.mode is ArmMode.HOLDING
    assert all(np.array_equal(rig.commands[-1], one) for one in rig.commands[-20:])
    travelled = np.abs(rig.commands[-1] - SPEC.home).max()
    assert travelled > 0.5 * np.abs(run_up(speed, points)[-1] - SPEC.home).max()


@pytest.mark.case(19)
@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 1.2), st.integers(0, 60), st.floats(-0.1, 0.1))
def test_a_successor_is_taken_up_smoothly_whenever_it_comes(speed, waited_ticks, off):
    """While the old chunk runs, brakes, or has ended; and wherever the new one wants to be."""
    rig = Rig()
    rig.follow(run_up(speed))
    rig.tick(20 + waited_ticks)
    target = rig.commands[-1] + off
    rig.follow(np.tile(target, (16, 1)), observed_ticks_ago=6)
    rig.tick(120)
    rig.assert_smooth()
    np.testing.assert_allclose(rig.commands[-1], target, atol=1e-9)


@pytest.mark.case(15)
def test_past_points_of_a_late_chunk_are_left_out():
    rig = Rig()
    rig.tick(20)
    chunk = SPEC.home + np.linspace(0.0, 0.15, 16)[:, None] * np.ones(6)
    rig.follow(chunk, observed_ticks_ago=12)  # 200 ms: six of its points were due
    rig.tick(2)
    np.testing.assert_allclose(rig.commands[-1], chunk[6], atol=0.03)
    rig.tick(60)
    np.testing.assert_allclose(rig.commands[-1], chunk[-1], atol=1e-9)
    rig.assert_smooth()


@pytest.mark.case(15)
def test_a_chunk_that_is_past_as_a_whole_is_refused_and_counted():
    rig = Rig()
    rig.tick(40)
    rig.follow(run_up(0.5))
    rig.tick(4)
    before = rig.loop.refused.total()
    with pytest.raises(TrajectoryError, match="all points are in the past"):
        rig.follow(run_up(1.0), observed_ticks_ago=32)
    assert rig.loop.refused.total() == before + 1
    rig.tick(60)  # the old chunk was followed to its end all the same
    np.testing.assert_allclose(rig.commands[-1], run_up(0.5)[-1], atol=1e-9)
    rig.assert_smooth()
