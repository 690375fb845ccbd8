"""Who is in control: priorities, time-outs, takeover, e-stop, and that nobody is blended."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.clock import NS_PER_S
from so101.control.arbiter import PRIORITY, Arbiter
from so101.control.arbitration import ArbiterConfig, SourceConfig
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource
from so101.errors import SessionError
from so101.robot import JOINTS

ESTOP, TELEOP, MOTION, POLICY, HOLD = ControlSource
MS = 1_000_000
NOW = 10 * NS_PER_S
COMMAND = np.zeros(6)
CONFIG = ArbiterConfig(
    sources={
        TELEOP: SourceConfig(device="leader", decision_ticks=1, must_align=True),
        MOTION: SourceConfig(device="planner"),
        POLICY: SourceConfig(device="policy", decision_ticks=8),
    }
)


def wish(now_ns=NOW, *, at=0.0, lasts_ns=500 * MS):
    return JointTrajectory(
        stamp_ns=now_ns,
        joints=JOINTS,
        times_ns=(33 * MS, lasts_ns),
        positions=np.full((2, 6), at),
    )


def running(source, config=CONFIG):
    """Return an arbiter with a source in control."""
    arbiter = Arbiter(config)
    arbiter.enable(POLICY, NOW)
    if source is TELEOP:
        arbiter.take_over(NOW)
    if source in PRIORITY:
        assert arbiter.offer(source, wish(), NOW, COMMAND).trajectory is not None
    if source is ESTOP:
        arbiter.estop(NOW, "button")
    assert arbiter.source is source
    return arbiter


def test_it_starts_in_hold_and_a_policy_must_be_enabled():
    arbiter = Arbiter(CONFIG)
    ruling = arbiter.offer(POLICY, wish(), NOW)
    assert (ruling.trajectory, ruling.reason, arbiter.source) == (None, "not enabled", HOLD)
    assert arbiter.enable(POLICY, NOW) is None
    ruling = arbiter.offer(POLICY, wish(), NOW)
    assert ruling.trajectory.source == "policy"
    assert (ruling.event.source, ruling.event.device) == (POLICY, "policy")
    assert (ruling.event.decision_ticks, ruling.event.stamp_ns) == (8, NOW)
    assert arbiter.offer(POLICY, wish(NOW + 5), NOW + 5).event is None


def test_what_passes_is_the_wish_itself():
    arbiter = running(POLICY)
    sent = wish(NOW + 1, at=0.3)
    passed = arbiter.offer(POLICY, sent, NOW + 1).trajectory
    assert passed.positions is sent.positions
    assert (passed.stamp_ns, passed.times_ns) == (sent.stamp_ns, sent.times_ns)


def test_motion_interrupts_the_policy_until_it_is_finished():
    arbiter = running(POLICY)
    assert arbiter.offer(MOTION, wish(), NOW).event.source is MOTION
    ruling = arbiter.offer(POLICY, wish(), NOW)
    assert (ruling.trajectory, ruling.reason) == (None, "motion has control")
    arbiter.alive(MOTION, NOW + 450 * MS)
    assert arbiter.tick(NOW + 499 * MS) is None
    event = arbiter.tick(NOW + 500 * MS)
    assert (event.source, event.reason) == (HOLD, "motion finished")
    later = NOW + 500 * MS
    assert arbiter.offer(POLICY, wish(later), later).event.source is POLICY


@pytest.mark.case(22)
def test_a_takeover_holds_at_once_and_begins_aligned():
    arbiter = running(POLICY)
    event = arbiter.take_over(NOW)
    assert (event.source, event.stamp_ns) == (HOLD, NOW)
    assert arbiter.take_over(NOW) is None
    far = arbiter.offer(TELEOP, wish(at=0.021), NOW, COMMAND)
    assert far.trajectory is None
    assert far.reason.startswith("not aligned: shoulder_pan is 0.021 rad away")
    assert arbiter.offer(TELEOP, wish(), NOW).reason == "not aligned: no joint command seen yet"
    near = arbiter.offer(TELEOP, wish(at=0.02), NOW, COMMAND)
    assert near.event.source is TELEOP
    later = arbiter.offer(TELEOP, wish(NOW + 1, at=0.5), NOW + 1, COMMAND)
    assert later.trajectory is not None  # aligned once, then free


def test_a_source_that_plans_from_the_observation_need_not_align():
    assert running(POLICY).offer(MOTION, wish(at=1.0), NOW, COMMAND).trajectory is not None


def test_after_a_release_the_policy_returns_with_its_next_chunk_only():
    arbiter = running(TELEOP)
    assert arbiter.offer(POLICY, wish(), NOW).reason == "teleoperation has taken over"
    event = arbiter.release(NOW + MS)
    assert (event.source, event.reason) == (HOLD, "released")
    assert arbiter.tick(NOW + 2 * MS) is None and arbiter.source is HOLD
    assert arbiter.offer(POLICY, wish(NOW + 3 * MS), NOW + 3 * MS).event.source is POLICY


@pytest.mark.case(17, 18)
@pytest.mark.parametrize("source", PRIORITY)
def test_silence_of_100_ms_means_hold(source):
    arbiter = running(source)
    assert arbiter.tick(NOW + 100 * MS) is None
    event = arbiter.tick(NOW + 101 * MS)
    assert (event.source, event.stamp_ns) == (HOLD, NOW + 101 * MS)
    assert event.reason == f"{source.value} was silent for 0.101 s"
    assert arbiter.tick(NOW + 102 * MS) is None


@pytest.mark.parametrize("source", PRIORITY)
def test_a_source_that_comes_back_has_control_from_its_return_on(source):
    """Whatever the stamp of the observation that it planned from."""
    arbiter = running(source)
    assert arbiter.tick(NOW + 101 * MS).source is HOLD
    event = arbiter.offer(source, wish(NOW + 50 * MS), NOW + 110 * MS, COMMAND).event
    assert (event.source, event.stamp_ns) == (source, NOW + 110 * MS)


@pytest.mark.parametrize("source", PRIORITY)
def test_where_time_waits_control_begins_with_the_trajectory(source):
    """It may arrive before or after the newest tick; control never goes back behind a change."""
    arbiter = running(source, replace(CONFIG, alive_timeout_ns=None))
    lost = arbiter.estop(NOW + 60 * MS, "button")
    assert arbiter.recover(NOW + 70 * MS).source is HOLD
    assert lost.source is ESTOP
    if source is TELEOP:
        arbiter.take_over(NOW + 70 * MS)
    arbiter.enable(POLICY, NOW + 70 * MS)
    stamps = {50: 70, 90: 90}
    for planned, since in stamps.items():
        again = copy.deepcopy(arbiter)
        event = again.offer(source, wish(NOW + planned * MS), NOW + 80 * MS, COMMAND).event
        assert (event.source, event.stamp_ns) == (source, NOW + since * MS)


@pytest.mark.case(15)
@pytest.mark.parametrize("source", PRIORITY)
def test_what_is_over_gives_no_control(source):
    arbiter = running(source)
    assert arbiter.tick(NOW + 600 * MS).source is HOLD
    ruling = arbiter.offer(source, wish(), NOW + 600 * MS, COMMAND)
    assert (ruling.trajectory, ruling.event, arbiter.source) == (None, None, HOLD)
    assert ruling.reason == "over: its last point was due 0.100 s ago"
    assert arbiter.offer(source, wish(0), NOW + 600 * MS, COMMAND).event.source is source


@pytest.mark.parametrize("source", [TELEOP, POLICY])
def test_where_time_waits_nobody_is_silent(source):
    arbiter = running(source, replace(CONFIG, alive_timeout_ns=None))
    assert arbiter.tick(NOW + NS_PER_S) is None
    assert arbiter.source is source


@pytest.mark.parametrize("source", PRIORITY)
def test_signs_of_life_keep_control_and_old_ones_do_not_count_back(source):
    arbiter = running(source)
    for k in range(1, 9):
        arbiter.alive(source, NOW + k * 50 * MS)
        arbiter.alive(source, NOW)
        assert arbiter.tick(NOW + k * 50 * MS) is None
    assert arbiter.source is source


def test_a_lost_leader_arm_never_hands_over_to_the_policy():
    arbiter = running(TELEOP)
    assert arbiter.tick(NOW + 200 * MS).source is HOLD
    for k in range(20):
        assert arbiter.offer(POLICY, wish(), NOW + (200 + k) * MS).trajectory is None
        assert arbiter.offer(MOTION, wish(), NOW + (200 + k) * MS).trajectory is None
    assert arbiter.source is HOLD and arbiter.has_taken_over
    later = NOW + NS_PER_S
    assert arbiter.offer(TELEOP, wish(later, at=1.0), later, COMMAND).trajectory is None
    assert arbiter.offer(TELEOP, wish(later), later, COMMAND).event.source is TELEOP


@pytest.mark.parametrize("source", PRIORITY)
def test_a_source_that_says_it_is_lost_loses_control_at_once(source):
    arbiter = running(source)
    event = arbiter.lose(source, NOW + MS, "/dev/input/js0: gone: No such device")
    assert (event.source, event.stamp_ns) == (HOLD, NOW + MS)
    assert event.reason == f"{source.value}: /dev/input/js0: gone: No such device"
    assert event.is_taken_over is (source is TELEOP)
    assert arbiter.lose(source, NOW + 2 * MS, "again") is None
    others = {other for other in PRIORITY if other is not source}
    assert all(arbiter.lose(other, NOW, "not in control") is None for other in others)
    back = arbiter.offer(source, wish(NOW + 3 * MS), NOW + 3 * MS, COMMAND)
    assert back.event.source is source


@pytest.mark.parametrize("source", [*PRIORITY, HOLD])
def test_a_takeover_is_announced_from_its_wish_to_its_end(source):
    """Whoever had control: the event says when it begins, when the person acts, when it ends."""
    arbiter = running(source)
    if source is not TELEOP:
        begun = arbiter.take_over(NOW)
        assert (begun.source, begun.reason) == (HOLD, "takeover: waiting for leader")
        assert begun.is_taken_over
        acting = arbiter.offer(TELEOP, wish(NOW + MS), NOW + MS, COMMAND).event
        assert (acting.source, acting.device) == (TELEOP, "leader")
        assert acting.is_taken_over
    ended = arbiter.release(NOW + 2 * MS)
    assert (ended.source, ended.reason, ended.is_taken_over) == (HOLD, "released", False)


def test_a_takeover_that_nobody_used_ends_with_a_word_too():
    arbiter = running(POLICY)
    arbiter.take_over(NOW)
    ended = arbiter.release(NOW + MS)
    assert (ended.source, ended.reason, ended.is_taken_over) == (HOLD, "released", False)


@settings(max_examples=80, deadline=None)
@given(
    released_ms=st.integers(1, 400),
    planned_ms=st.lists(st.integers(-400, 800), min_size=1, max_size=20, unique=True).map(sorted),
)
def test_after_a_release_nothing_passes_that_the_policy_planned_before(released_ms, planned_ms):
    """Its chunk of before the takeover, and those it planned while a person led the arm."""
    arbiter = running(TELEOP)
    released_ns = NOW + released_ms * MS
    arbiter.alive(TELEOP, released_ns)
    arbiter.release(released_ns)
    for planned in planned_ms:
        stamp_ns = NOW + planned * MS
        passed = arbiter.offer(POLICY, wish(stamp_ns), max(released_ns, stamp_ns)).trajectory
        if stamp_ns < released_ns:
            assert passed is None
        else:
            assert passed is not None


@pytest.mark.case(23)
@pytest.mark.parametrize("source", [*PRIORITY, HOLD])
def test_an_estop_beats_everybody_and_is_latched(source):
    arbiter = running(source)
    event = arbiter.estop(NOW, "button")
    assert (event.source, event.reason) == (ESTOP, "button")
    assert arbiter.estop(NOW, "again") is None
    for other in PRIORITY:
        ruling = arbiter.offer(other, wish(), NOW, COMMAND)
        assert (ruling.trajectory, ruling.reason) == (None, "e-stop is on")
    for ask in (arbiter.take_over, lambda now: arbiter.enable(POLICY, now)):
        with pytest.raises(SessionError, match="e-stop is on"):
            ask(NOW)
    assert arbiter.tick(NOW + NS_PER_S) is None and arbiter.source is ESTOP
    assert arbiter.recover(NOW + NS_PER_S).source is HOLD
    assert arbiter.offer(POLICY, wish(), NOW + NS_PER_S).reason == "not enabled"
    assert not arbiter.has_taken_over


def test_requests_that_make_no_sense_are_refused():
    arbiter = Arbiter(CONFIG)
    with pytest.raises(SessionError, match="nothing to release"):
        arbiter.release(NOW)
    with pytest.raises(SessionError, match="nothing to recover"):
        arbiter.recover(NOW)
    with pytest.raises(SessionError, match="use take_over"):
        arbiter.enable(TELEOP, NOW)
    assert arbiter.offer(HOLD, wish(), NOW).reason == "unknown source: hold"


def test_disabling_the_policy_in_control_means_hold():
    arbiter = running(POLICY)
    assert arbiter.enable(POLICY, NOW, is_enabled=False).source is HOLD
    assert arbiter.enable(POLICY, NOW, is_enabled=False) is None
    assert arbiter.offer(POLICY, wish(), NOW).reason == "not enabled"


@pytest.mark.case(11)
def test_a_broken_trajectory_gives_no_control_and_is_counted():
    arbiter = Arbiter(CONFIG)
    arbiter.enable(POLICY, NOW)
    for _ in range(3):
        ruling = arbiter.offer(POLICY, wish(at=np.nan), NOW)
        assert ruling.trajectory is None and ruling.reason.startswith("invalid: trajectory")
    assert arbiter.source is HOLD
    assert arbiter.dropped == {(POLICY, "invalid"): 3}


requests = st.one_of(
    st.tuples(st.just("offer"), st.sampled_from(PRIORITY)),
    st.tuples(st.sampled_from(["take_over", "release", "estop", "recover", "tick"]), st.none()),
    st.tuples(st.just("enable"), st.sampled_from([MOTION, POLICY])),
)


@pytest.mark.case(20)
@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(requests, st.integers(0, 150 * MS)), max_size=40))
def test_in_any_order_only_the_announced_source_passes(steps):
    """Every change of control is announced once, and what passes carries the announced source."""
    arbiter, announced, now_ns = Arbiter(CONFIG), HOLD, NOW
    for (request, source), pause_ns in steps:
        now_ns += pause_ns
        event, passed = None, None
        try:
            if request == "offer":
                ruling = arbiter.offer(source, wish(now_ns), now_ns, COMMAND)
                event, passed = ruling.event, ruling.trajectory
                assert (passed is None) == bool(ruling.reason)
            elif request == "estop":
                event = arbiter.estop(now_ns, "button")
            elif request == "enable":
                event = arbiter.enable(source, now_ns)
            else:
                event = getattr(arbiter, request)(now_ns)
        except SessionError:
            continue
        if event is not None:
            assert event.stamp_ns == now_ns
            announced = event.source
        assert arbiter.source is announced
        if passed is not None:
            assert passed.source == announced.value == source.value


@pytest.mark.case(41)
def test_stamps_of_another_clock_win_no_control_and_are_no_sign_of_life():
    arbiter = running(POLICY)
    ruling = arbiter.offer(MOTION, wish(NOW + 3600 * NS_PER_S), NOW)
    assert ruling.trajectory is None and "3600.000 s" in ruling.reason
    assert arbiter.dropped[MOTION, "in the future"] == 1
    assert "3600.000 s" in arbiter.early(POLICY, NOW + 3600 * NS_PER_S, NOW)
    assert arbiter.dropped[POLICY, "in the future"] == 1
    assert arbiter.early(POLICY, NOW + 20 * MS, NOW) == ""
    assert arbiter.early(POLICY, NOW, 0) == ""  # nothing was heard of the arm yet
