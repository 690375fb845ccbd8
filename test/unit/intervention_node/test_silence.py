"""A policy that dies or hangs in full motion, and an e-stop: how soon the arm stands.

The arbiter and the arm loop tick by tick, on a clock that no machine delays.
"""

import numpy as np
import pytest

from intervention_node.intervention import Intervention
from intervention_node.params import InterventionParams
from so101.arm import ArmState
from so101.clock import CONTROL_GRID, CONTROL_HZ, seconds
from so101.control.arm_loop import ArmLoop
from so101.control.arm_mode import ArmMode
from so101.control.safety import SafetyGate
from so101.control.trajectory import JointTrajectory, tick_times
from so101.episode import ControlSource
from so101.errors import MotionError, TrajectoryError
from so101.robot import JOINTS, so101

SPEC = so101()
ALIVE_TICKS = 2
"""The policy signs at 30 Hz."""

DECISION_TICKS = 16
CHUNK_TICKS = 32
WAY = np.array([1.2, 0.5, -0.6, 0.5, 1.5, 0.6])
SWING_HZ = 0.35


def swing(stamp_ns):
    """A fast way to and fro [rad], near the velocity limit of the wrist."""
    return SPEC.home + WAY * np.sin(2 * np.pi * SWING_HZ * seconds(stamp_ns)) * 0.8


class PerfectArm:
    """Is where it was told to be."""

    def __init__(self, positions):
        self.positions = self.before = positions

    def read_state(self):
        velocities = (self.positions - self.before) * CONTROL_HZ
        return ArmState(positions=self.positions, velocities=velocities, effort=np.zeros(6))

    def write_goal(self, positions):
        self.before, self.positions = self.positions, positions
        return positions


class Robot:
    """Arbiter and arm loop as their nodes wire them; the policy swings until it is silent."""

    def __init__(self, first):
        """Begin at a tick: at rest, wherever the swing is then."""
        self.first = first
        self.arm = PerfectArm(swing(CONTROL_GRID.stamp(first)))
        self.loop = ArmLoop(self.arm, SPEC, SafetyGate(SPEC, None))
        self.arbiter = Intervention(InterventionParams(lockstep=False))
        self.index = first
        self.commands, self.words = [], []
        self.is_policy_alive = True
        self.tick()
        self.loop.arm()

    @property
    def now_ns(self):
        return CONTROL_GRID.stamp(self.index - 1)

    def tick(self):
        result = self.loop.tick(CONTROL_GRID.stamp(self.index))
        self.commands.append(result.command)
        self.index += 1
        for _, ruling in self.arbiter.on_command(self.now_ns, result.command):
            self.obey(ruling)
        if not self.is_policy_alive or self.loop.mode not in (ArmMode.ARMED, ArmMode.HOLDING):
            return
        tick = self.index - self.first
        if tick % ALIVE_TICKS == 0:
            self.arbiter.on_alive(ControlSource.POLICY, self.now_ns, "")
        if tick % DECISION_TICKS == 0:
            times = tick_times(self.now_ns, CHUNK_TICKS)
            chunk = JointTrajectory(
                stamp_ns=self.now_ns,
                joints=JOINTS,
                times_ns=times,
                positions=np.array([swing(self.now_ns + t) for t in times]),
            )
            self.obey(self.arbiter.offer(ControlSource.POLICY, chunk))

    def obey(self, ruling):
        if ruling.event is not None:
            self.words.append(ruling.event)
            if ruling.event.source is ControlSource.HOLD:
                self.loop.hold(ruling.event.reason)
        if ruling.trajectory is not None:
            self.loop.follow(ruling.trajectory, self.now_ns)

    def run(self, ticks):
        for _ in range(ticks):
            self.tick()

    @property
    def steps(self):
        return np.abs(np.diff(self.commands, axis=0)).max(axis=1)

    def ticks_until_still(self, since):
        """Return how many ticks after one the command stood; it must stay so."""
        moving = np.flatnonzero(self.steps[since:] > 0.0)
        return 0 if not len(moving) else int(moving[-1]) + 1


@pytest.mark.case(17, 18)
def test_a_policy_that_falls_silent_in_any_phase_leaves_a_standing_arm_within_400_ms():
    """Killed, hung or stopped: it signs no more. 50 phases, most of them in mid-chunk."""
    rng = np.random.default_rng(0)
    worst, fastest = 0, 0.0
    for first, ticks in rng.integers((600, 20), (1000, 60), (50, 2)):
        robot = Robot(int(first))
        robot.run(ticks)
        assert robot.arbiter.arbiter.source is ControlSource.POLICY
        robot.is_policy_alive = False
        died = len(robot.commands) - 1
        robot.run(40)
        held = robot.words[-1]
        assert held.source is ControlSource.HOLD and "policy was silent for" in held.reason
        late_ticks = CONTROL_GRID.floor(held.stamp_ns) - (robot.first + died)
        assert late_ticks / CONTROL_HZ <= 0.1 + 1 / CONTROL_HZ
        worst = max(worst, robot.ticks_until_still(died))
        fastest = max(fastest, float(robot.steps[died - 1]) * CONTROL_HZ)
        assert robot.loop.mode is ArmMode.HOLDING
    assert fastest > 2.0
    assert worst / CONTROL_HZ <= 0.4


@pytest.mark.case(23)
def test_an_estop_at_any_moment_brakes_from_the_next_tick_on_and_is_latched():
    """100 moments of the fastest motion: braking at once, standing within 250 ms."""
    rng = np.random.default_rng(1)
    fastest = 0.0
    for first, ticks in rng.integers((600, 20), (1000, 60), (100, 2)):
        robot = Robot(int(first))
        robot.run(ticks)
        robot.loop.estop("button")
        robot.arbiter.arbiter.estop(robot.now_ns, "button")
        pressed = len(robot.commands) - 1
        robot.run(20)
        steps = robot.steps[pressed - 1 :]
        fastest = max(fastest, float(steps[0]) * CONTROL_HZ)
        stopping = np.diff(np.array(robot.commands)[pressed - 1 :], axis=0)
        slower = np.abs(stopping[2:]) <= np.abs(stopping[1:-1]) + 1e-12
        assert slower.all()
        assert robot.ticks_until_still(pressed) / CONTROL_HZ <= 0.25
        with pytest.raises(TrajectoryError, match="cannot follow while estopped"):
            robot.loop.follow(
                JointTrajectory(
                    stamp_ns=0, joints=JOINTS, times_ns=(10**8,), positions=SPEC.home[None]
                ),
                robot.now_ns,
            )
        with pytest.raises(MotionError, match="recover it first"):
            robot.loop.arm()
        assert robot.loop.mode is ArmMode.ESTOPPED
    assert fastest > 2.0
