"""The arm loop: its order, its modes, and that recorded commands are planned points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from so101.action import ActionChunk
from so101.arm import ArmState
from so101.clock import CONTROL_GRID, NS_PER_S
from so101.control.arm_loop import ArmLoop
from so101.control.arm_mode import NEXT_MODE, ArmMode, ArmRequest, next_mode
from so101.control.safety import SafetyGate
from so101.control.trajectory import JointTrajectory, chunk_to_trajectory
from so101.errors import HardwareError, MotionError, TrajectoryError
from so101.robot import so101

SPEC = so101()
FIRST = 600  # control tick at which tests begin, 10 s


class PerfectArm:
    """Is where it was told to be; can be made to fail."""

    def __init__(self, positions=SPEC.home):
        self.positions = np.array(positions)
        self.before = self.positions
        self.failure = None
        self.writes = 0

    def read_state(self):
        if self.failure == "read":
            raise HardwareError("bus is silent")
        velocities = (self.positions - self.before) * 60
        return ArmState(
            positions=self.positions, velocities=velocities, effort=np.zeros_like(velocities)
        )

    def write_goal(self, positions):
        if self.failure == "write":
            raise HardwareError("bus is silent")
        self.writes += 1
        self.before, self.positions = self.positions, positions
        return positions


class Rig:
    """A loop and its ticks."""

    def __init__(self, arm=None, filters=()):
        self.arm = arm or PerfectArm()
        self.loop = ArmLoop(self.arm, SPEC, SafetyGate(SPEC, None), filters)
        self.index = FIRST
        self.commands = {}

    @property
    def now_ns(self):
        return CONTROL_GRID.stamp(self.index - 1)

    def tick(self, times=1):
        for _ in range(times):
            stamp_ns = CONTROL_GRID.stamp(self.index)
            result = self.loop.tick(stamp_ns)
            self.commands[stamp_ns] = result.command
            self.index += 1
        return result

    def follow(self, positions):
        chunk = ActionChunk(stamp_ns=self.now_ns, positions=np.asarray(positions))
        self.loop.follow(chunk_to_trajectory(chunk, SPEC.joints), self.now_ns)
        return chunk


def slide(points=16, size=0.2):
    """A gentle motion away from home and back to rest."""
    share = np.linspace(0, 1, points + 1)[1:]
    blend = 10 * share**3 - 15 * share**4 + 6 * share**5
    return SPEC.home + size * blend[:, None] * np.ones(6)


def armed(**kwargs):
    rig = Rig(**kwargs)
    rig.tick()
    rig.loop.arm()
    return rig


def test_start_up_is_inert():
    rig = Rig(PerfectArm(SPEC.home + 0.01))
    result = rig.tick()
    np.testing.assert_array_equal(result.command, SPEC.home + 0.01)
    assert result.mode is ArmMode.DISARMED
    with pytest.raises(TrajectoryError, match="cannot follow while disarmed"):
        rig.follow(slide())
    np.testing.assert_array_equal(rig.tick(30).command, SPEC.home + 0.01)
    assert rig.loop.refused == {"arm: cannot follow while disarmed": 1}


def test_nothing_is_followed_before_the_first_tick():
    rig = Rig()
    rig.loop.arm()
    with pytest.raises(TrajectoryError, match="no tick yet"):
        rig.follow(slide())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_commands_in_force_at_due_times_are_the_planned_points(seed):
    """Replanned every 8 points with what is left of the same motion."""
    rng = np.random.default_rng(seed)
    motion = slide(48, size=rng.uniform(-0.15, 0.3))
    rig = armed()
    rig.tick()  # so that observations are made at policy ticks
    for first in range(0, 32, 8):
        rig.tick(1)
        chunk = rig.follow(motion[first : first + 16])
        rig.tick(15)
        for due, point in zip(chunk.due_ns()[:7], chunk.positions, strict=False):
            np.testing.assert_array_equal(rig.commands[due], point)
    assert rig.loop.mode is ArmMode.ARMED


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_stream_of_single_steps_is_the_straight_line_between_them(seed):
    """As a single-step policy sends them at every policy tick; the gate changes nothing."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.5, 12.0, 6)
    times = np.arange(1, 61)[:, None] / 30
    most = 0.49 * SPEC.max_acceleration / rate**2  # just below half the acceleration limit
    size = rng.choice([-1, 1], 6) * np.minimum(most, 0.2)
    before = 0.5 * (SPEC.lower + SPEC.upper)
    rig = armed(arm=PerfectArm(before))
    for goal in before + size * (1 - np.cos(rate * times)):
        chunk = rig.follow(goal[None])
        halfway, there = rig.tick(), rig.tick()
        assert halfway.reasons == there.reasons == ()
        np.testing.assert_allclose(halfway.command, 0.5 * (before + goal), atol=1e-15)
        np.testing.assert_array_equal(rig.commands[chunk.due_ns()[0]], goal)
        before = goal


def test_a_trajectory_that_ends_is_held_at_its_last_point():
    rig = armed()
    rig.follow(slide())
    assert not rig.loop.is_settled
    rig.tick(40)
    assert rig.loop.mode is ArmMode.HOLDING and rig.loop.is_settled
    np.testing.assert_array_equal(rig.tick().command, slide()[-1])
    assert rig.loop.state_event(1).values["reason"] == "the trajectory ended"
    rig.follow(slide()[::-1])
    assert rig.tick().mode is ArmMode.ARMED


@pytest.mark.case(23)
@pytest.mark.parametrize("stop", ["hold", "estop", "disarm"])
def test_every_stop_is_smooth_and_quick(stop):
    rig = armed()
    rig.follow(np.linspace(SPEC.home, SPEC.home + 0.5, 9)[1:])
    rig.tick(10)
    moving = np.abs(rig.arm.positions - rig.arm.before).max() * 60
    assert moving > 1.0
    rig.loop.disarm() if stop == "disarm" else getattr(rig.loop, stop)("test")
    rig.tick(15)
    path = np.array(list(rig.commands.values()))
    assert np.abs(np.diff(path, n=2, axis=0)).max() * 3600 <= so101().max_acceleration.max() * (
        1 + 1e-6
    )
    assert rig.loop.is_settled
    expected = {"hold": ArmMode.HOLDING, "estop": ArmMode.ESTOPPED, "disarm": ArmMode.DISARMED}
    assert rig.loop.mode is expected[stop]


@pytest.mark.case(23)
def test_an_estop_is_latched_until_recovered_at_rest_and_armed_again():
    rig = armed()
    rig.follow(np.linspace(SPEC.home, SPEC.home + 0.5, 9)[1:])
    rig.tick(10)
    rig.loop.estop("button")
    with pytest.raises(MotionError, match="while the arm moves"):
        rig.loop.recover()
    rig.loop.hold("arbiter")
    rig.loop.disarm()
    rig.loop.reset(rig.arm.positions)
    assert rig.loop.mode is ArmMode.ESTOPPED
    with pytest.raises(MotionError, match="cannot arm while estopped; recover it first"):
        rig.loop.arm()
    with pytest.raises(TrajectoryError, match="cannot follow while estopped"):
        rig.follow(slide())
    rig.tick(20)
    rig.loop.recover()
    assert rig.loop.mode is ArmMode.DISARMED
    rig.loop.arm()
    rig.follow(rig.arm.positions + np.zeros((2, 6)))
    assert rig.tick().mode is ArmMode.ARMED


@pytest.mark.parametrize("failure", ["read", "write"])
def test_a_silent_arm_is_a_fault_that_needs_recovery_and_sends_nothing(failure):
    rig = armed()
    rig.follow(slide())
    rig.tick(5)
    rig.arm.failure = failure
    result = rig.tick()
    writes = rig.arm.writes
    assert result.mode is ArmMode.FAULT and result.reasons == ("fault: bus is silent",)
    if failure == "read":
        with pytest.raises(MotionError, match="does not answer"):
            rig.loop.recover()
    rig.arm.failure = None
    rig.arm.before = rig.arm.positions
    rig.tick(3)
    assert rig.arm.writes == writes and rig.loop.mode is ArmMode.FAULT
    rig.loop.recover()
    np.testing.assert_array_equal(rig.tick().command, rig.arm.positions)


def test_an_arm_that_never_answered_is_an_error():
    arm = PerfectArm()
    arm.failure = "read"
    with pytest.raises(HardwareError, match="bus is silent"):
        Rig(arm).tick()


def test_a_reset_starts_from_the_new_pose_without_motion():
    rig = armed()
    rig.follow(slide())
    rig.tick(5)
    elsewhere = np.zeros(6)
    rig.arm.positions = rig.arm.before = elsewhere
    rig.loop.reset(elsewhere)
    rig.loop.arm()
    result = rig.tick()
    np.testing.assert_array_equal(result.command, elsewhere)
    assert result.mode is ArmMode.HOLDING and result.reasons == ()


def test_filters_come_before_the_gate_and_only_while_following():
    seen = []

    def wild(goal, state, stamp_ns):
        seen.append(stamp_ns)
        return goal + 10.0

    rig = armed(filters=(wild,))
    rig.tick(3)
    assert seen == []
    rig.follow(slide())
    result = rig.tick()
    assert len(seen) == 1
    assert result.reasons[0].startswith("absurd goal")
    np.testing.assert_array_equal(result.command, SPEC.home)


@pytest.mark.case(11)
def test_invalid_trajectories_are_refused_counted_and_change_nothing():
    rig = armed()
    rig.follow(slide())
    bad = JointTrajectory(
        stamp_ns=rig.now_ns,
        joints=SPEC.joints,
        times_ns=(NS_PER_S,),
        positions=np.full((1, 6), np.nan),
    )
    with pytest.raises(TrajectoryError, match="finite"):
        rig.loop.follow(bad, rig.now_ns)
    assert rig.loop.refused == {"invalid": 1}
    rig.tick(40)
    np.testing.assert_array_equal(rig.tick().command, slide()[-1])


def test_every_mode_answers_every_request():
    for request in ArmRequest:
        for mode in ArmMode:
            if mode in NEXT_MODE[request]:
                assert next_mode(mode, request) in ArmMode
            else:
                with pytest.raises(MotionError, match=f"cannot {request.value}"):
                    next_mode(mode, request)
    for stop in (ArmRequest.HOLD, ArmRequest.DISARM, ArmRequest.ESTOP, ArmRequest.FAULT):
        assert set(NEXT_MODE[stop]) == set(ArmMode)  # stopping is never refused


class LoopMachine(RuleBasedStateMachine):
    """Any order of requests: nothing moves disarmed, nothing jumps, an e-stop stays."""

    def __init__(self):
        super().__init__()
        self.rig = Rig()
        self.rig.tick()
        self.is_latched = False

    @rule()
    @precondition(lambda self: not self.is_latched)
    def arm(self):
        self.rig.loop.arm()

    @rule(size=st.floats(-0.4, 0.4))
    def follow(self, size):
        target = self.rig.arm.positions + np.linspace(0, size, 5)[1:, None]
        try:
            self.rig.follow(target)
        except TrajectoryError:
            assert self.rig.loop.mode in (ArmMode.DISARMED, ArmMode.ESTOPPED)

    @rule()
    def hold(self):
        self.rig.loop.hold("test")

    @rule()
    def disarm(self):
        self.rig.loop.disarm()

    @rule()
    def estop(self):
        self.rig.loop.estop("test")
        self.is_latched = True

    @rule()
    @precondition(lambda self: self.is_latched)
    def recover(self):
        try:
            self.rig.loop.recover()
            self.is_latched = False
        except MotionError:
            assert not self.rig.loop.is_settled or self.rig.loop.mode is ArmMode.ESTOPPED

    @rule(times=st.integers(1, 8))
    def tick(self, times):
        mode, still = self.rig.loop.mode, self.rig.loop.is_settled
        before = self.rig.arm.positions
        self.rig.tick(times)
        if still and mode in (ArmMode.DISARMED, ArmMode.ESTOPPED):
            np.testing.assert_array_equal(self.rig.arm.positions, before)

    @invariant()
    def estop_stays(self):
        assert not self.is_latched or self.rig.loop.mode is ArmMode.ESTOPPED

    @invariant()
    def nothing_jumps(self):
        path = np.array(list(self.rig.commands.values()))[-12:]
        if len(path) > 1:
            assert np.abs(np.diff(path, axis=0)).max() <= 3.0 / 60 + 1e-9


TestLoopMachine = LoopMachine.TestCase
TestLoopMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
