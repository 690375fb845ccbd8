"""Through ros2_control and back: only what is safe comes through, and silence is noticed."""

import numpy as np
import pytest
from trajectory_controller import TrajectoryController
from virtual_twin import TwinRig

from hardware_node.detour import Detour
from hardware_node.setpoints import FIRST_RAD, SILENCE_NS, STEP_RAD, Setpoints, Stage
from so101.action import ActionChunk
from so101.clock import POLICY_GRID
from so101.control.arm_mode import ArmMode, ArmRequest, next_mode
from so101.control.trajectory import chunk_to_trajectory
from so101.errors import MotionError, TrajectoryError
from so101.robot import JOINTS, so101

HOME = so101().home
ONE = np.eye(len(JOINTS))[0]
MS = 1_000_000


def test_the_first_setpoint_is_where_the_arm_is():
    setpoints = Setpoints()
    with pytest.raises(TrajectoryError, match=r"shoulder_pan is 0\.21 rad from where the arm is"):
        setpoints.offer(HOME + 0.21 * ONE, HOME, 0)
    goal = setpoints.offer(HOME + 0.9 * FIRST_RAD * ONE, HOME, MS)
    np.testing.assert_array_equal(goal, HOME + 0.9 * FIRST_RAD * ONE)
    assert setpoints.stage is Stage.FOLLOWING


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_never_followed(value):
    setpoints = Setpoints()
    setpoints.offer(HOME, HOME, 0)
    with pytest.raises(TrajectoryError, match="not finite"):
        setpoints.offer(np.where(ONE, value, HOME), HOME, MS)
    assert setpoints.stage is Stage.WAITING


def test_a_jump_ends_the_following_until_the_controller_is_back():
    setpoints = Setpoints()
    setpoints.offer(HOME, HOME, 0)
    setpoints.offer(HOME + 0.9 * STEP_RAD * ONE, HOME, MS)  # the gate is slower; it may
    with pytest.raises(TrajectoryError, match="from where the last one was"):
        setpoints.offer(np.zeros(6), HOME, 2 * MS)
    with pytest.raises(TrajectoryError, match="from where the arm is"):
        setpoints.offer(np.zeros(6), HOME, 3 * MS)
    assert setpoints.offer(HOME, HOME, 4 * MS) is not None


def test_a_setpoint_that_stays_is_followed_once_and_heard_always():
    setpoints = Setpoints()
    assert setpoints.offer(HOME, HOME, 0) is not None
    for k in range(1, 40):
        assert setpoints.offer(HOME, HOME, k * 10 * MS) is None
        assert not setpoints.is_silent(k * 10 * MS)
    last_ns = 390 * MS
    assert not setpoints.is_silent(last_ns + SILENCE_NS)
    assert setpoints.is_silent(last_ns + SILENCE_NS + 1)
    assert not setpoints.is_silent(last_ns + SILENCE_NS + 2), "said once"


def test_closed_means_closed():
    setpoints = Setpoints()
    setpoints.close()
    assert setpoints.offer(HOME, HOME, 0) is None
    setpoints.forget()
    assert setpoints.stage is Stage.CLOSED
    setpoints.open()
    assert setpoints.offer(HOME, HOME, MS) is not None
    setpoints.open()
    assert setpoints.stage is Stage.FOLLOWING, "another trajectory of the same source"


class Desk:
    """The twin's arm, the way through ros2_control and a controller, on one virtual clock."""

    def __init__(self, path, activated_at=None):
        self.rig = TwinRig(path)
        self.newest = self.rig.tick()
        where = self.newest.command if activated_at is None else activated_at
        self.controller = TrajectoryController(where)
        self.is_alive = True
        self.detour = Detour(self, self.tell, lambda: self.rig.port.clock_ns)
        self.sent, self.refused, self.said, self.commands = [], [], [], []
        self._next_ns = self.rig.port.clock_ns

    def tell(self, trajectory):
        self.sent.append(trajectory)
        self.controller.take(trajectory, self.rig.port.clock_ns)

    def check_able(self):
        next_mode(self.rig.loop.mode, ArmRequest.FOLLOW)

    def follow(self, trajectory):
        self.rig.loop.follow(trajectory, self.rig.port.clock_ns)

    def hold(self, reason):
        self.rig.loop.hold(reason)

    def run(self, ticks):
        """Let control ticks pass; the controller speaks every 10 ms."""
        for _ in range(ticks):
            self.newest = self.rig.tick()
            self.commands.append(self.newest.command)
            while self._next_ns <= self.rig.port.clock_ns:
                self._next_ns += 10 * MS
                if self.is_alive:
                    self.speak(self.controller.sample(self._next_ns))
            self.said += [words] if (words := self.detour.look()) else []

    def speak(self, setpoint):
        try:
            self.detour.take(setpoint)
        except TrajectoryError as error:
            self.refused.append(str(error))

    def plan(self, way, horizon=16):
        """Return a chunk that begins with the next policy tick and goes a way [rad]."""
        share = (np.arange(horizon) + 1.0)[:, None] / horizon
        stamp_ns = POLICY_GRID.stamp(POLICY_GRID.ceil(self.rig.port.clock_ns))
        chunk = ActionChunk(
            stamp_ns=stamp_ns, positions=self.newest.command + share * way, rate_hz=30
        )
        return chunk_to_trajectory(chunk, JOINTS)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "arm.json")


def test_a_chunk_comes_back_as_it_was_planned(desk):
    way = np.array([0.4, 0.1, -0.2, -0.2, 0.4, 0.2])
    plan = desk.plan(way)
    desk.detour.follow(plan)
    desk.run(45)
    assert desk.refused == []
    assert desk.controller.refused == []
    np.testing.assert_allclose(desk.commands[-1], plan.positions[-1], atol=1e-9)
    np.testing.assert_allclose(desk.rig.truth, plan.positions[-1], atol=0.06)
    steps = np.abs(np.diff(desk.commands, axis=0)) * 60.0
    assert steps.max() < so101().max_velocity.max()
    desk.run(20)
    assert desk.rig.loop.mode is ArmMode.HOLDING, "the controller repeats itself: nothing to do"


def test_a_controller_that_was_activated_elsewhere_moves_nothing(tmp_path):
    """Before the first reading a controller holds zeros."""
    desk = Desk(tmp_path / "arm.json", activated_at=np.zeros(6))
    before = desk.newest.command
    desk.run(30)
    assert desk.refused and "from where the arm is" in desk.refused[0]
    np.testing.assert_array_equal(desk.commands, np.tile(before, (30, 1)))
    desk.run(60)  # it is told where the arm is, goes there by itself, and may go on
    assert len(desk.sent) >= 1 and "elsewhere" in desk.said[0]
    assert np.abs(np.array(desk.commands) - before).max() <= FIRST_RAD
    heard = len(desk.refused)
    desk.run(30)
    assert len(desk.refused) == heard


def test_a_controller_that_dies_leaves_the_arm_at_rest(desk):
    desk.detour.follow(desk.plan(1.2 * ONE))
    desk.run(15)
    at_death = desk.newest.command
    desk.is_alive = False
    desk.run(40)
    assert desk.said == ["the controller is silent: the arm holds where it is"]
    assert desk.rig.loop.mode is ArmMode.HOLDING
    np.testing.assert_array_equal(desk.commands[-1], desk.commands[-10])
    assert 0.0 < desk.commands[-1][0] - at_death[0] < 0.3, "no further than it takes to brake"
    desk.is_alive, desk.controller = True, TrajectoryController(np.zeros(6))
    stopped = desk.newest.command
    desk.run(20)
    np.testing.assert_array_equal(desk.newest.command, stopped)


def test_nobody_in_control_means_that_the_controller_is_not_heard(desk):
    desk.detour.follow(desk.plan(1.2 * ONE))
    desk.run(15)
    desk.detour.hold("nobody speaks")
    desk.run(40)
    held = desk.newest.command
    desk.controller.desired = held + 0.05  # somebody else commands the controller
    desk.run(20)
    np.testing.assert_array_equal(desk.newest.command, held)
    assert desk.sent[-1].source == "hold", "the controller is told where the arm stops"
    desk.detour.follow(desk.plan(-0.3 * ONE))
    desk.run(60)
    assert desk.newest.command[0] == pytest.approx(held[0] - 0.3, abs=0.05)


def test_a_loose_or_stopped_arm_takes_neither_trajectories_nor_setpoints(desk):
    desk.rig.loop.estop("test")
    desk.newest = desk.rig.tick()
    with pytest.raises(MotionError, match="estopped"):
        desk.detour.follow(desk.plan(0.3 * ONE))
    before = desk.newest.command
    desk.speak(before + 0.05 * ONE)
    desk.run(5)
    np.testing.assert_array_equal(desk.newest.command, before)
    assert desk.sent == [] and desk.refused == []


def test_one_bad_setpoint_stops_the_arm_and_says_so(desk):
    desk.detour.follow(desk.plan(0.6 * ONE))
    desk.run(10)
    desk.is_alive = False
    desk.speak(np.full(6, np.nan))
    assert "not finite" in desk.refused[0]
    assert desk.rig.loop.mode is ArmMode.HOLDING
    desk.run(30)
    assert np.isfinite(desk.commands).all()
    np.testing.assert_array_equal(desk.commands[-1], desk.commands[-5])
