"""Late, repeated and other people's trajectories: the arm moves as if they had not come."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.arm import ArmState
from so101.clock import CONTROL_GRID, NS_PER_S, nanoseconds
from so101.control.arbiter import Arbiter
from so101.control.arbitration import ArbiterConfig, SourceConfig
from so101.control.arm_loop import ArmLoop
from so101.control.safety import SafetyGate
from so101.control.trajectory import JointTrajectory, tick_times
from so101.episode import ControlSource
from so101.robot import JOINTS, so101

TELEOP, MOTION, POLICY = ControlSource.TELEOP, ControlSource.MOTION, ControlSource.POLICY
SPEC = so101()
FIRST = 600
CHUNK_TICKS = 16
REPLAN_TICKS = 16
CONFIG = ArbiterConfig(
    sources={
        POLICY: SourceConfig(device="policy", decision_ticks=8),
        TELEOP: SourceConfig(device="gamepad", decision_ticks=1, must_align=True),
        MOTION: SourceConfig(device="motion"),
    }
)


def chunk(stamp_ns, seed, source="one 1"):
    rng = np.random.default_rng(seed)
    times = tick_times(stamp_ns, 2 * CHUNK_TICKS)[1::2]
    goals = SPEC.home + np.cumsum(rng.normal(0.0, 0.02, (CHUNK_TICKS, 6)), axis=0)
    return JointTrajectory(
        stamp_ns=stamp_ns, joints=JOINTS, times_ns=times, positions=goals, source=source
    )


class PerfectArm:
    """Is where it was told to be."""

    def __init__(self):
        self.positions = SPEC.home

    def read_state(self):
        return ArmState(positions=self.positions, velocities=np.zeros(6), effort=np.zeros(6))

    def write_goal(self, positions):
        self.positions = positions
        return positions


def commands_with(intruders, ticks=96):
    """Run one policy through arbiter and arm loop, and return every command.

    Args:
        intruders: (tick, source, make) each: ``make(now_ns, chunks so far)`` is offered, too.
        ticks: How long.
    """
    arbiter, arm = Arbiter(CONFIG), PerfectArm()
    loop = ArmLoop(arm, SPEC, SafetyGate(SPEC, None))
    loop.tick(CONTROL_GRID.stamp(FIRST - 1))
    loop.arm()
    arbiter.enable(POLICY, 0)
    sent, commands = [], []
    for tick in range(ticks):
        now_ns = CONTROL_GRID.stamp(FIRST + tick - 1)
        offers = []
        if tick % REPLAN_TICKS == 0:
            sent.append(chunk(now_ns, seed=tick))
            offers.append((POLICY, sent[-1]))
        offers += [(source, make(now_ns, sent)) for at, source, make in intruders if at == tick]
        for source, offered in offers:
            ruling = arbiter.offer(source, offered, now_ns, arm.positions)
            if ruling.trajectory is not None:
                loop.follow(ruling.trajectory, now_ns)
        commands.append(loop.tick(CONTROL_GRID.stamp(FIRST + tick)).command)
    return np.array(commands), arbiter


ALONE, _ = commands_with([])


def test_the_arm_moves_at_all():
    assert np.abs(ALONE - SPEC.home).max() > 0.05


@pytest.mark.case(16)
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(17, 95), st.integers(1, 5)), min_size=1, max_size=12))
def test_what_comes_again_or_after_its_successor_changes_no_command(replays):
    """As a bag of commands that is played back while the policy acts."""
    intruders = [
        (tick, POLICY, lambda now_ns, sent, back=back: sent[max(0, len(sent) - back)])
        for tick, back in replays
    ]
    commands, arbiter = commands_with(intruders)
    np.testing.assert_array_equal(commands, ALONE)
    assert arbiter.dropped.total() == len(replays)
    reasons = {reason for _, reason in arbiter.dropped}
    assert reasons <= {"repeated", "out of order", "over"}


@pytest.mark.case(16)
def test_an_old_chunk_does_not_act_in_a_pause_either():
    """The policy fell silent; what it said before the last chunk is still not new."""
    arbiter = Arbiter(CONFIG)
    arbiter.enable(POLICY, 0)
    first, second = chunk(10 * NS_PER_S, 1), chunk(10 * NS_PER_S + nanoseconds(0.2), 2)
    now_ns = second.stamp_ns
    assert arbiter.offer(POLICY, first, first.stamp_ns).trajectory is not None
    assert arbiter.offer(POLICY, second, now_ns).trajectory is not None
    assert arbiter.tick(now_ns + nanoseconds(0.11)) is not None
    ruling = arbiter.offer(POLICY, first, now_ns + nanoseconds(0.12))
    assert ruling.reason == "out of order: 0.200 s older than what passed last"


def test_a_stamp_ahead_keeps_nobody_out_for_more_than_a_second():
    arbiter = Arbiter(CONFIG)
    arbiter.enable(POLICY, 0)
    now_ns = 10 * NS_PER_S
    assert "in the future" in arbiter.offer(POLICY, chunk(9000 * NS_PER_S, 1), now_ns).reason
    assert arbiter.offer(POLICY, chunk(now_ns, 1), now_ns).trajectory is not None
    assert arbiter.offer(POLICY, chunk(now_ns + NS_PER_S, 1), now_ns).trajectory is not None
    assert "out of order" in arbiter.offer(POLICY, chunk(now_ns + 5, 1), now_ns + 5).reason
    later_ns = now_ns + NS_PER_S + 5
    assert arbiter.offer(POLICY, chunk(later_ns, 1), later_ns).trajectory is not None


def test_before_the_first_command_nobody_knows_what_is_ahead():
    arbiter = Arbiter(CONFIG)
    arbiter.enable(POLICY, 0)
    assert arbiter.offer(POLICY, chunk(9000 * NS_PER_S, 1), 0).trajectory is not None
    later_ns = 2 * NS_PER_S
    assert arbiter.offer(POLICY, chunk(later_ns, 1), later_ns).trajectory is not None


@pytest.mark.case(20)
@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 95), st.sampled_from(["two 2", "", "teleop"])),
        min_size=1,
        max_size=30,
    )
)
def test_with_a_second_commander_the_arm_moves_as_with_the_first_alone(shouts):
    """A second policy on the same topic, and a person who has not taken over."""

    def make(name):
        def second(now_ns, sent):
            return replace(chunk(now_ns, seed=now_ns % 1000), source=name)

        return second

    intruders = [
        (tick, TELEOP if name == "teleop" else POLICY, make(name)) for tick, name in shouts
    ]
    commands, arbiter = commands_with(intruders)
    np.testing.assert_array_equal(commands, ALONE)
    assert arbiter.dropped.total() == len(shouts)
    assert {reason for _, reason in arbiter.dropped} <= {"another speaker", "not enabled"}


@pytest.mark.case(20)
def test_a_second_speaker_is_no_sign_of_life_of_the_first_and_may_follow_it():
    arbiter = Arbiter(CONFIG)
    arbiter.enable(POLICY, 0)
    now_ns = 10 * NS_PER_S
    arbiter.offer(POLICY, chunk(now_ns, 1), now_ns)
    for ms in range(10, 110, 10):
        later_ns = now_ns + ms * 1_000_000
        ruling = arbiter.offer(POLICY, chunk(later_ns, ms, source="two 2"), later_ns)
        assert ruling.reason == "another speaker: 'two 2', but 'one 1' has control"
    silent_ns = now_ns + 101 * 1_000_000
    assert "silent" in arbiter.tick(silent_ns).reason
    assert arbiter.offer(POLICY, chunk(silent_ns, 3, source="two 2"), silent_ns).event is not None
