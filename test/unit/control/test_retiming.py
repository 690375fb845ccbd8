"""What a controller with a clock of its own is sent is what our follower would have followed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trajectory_controller import TrajectoryController

from so101.action import ActionChunk
from so101.clock import CONTROL_GRID, POLICY_GRID, nanoseconds
from so101.control.follower import TrajectoryFollower, Waypoint
from so101.control.retiming import FIRST_NS, for_controller, stay_at
from so101.control.trajectory import JointTrajectory, chunk_to_trajectory
from so101.errors import TrajectoryError
from so101.robot import JOINTS, so101

HOME = so101().home
START_NS = POLICY_GRID.stamp(300)


def chunk(seed=0, horizon=16):
    steps = np.random.default_rng(seed).normal(0.0, 0.03, (horizon, len(JOINTS)))
    return ActionChunk(stamp_ns=START_NS, positions=HOME + np.cumsum(steps, axis=0), rate_hz=30)


@given(st.integers(0, 50), st.integers(0, 520_000_000))
def test_it_is_what_a_controller_accepts(seed, late_ns):
    plan = chunk_to_trajectory(chunk(seed), JOINTS)
    sent = for_controller(plan, START_NS + late_ns, HOME, JOINTS)
    controller = TrajectoryController(HOME)
    controller.take(sent, 0)
    assert controller.refused == []
    assert sent.times_ns[0] >= FIRST_NS
    assert sent.source == plan.source
    np.testing.assert_array_equal(sent.positions[-1], plan.positions[-1])


@given(
    gaps_ms=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    share=st.floats(0.0, 0.999),
    has_velocities=st.booleans(),
    is_stamped=st.booleans(),
)
def test_so_is_the_rest_of_any_trajectory(gaps_ms, share, has_velocities, is_stamped):
    """Points closer than the controller's period, the first ones past, or only the last left."""
    times_ns = tuple((np.cumsum(gaps_ms) * 1_000_000).tolist())
    shape = (len(times_ns), len(JOINTS))
    plan = JointTrajectory(
        stamp_ns=START_NS if is_stamped else 0,
        joints=JOINTS,
        times_ns=times_ns,
        positions=np.tile(HOME, (len(times_ns), 1)),
        velocities=np.full(shape, 0.1) if has_velocities else None,
    )
    sent = for_controller(plan, START_NS + int(share * times_ns[-1]), HOME, JOINTS)
    controller = TrajectoryController(HOME)
    controller.take(sent, 0)
    assert controller.refused == []
    assert sent.times_ns[0] >= FIRST_NS
    assert np.isfinite(sent.velocities).all()
    assert sent.velocities.shape == sent.positions.shape
    if not is_stamped:
        assert sent.times_ns[-1] == max(times_ns[-1], FIRST_NS), "it begins on arrival"


@pytest.mark.parametrize("late_ticks", [0, 1, 3, 7, 12])
def test_a_controller_follows_it_like_our_own_follower(late_ticks):
    """From its first point on, at every tick, however late it was sent."""
    plan = chunk_to_trajectory(chunk(), JOINTS)
    now_ns = CONTROL_GRID.stamp(CONTROL_GRID.floor(START_NS) + late_ticks)
    ours, theirs = TrajectoryFollower(JOINTS), TrajectoryController(HOME)
    at_rest = Waypoint(stamp_ns=now_ns, positions=HOME, velocities=np.zeros(len(JOINTS)))
    ours.replace(plan, now_ns, at_rest)
    sent = for_controller(plan, now_ns, HOME, JOINTS)
    theirs.take(sent, now_ns)
    due_ns = now_ns + sent.times_ns[0]
    second_ns = now_ns + sent.times_ns[1]
    for tick in range(CONTROL_GRID.ceil(now_ns), CONTROL_GRID.floor(plan.ends_ns) + 5):
        stamp_ns = CONTROL_GRID.stamp(tick)
        wanted, asked = ours.sample(stamp_ns), theirs.sample(stamp_ns)
        if stamp_ns >= second_ns or stamp_ns == due_ns:
            np.testing.assert_allclose(asked, wanted, atol=1e-6)


def test_given_velocities_are_kept_but_the_last():
    times = tuple(nanoseconds(0.1 * (k + 1)) for k in range(3))
    speeds = np.full((3, len(JOINTS)), 0.2)
    plan = JointTrajectory(
        stamp_ns=START_NS,
        joints=JOINTS,
        times_ns=times,
        positions=np.tile(HOME, (3, 1)),
        velocities=speeds,
    )
    sent = for_controller(plan, START_NS + nanoseconds(0.15), HOME, JOINTS)
    np.testing.assert_array_equal(sent.velocities, [speeds[1], np.zeros(len(JOINTS))])
    assert sent.times_ns == (nanoseconds(0.05), nanoseconds(0.15))
    assert (speeds == 0.2).all(), "the original is somebody else's"


def test_what_is_over_or_broken_is_refused():
    plan = chunk_to_trajectory(chunk(), JOINTS)
    with pytest.raises(TrajectoryError, match="past"):
        for_controller(plan, plan.ends_ns, HOME, JOINTS)
    broken = np.array(plan.positions)
    broken[3, 2] = np.nan
    bad = JointTrajectory(
        stamp_ns=plan.stamp_ns, joints=JOINTS, times_ns=plan.times_ns, positions=broken
    )
    with pytest.raises(TrajectoryError, match="finite"):
        for_controller(bad, START_NS, HOME, JOINTS)


def test_a_stop_is_one_point_at_rest():
    sent, controller = stay_at(HOME, JOINTS), TrajectoryController(HOME + 0.5)
    controller.take(sent, 0)
    assert controller.refused == []
    np.testing.assert_array_equal(controller.sample(nanoseconds(1.0)), HOME)
