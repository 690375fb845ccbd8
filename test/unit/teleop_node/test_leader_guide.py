"""The leader's guide: aligned before it is followed, and no jump however it is thrown about."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.clock import CONTROL_GRID
from so101.errors import HardwareError
from so101.robot import so101
from teleop_node.guide import ArmNow
from teleop_node.leader_guide import SOFT_TICKS, LeaderGuide, LeaderRules, Phase

SPEC = so101()
AWAY = SPEC.home + np.array([0.3, 0.4, -0.3, 0.2, -0.5, 0.3])


class FakeLeader:
    """Goes where it is held; a hand may push it, and it may break."""

    def __init__(self, at):
        self.at, self.push = np.array(at), np.zeros(6)
        self.is_limp, self.is_broken = True, False
        self.held = []

    def read(self):
        if self.is_broken:
            raise HardwareError("leader: no answer on /dev/ttyACM1")
        return self.at + self.push

    def hold(self, positions):
        self.is_limp, self.at = False, np.array(positions)
        self.held.append(self.at)

    def let_go(self):
        self.is_limp = True

    def close(self):
        self.let_go()


class Follower:
    """A follower that does at once what the guide wants, and grants control to what is aligned."""

    def __init__(self, guide, command=SPEC.home):
        self.guide, self.command, self.tick = guide, command, 0
        self.may_act, self.has_control = True, False

    def step(self):
        self.tick += 1
        stamp_ns = CONTROL_GRID.stamp(self.tick)
        sent = self.guide.step(
            ArmNow(
                stamp_ns=stamp_ns,
                command=self.command,
                now_ns=stamp_ns,
                may_act=self.may_act,
                has_control=self.has_control,
            )
        )
        if sent is not None:
            if not self.has_control:
                assert np.abs(sent.positions[0] - self.command).max() <= 0.02
            self.has_control, self.command = True, sent.positions[0]
        return sent


def made(at=AWAY, **rules):
    leader = FakeLeader(at)
    guide = LeaderGuide(leader, SPEC, LeaderRules(**rules))
    return leader, guide, Follower(guide)


def test_a_leader_nobody_asked_for_is_limp_and_not_followed():
    leader, guide, follower = made()
    follower.may_act = False
    assert all(follower.step() is None for _ in range(10))
    assert leader.is_limp and guide.phase is Phase.FREE


def test_it_is_driven_slowly_to_the_follower_and_let_go_when_a_hand_moves_it():
    leader, guide, follower = made(drive_speed=0.6)
    assert follower.step() is None
    assert "comes to the follower's pose: wrist_roll is 0.50 rad away" in guide.hint
    while guide.phase is not Phase.READY:
        assert follower.step() is None
        assert follower.tick < 200
    path = np.vstack((AWAY, *leader.held))
    assert np.abs(np.diff(path, axis=0)).max() <= 0.01 + 1e-9
    np.testing.assert_allclose(leader.held[-1], SPEC.home)
    assert follower.step() is None and "move it a little" in guide.hint
    leader.push[2] = 0.1
    first = follower.step()
    assert leader.is_limp and guide.phase is Phase.FOLLOWED
    np.testing.assert_array_equal(first.positions[0], SPEC.home)
    for _ in range(30):
        follower.step()
    np.testing.assert_allclose(follower.command, leader.read(), atol=1e-9)


def test_without_torque_it_is_waited_for_until_it_is_near():
    leader, guide, follower = made(is_driven=False)
    assert all(follower.step() is None for _ in range(5))
    assert "wrist_roll is 0.50 rad away" in guide.hint and not leader.held
    leader.at = SPEC.home + 0.04
    assert follower.step() is not None
    assert guide.phase is Phase.FOLLOWED


def test_a_leader_that_is_held_back_is_not_torn_away():
    leader, guide, follower = made()
    stuck = AWAY.copy()
    for _ in range(300):
        follower.step()
        leader.at = stuck
        assert np.abs(leader.held[-1] - stuck).max() <= 0.3 + 1e-9 if leader.held else True
    assert guide.phase is Phase.DRIVEN


@pytest.mark.case(22)
@settings(max_examples=60, deadline=None)
@given(
    poses=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=100),
    holds=st.integers(1, 10),
)
def test_however_it_is_thrown_about_the_follower_starts_softly_and_stays_bounded(poses, holds):
    leader, _guide, follower = made(at=SPEC.home, is_driven=False)
    follower.step()
    follower.step()
    path = [follower.command]
    for seed in poses:
        leader.at = np.random.default_rng(seed).uniform(SPEC.lower - 1.0, SPEC.upper + 1.0)
        for _ in range(holds):
            follower.step()
            path.append(follower.command)
    steps = np.abs(np.diff(path, axis=0)).max(axis=1)
    ramp = 0.01 + (2.5 / 60 - 0.01) * np.minimum(1.0, np.arange(1, len(steps) + 1) / SOFT_TICKS)
    assert (steps <= ramp + 1e-9).all()
    assert ((np.array(path) >= SPEC.lower) & (np.array(path) <= SPEC.upper)).all()


@pytest.mark.case(25)
def test_a_leader_that_breaks_is_told_and_aligned_anew():
    leader, guide, follower = made(at=SPEC.home, is_driven=False)
    follower.step()
    assert follower.step() is not None
    leader.is_broken = True
    assert follower.step() is None
    assert guide.problem == "leader: no answer on /dev/ttyACM1"
    leader.is_broken, leader.at = False, AWAY
    assert all(follower.step() is None for _ in range(5))
    assert guide.problem == "" and guide.phase is Phase.AWAITED


def test_nonsense_is_a_problem():
    leader, guide, follower = made(at=SPEC.home, is_driven=False)
    leader.at = np.full(6, np.nan)
    assert follower.step() is None
    assert "make no sense" in guide.problem


def test_a_release_lets_it_go():
    leader, guide, follower = made()
    follower.step()
    follower.step()
    assert not leader.is_limp
    follower.may_act = False
    assert follower.step() is None
    assert leader.is_limp and guide.phase is Phase.FREE


@pytest.mark.parametrize("is_driven", [True, False])
def test_control_that_was_lost_is_begun_again_from_where_the_arm_is(is_driven):
    leader, _, follower = made(at=SPEC.home, is_driven=is_driven)
    for _ in range(5):
        follower.step()
    leader.push[0] = 0.1 if is_driven else 0.04
    for _ in range(5):
        follower.step()
    follower.has_control = False
    follower.command = SPEC.home
    again = follower.step()
    np.testing.assert_array_equal(again.positions[0], SPEC.home)
