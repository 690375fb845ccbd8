"""What is begun moves the joints that were named, within the limits, from where the arm is."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_node.judging import Judge, objection
from motion_node.resting import rest_trajectory
from so101.clock import nanoseconds, seconds
from so101.control.arm_mode import ArmMode
from so101.control.follower import TrajectoryFollower, Waypoint
from so101.control.trajectory import JointTrajectory
from so101.control.trajectory_goal import GoalCode, GoalRefusedError
from so101.episode import ControlSource, EpisodeFacts, EpisodeState
from so101.errors import MotionError
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import GRIPPER, JOINTS, so101

SPEC = so101()
NOW_NS = nanoseconds(100.0)
START_RAD = 0.1
JUDGE = Judge(spec=SPEC, start_rad=START_RAD)
HOME = SPEC.home


def wish(positions, times_s=(1.0,), joints=JOINTS, velocities=None, stamp_ns=0):
    positions = np.array(positions, dtype=float).reshape(len(times_s), len(joints))
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=tuple(joints),
        times_ns=tuple(nanoseconds(time) for time in times_s),
        positions=positions,
        velocities=None if velocities is None else np.array(velocities, dtype=float),
    )


def refused(wanted, code=GoalCode.INVALID_GOAL, words=".", judge=JUDGE):
    with pytest.raises(GoalRefusedError, match=words) as refusal:
        judge.judge(wanted, HOME, NOW_NS)
    assert refusal.value.code is code


@given(st.permutations(JOINTS), st.integers(1, 6), st.integers(0, 1000))
def test_joints_are_found_by_name_and_the_others_stay(order, count, seed):
    joints = order[:count]
    command = np.random.default_rng(seed).uniform(SPEC.lower, SPEC.upper)
    goals = dict(zip(joints, HOME[[JOINTS.index(joint) for joint in joints]], strict=True))
    rates = [[0.1] * count, [0.0] * count]
    rows = [[command[JOINTS.index(joint)] for joint in joints], list(goals.values())]
    motion = JUDGE.judge(wish(rows, (0.5, 5.0), joints, rates), command, NOW_NS)
    assert motion.joints == JOINTS and motion.stamp_ns == NOW_NS
    for number, joint in enumerate(JOINTS):
        expected = goals.get(joint, command[number])
        assert motion.positions[-1, number] == pytest.approx(expected)
        assert motion.velocities[0, number] == (0.1 if joint in joints else 0.0)


@pytest.mark.parametrize("joints", [(), ("elbow",), ("gripper", "gripper")])
def test_other_joints_are_refused(joints):
    refused(wish(np.zeros((1, len(joints))), joints=joints), GoalCode.INVALID_JOINTS, "this arm")


def test_what_is_no_motion_is_refused():
    refused(wish([], ()), words="no points")
    refused(wish(HOME, (0.0,)), words="due at once")
    refused(wish([HOME, HOME], (1.0, 1.0)), words="do not increase")
    refused(wish(HOME * np.nan), words="not all finite")
    refused(wish(HOME, velocities=[np.full(6, 0.2)]), words="still move at its end")


@given(st.integers(0, 5), st.floats(0.002, 3.0), st.booleans())
def test_beyond_a_joints_end_is_refused_and_rounding_is_not(joint, beyond, is_above):
    edge = (SPEC.upper if is_above else SPEC.lower)[joint]
    pose = HOME.copy()
    pose[joint] = edge + (beyond if is_above else -beyond)
    refused(wish(pose, (30.0,)), words=f"{JOINTS[joint]}=.* is outside")
    pose[joint] = edge + (5e-4 if is_above else -5e-4)
    motion = JUDGE.judge(wish(pose, (30.0,)), HOME, NOW_NS)
    assert motion.positions[-1, joint] == edge


@given(st.integers(0, 4), st.floats(-1.0, 1.0), st.floats(0.01, 2.0))
def test_it_begins_where_the_arm_is_or_leaves_it_the_time_to_get_there(joint, away, time_s):
    command = np.zeros(6)
    pose = command.copy()
    pose[joint] = away
    can = abs(away) <= START_RAD + SPEC.max_velocity[joint] * time_s
    if can:
        JUDGE.judge(wish(pose, (time_s,)), command, NOW_NS)
    else:
        with pytest.raises(GoalRefusedError, match=f"begins elsewhere: {JOINTS[joint]}"):
            JUDGE.judge(wish(pose, (time_s,)), command, NOW_NS)


def test_a_start_that_is_planned_from_what_was_measured_counts_as_well():
    """MoveIt's first point is due at once: the measured pose. The next one says little."""
    elsewhere = HOME.copy()
    elsewhere[1] += 2 * START_RAD
    refused(wish([elsewhere, HOME], (0.0, 1.0)), words="begins elsewhere")
    held = HOME.copy()
    held[GRIPPER] += 0.5  # it holds something, so it is not where it is told to be
    JUDGE.judge(wish([held, HOME], (0.0, 1.0)), HOME, NOW_NS)


@given(st.floats(0.1, 3.0))
def test_faster_than_the_limit_is_refused(time_s):
    pose = HOME.copy()
    pose[0] += 1.0
    rows = [HOME, pose]
    times = (0.1, 0.1 + time_s)
    if 1.0 / time_s > SPEC.max_velocity[0] * 1.01:
        refused(wish(rows, times), words="shoulder_pan would move at")
    elif 1.0 / time_s < SPEC.max_velocity[0]:
        JUDGE.judge(wish(rows, times), HOME, NOW_NS)
    fast = [np.full(6, 4.0), np.zeros(6)]
    refused(wish([HOME, HOME], (0.1, 9.0), velocities=fast), words="would move at 4.00")


def test_stamps_are_of_now():
    def stamped(seconds_ahead):
        return wish(HOME, (0.5,), stamp_ns=NOW_NS + nanoseconds(seconds_ahead))

    assert JUDGE.judge(stamped(-0.2), HOME, NOW_NS).stamp_ns == NOW_NS - nanoseconds(0.2)
    assert JUDGE.judge(stamped(0.9), HOME, NOW_NS).stamp_ns == NOW_NS + nanoseconds(0.9)
    refused(stamped(-0.6), GoalCode.OLD_HEADER_TIMESTAMP)
    refused(stamped(-5.0), GoalCode.OLD_HEADER_TIMESTAMP)
    refused(stamped(2.0), words="starts in 2.000 s")


def test_what_would_be_collided_with_is_refused_in_its_words():
    looked = []

    def look(start, points):
        looked.append((start, points))
        raise MotionError("motion: gripper and desk would come within 0.0 mm")

    judge = dataclasses.replace(JUDGE, check_way=look)
    refused(wish([HOME, HOME], (0.0, 1.0)), words="gripper and desk", judge=judge)
    ((start, points),) = looked
    assert start is HOME and len(points) == 1  # the point that is due already is not gone to


@given(st.integers(0, 1000))
def test_rest_is_near_and_within_the_limits(seed):
    """The arm brakes evenly: it passes no joint's end and needs no more than its acceleration."""
    rng = np.random.default_rng(seed)
    command = rng.uniform(SPEC.lower, SPEC.upper)
    velocities = rng.uniform(-SPEC.max_velocity, SPEC.max_velocity)
    rest = rest_trajectory(command, velocities, SPEC, NOW_NS)
    time_s = seconds(rest.times_ns[0])
    assert np.abs(velocities).max() / time_s <= SPEC.max_acceleration.max() / 2
    assert (np.abs(rest.positions[0] - command) <= np.abs(velocities) * time_s / 2 + 1e-9).all()
    assert (rest.positions >= SPEC.lower).all() and (rest.positions <= SPEC.upper).all()
    np.testing.assert_array_equal(rest.positions[0], rest.positions[1])
    follower = TrajectoryFollower(JOINTS)
    start = Waypoint(stamp_ns=NOW_NS, positions=command, velocities=velocities)
    follower.replace(rest, NOW_NS, start)
    np.testing.assert_allclose(follower.sample(rest.ends_ns), rest.positions[1])


HOLDS = ControlEvent(stamp_ns=1, source=ControlSource.HOLD)


def episode(state):
    facts = EpisodeFacts(id="ep-1", task="pick")
    return EpisodeEvent(stamp_ns=1, state=state, facts=facts)


@pytest.mark.parametrize(
    ("control", "mode", "state", "words"),
    [
        (HOLDS, ArmMode.HOLDING, None, ""),
        (HOLDS, ArmMode.HOLDING, EpisodeState.SUCCEEDED, ""),
        (HOLDS, ArmMode.ARMED, EpisodeState.IDLE, ""),
        (dataclasses.replace(HOLDS, source=ControlSource.MOTION), ArmMode.ARMED, None, ""),
        (None, ArmMode.ARMED, None, "control_source: nothing"),
        (HOLDS, None, None, "arm/state: nothing"),
        (HOLDS, ArmMode.DISARMED, None, "the arm is disarmed: why"),
        (HOLDS, ArmMode.ESTOPPED, None, "estopped"),
        (HOLDS, ArmMode.FAULT, None, "fault"),
        (dataclasses.replace(HOLDS, is_taken_over=True), ArmMode.ARMED, None, "has taken over"),
        (dataclasses.replace(HOLDS, source=ControlSource.POLICY), ArmMode.ARMED, None, "policy"),
        (HOLDS, ArmMode.ARMED, EpisodeState.RUNNING, "episode ep-1 is running"),
        (HOLDS, ArmMode.ARMED, EpisodeState.RESETTING, "episode ep-1 is resetting"),
    ],
)
def test_who_may_not_begin_is_told_why(control, mode, state, words):
    found = objection(control, mode, "why", episode(state) if state else None)
    assert words in found and bool(words) == bool(found)
