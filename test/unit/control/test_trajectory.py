"""Laws of trajectories on the controller's topic and of following them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so101.action import ActionChunk
from so101.clock import CONTROL_GRID, NS_PER_S, POLICY_GRID
from so101.control.follower import MAX_EARLY_NS, MAX_LATE_NS, TrajectoryFollower, Waypoint
from so101.control.trajectory import (
    JointTrajectory,
    chunk_from_trajectory,
    chunk_to_trajectory,
    validate,
)
from so101.errors import TrajectoryError
from so101.robot import JOINTS

MS = 1_000_000
poses = hnp.arrays(np.float64, 6, elements=st.floats(-1.5, 1.5))
chunks = st.builds(
    lambda tick, positions: ActionChunk(stamp_ns=POLICY_GRID.stamp(tick), positions=positions),
    st.integers(1, 10**7),
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 16), st.just(6)), elements=st.floats(-1.5, 1.5)
    ),
)


def trajectory(*, stamp_ns=NS_PER_S, times_ns=(10 * MS, 20 * MS), joints=JOINTS, positions=None):
    positions = np.zeros((len(times_ns), 6)) if positions is None else positions
    return JointTrajectory(
        stamp_ns=stamp_ns, joints=joints, times_ns=times_ns, positions=positions
    )


NAN = np.full((2, 6), np.nan)
INF = np.full((2, 6), np.inf)


@pytest.mark.case(11, 12, 13)
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (trajectory(times_ns=()), "no points"),
        (trajectory(times_ns=(-1, 20)), "< 0"),
        (trajectory(times_ns=(20, 20)), "do not increase"),
        (trajectory(times_ns=(20, 10)), "do not increase"),
        (trajectory(stamp_ns=-5), "negative start"),
        (trajectory(joints=JOINTS[::-1]), "shuffled joint names"),
        (trajectory(joints=JOINTS[:5]), "wrong joint names"),
        (trajectory(joints=(*JOINTS[:5], "jaw")), "wrong joint names"),
        (trajectory(joints=(*JOINTS[:5], JOINTS[0])), "wrong joint names"),
        (trajectory(joints=()), "wrong joint names: got none"),
        (trajectory(positions=np.zeros((2, 5))), "positions have shape"),
        (trajectory(positions=np.zeros((3, 6))), "positions have shape"),
        (trajectory(positions=np.zeros(6)), "positions have shape"),
        (trajectory(positions=NAN), "positions are not all finite"),
        (trajectory(positions=INF), "positions are not all finite"),
        (trajectory(positions=np.full((2, 6), 1e9)), r"positions reach 1e\+09, at most 10"),
        (trajectory(positions=np.full((2, 6), -1e308)), "positions reach"),
        (replace(trajectory(), velocities=np.full((2, 6), 1e4)), "velocities reach 10000"),
        (replace(trajectory(), velocities=np.zeros((1, 6))), "velocities have shape"),
        (replace(trajectory(), velocities=NAN), "velocities are not all finite"),
    ],
)
def test_a_bad_trajectory_is_rejected_whole_with_its_reason(bad, reason):
    with pytest.raises(TrajectoryError, match=reason):
        validate(bad, JOINTS)
    follower = TrajectoryFollower(JOINTS)
    follower.replace(trajectory(), NS_PER_S)
    before = follower.sample(NS_PER_S + 15 * MS)
    with pytest.raises(TrajectoryError, match=reason):
        follower.replace(bad, NS_PER_S)
    np.testing.assert_array_equal(follower.sample(NS_PER_S + 15 * MS), before)


@settings(max_examples=50, deadline=None)
@given(chunks)
def test_chunk_and_trajectory_are_inverse(chunk):
    wire = chunk_to_trajectory(chunk, JOINTS)
    validate(wire, JOINTS)
    back = chunk_from_trajectory(wire, rate_hz=chunk.rate_hz, speed=chunk.speed)
    assert (back.stamp_ns, back.rate_hz, back.speed) == (chunk.stamp_ns, 30, 1.0)
    np.testing.assert_array_equal(back.positions, chunk.positions)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10**9), st.floats(0.4, 1.6), st.sampled_from([10, 15, 30]))
def test_chunks_at_any_speed_and_stamp_are_inverse(stamp_ns, speed, rate_hz):
    chunk = ActionChunk(
        stamp_ns=stamp_ns, positions=np.zeros((8, 6)), rate_hz=rate_hz, speed=speed
    )
    back = chunk_from_trajectory(chunk_to_trajectory(chunk, JOINTS), rate_hz=rate_hz, speed=speed)
    assert back.due_ns() == chunk.due_ns()


@given(st.integers(1, 10**9), st.integers(0, NS_PER_S))
def test_a_delayed_chunk_and_its_trajectory_are_inverse(stamp_ns, delay_ns):
    chunk = ActionChunk(stamp_ns=stamp_ns, positions=np.zeros((8, 6)), delay_ns=delay_ns)
    wire = chunk_to_trajectory(chunk, JOINTS)
    assert (wire.stamp_ns, wire.ends_ns) == (stamp_ns, chunk.due_ns()[-1])
    back = chunk_from_trajectory(wire, rate_hz=30, delay_ns=delay_ns)
    assert (back.stamp_ns, back.due_ns()) == (stamp_ns, chunk.due_ns())


def test_a_trajectory_that_is_no_chunk_is_not_read_as_one():
    with pytest.raises(TrajectoryError, match="no chunk"):
        chunk_from_trajectory(trajectory(), rate_hz=30)


@pytest.mark.parametrize("positions", [np.zeros((0, 6)), np.zeros((2, 5)), NAN])
def test_a_broken_chunk_becomes_no_trajectory(positions):
    with pytest.raises(TrajectoryError, match="need finite positions"):
        chunk_to_trajectory(ActionChunk(stamp_ns=1, positions=positions), JOINTS)


@settings(max_examples=40, deadline=None)
@given(chunks, poses)
def test_every_point_is_reproduced_on_the_control_grid(chunk, command):
    follower = TrajectoryFollower(JOINTS)
    start = Waypoint(stamp_ns=chunk.stamp_ns, positions=command, velocities=np.ones(6))
    follower.replace(chunk_to_trajectory(chunk, JOINTS), chunk.stamp_ns, start)
    first = CONTROL_GRID.floor(chunk.stamp_ns)
    sampled = [follower.sample(CONTROL_GRID.stamp(first + k)) for k in range(40)]
    np.testing.assert_array_equal(sampled[0], command)
    for k, point in enumerate(chunk.positions):
        np.testing.assert_array_equal(sampled[2 * (k + 1)], point)
    for late in sampled[2 * len(chunk.positions) :]:
        np.testing.assert_array_equal(late, chunk.positions[-1])
    assert follower.ends_ns == chunk.due_ns()[-1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(0, 400 * MS))
def test_a_splice_keeps_position_and_bounds_velocity(seed, ticks, late_ns):
    """Continuous, and never faster than the old motion and the way to the new points demand."""
    rng = np.random.default_rng(seed)
    first, second = (
        ActionChunk(stamp_ns=NS_PER_S, positions=rng.uniform(-1.5, 1.5, (rng.integers(1, 17), 6)))
        for _ in range(2)
    )
    follower = TrajectoryFollower(JOINTS)
    follower.replace(chunk_to_trajectory(first, JOINTS), first.stamp_ns)
    now_ns = CONTROL_GRID.stamp(CONTROL_GRID.floor(first.stamp_ns) + ticks)
    before = follower.sample(now_ns)
    moved = replace(second, stamp_ns=max(now_ns - late_ns, 1))
    ahead = [due for due in moved.due_ns() if due > now_ns]
    if not ahead:
        with pytest.raises(TrajectoryError, match="in the past"):
            follower.replace(chunk_to_trajectory(moved, JOINTS), now_ns)
        np.testing.assert_array_equal(follower.sample(now_ns), before)
        return
    follower.replace(chunk_to_trajectory(moved, JOINTS), now_ns)
    np.testing.assert_allclose(follower.sample(now_ns), before, atol=1e-12)
    soon = follower.sample(now_ns + 1000)
    start_speed = np.abs(soon - before).max() / 1e-6
    assert start_speed <= 2.5 * 3.0 * 30  # a cubic between points 3 rad and 1/30 s apart
    fine = np.array([follower.sample(now_ns + k * 8 * MS) for k in range(70)])
    steps = np.abs(np.diff(fine, axis=0)).max() / 8e-3
    shortest_s = (ahead[0] - now_ns) * 1e-9
    assert steps <= 3 * (3.0 / min(shortest_s, 1 / 30) + start_speed) + 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_between_two_points_the_goal_lies_between_them(seed):
    points = np.random.default_rng(seed).uniform(-1.5, 1.5, (10, 6))
    chunk = ActionChunk(stamp_ns=NS_PER_S, positions=points)
    follower = TrajectoryFollower(JOINTS)
    follower.replace(chunk_to_trajectory(chunk, JOINTS), NS_PER_S)
    due = chunk.due_ns()
    for k in range(9):
        low, high = np.sort(points[k : k + 2], axis=0)
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            goal = follower.sample(due[k] + int(share * (due[k + 1] - due[k])))
            assert (goal >= low - 1e-12).all() and (goal <= high + 1e-12).all()


def test_replanning_the_same_curve_changes_nothing_at_its_points():
    curve = np.sin(np.arange(40)[:, None] * 0.1 + np.arange(6))
    follower = TrajectoryFollower(JOINTS)
    sampled = []
    for tick in range(24):
        stamp_ns = POLICY_GRID.stamp(30 + tick)
        sampled.append(follower.sample(stamp_ns))
        if tick % 8 == 0:
            chunk = ActionChunk(stamp_ns=stamp_ns, positions=curve[tick : tick + 16])
            follower.replace(chunk_to_trajectory(chunk, JOINTS), stamp_ns)
    np.testing.assert_array_equal(sampled[1:], curve[:23])


@pytest.mark.case(15)
def test_points_in_the_past_are_skipped():
    points = np.arange(5.0)[:, None] * np.ones(6) * 0.1
    times = tuple(100 * MS * (k + 1) for k in range(5))
    follower = TrajectoryFollower(JOINTS)
    late = trajectory(times_ns=times, positions=points)
    start = Waypoint(
        stamp_ns=NS_PER_S + 250 * MS, positions=np.full(6, 0.5), velocities=np.zeros(6)
    )
    follower.replace(late, NS_PER_S + 250 * MS, start)
    assert follower.sample(NS_PER_S + 250 * MS)[0] == 0.5
    np.testing.assert_array_equal(follower.sample(NS_PER_S + 300 * MS), points[2])


@pytest.mark.parametrize(
    ("stamp_ns", "reason"),
    [
        (10 * NS_PER_S - 200 * MS, "all points are in the past, the last one by"),
        (10 * NS_PER_S - MAX_LATE_NS - 1, "started"),
        (10 * NS_PER_S + MAX_EARLY_NS + 1, "starts in"),
    ],
)
def test_trajectories_of_another_time_are_rejected(stamp_ns, reason):
    times = (100 * MS, 150 * MS) if "past" in reason else (100 * MS, 5 * NS_PER_S)
    with pytest.raises(TrajectoryError, match=reason):
        TrajectoryFollower(JOINTS).replace(
            trajectory(stamp_ns=stamp_ns, times_ns=times), 10 * NS_PER_S
        )


def test_stamp_zero_means_now():
    follower = TrajectoryFollower(JOINTS)
    follower.replace(trajectory(stamp_ns=0), 7 * NS_PER_S)
    assert follower.ends_ns == 7 * NS_PER_S + 20 * MS


def test_a_later_start_is_waited_for_without_a_jump():
    follower = TrajectoryFollower(JOINTS)
    start = Waypoint(stamp_ns=NS_PER_S, positions=np.zeros(6), velocities=np.zeros(6))
    points = np.ones((2, 6))
    later = trajectory(stamp_ns=NS_PER_S + 500 * MS, positions=points)
    follower.replace(later, NS_PER_S, start)
    path = [follower.sample(NS_PER_S + k * MS)[0] for k in range(520)]
    assert path[0] == 0.0
    assert max(np.abs(np.diff(path))) < 0.006


def test_given_velocities_are_used():
    follower = TrajectoryFollower(JOINTS)
    start = Waypoint(stamp_ns=NS_PER_S, positions=np.zeros(6), velocities=np.ones(6))
    line = trajectory(times_ns=(NS_PER_S,), positions=np.ones((1, 6)))
    follower.replace(replace(line, velocities=np.ones((1, 6))), NS_PER_S, start)
    for share in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(follower.sample(NS_PER_S + int(share * NS_PER_S)), share)


def test_nothing_to_follow_is_none():
    follower = TrajectoryFollower(JOINTS)
    assert follower.sample(5) is None and follower.ends_ns is None
    follower.replace(trajectory(), NS_PER_S)
    assert follower.sample(NS_PER_S) is not None
    follower.clear()
    assert follower.sample(NS_PER_S) is None and follower.ends_ns is None


@given(
    seed=st.integers(0, 2**32 - 1),
    speed=st.floats(1.0, 2.0),
    ticks=st.lists(st.integers(1, 10**7), min_size=2, max_size=2),
)
def test_a_chunk_is_followed_the_same_at_whatever_time_it_starts(seed, speed, ticks):
    """To the last bit, at any playback speed: an episode is the same in every session."""
    first, second = np.random.default_rng(seed).normal(0.0, 0.1, (2, 16, 6))
    found = []
    for tick in ticks:
        follower, goals = TrajectoryFollower(JOINTS), []
        for begin, positions in ((tick, first), (tick + 8, second)):
            stamp_ns = POLICY_GRID.stamp(begin)
            chunk = ActionChunk(stamp_ns=stamp_ns, positions=positions, speed=speed)
            start = Waypoint(stamp_ns=stamp_ns, positions=np.zeros(6), velocities=np.zeros(6))
            follower.replace(chunk_to_trajectory(chunk, JOINTS), stamp_ns, start)
            control = CONTROL_GRID.floor(stamp_ns)
            goals += [follower.sample(CONTROL_GRID.stamp(control + i)) for i in range(16)]
        found.append(np.array(goals))
    np.testing.assert_array_equal(*found)
