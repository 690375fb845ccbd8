"""Laws of the join that live policies and bag readers share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.clock import CONTROL_GRID, POLICY_GRID
from so101.errors import ConfigError
from so101.images import encode_jpeg
from so101.robot import JOINTS
from so101.spec import PolicySpec
from so101.stream_buffer import StreamBuffer
from so101.streams import (
    JointSample,
    ObservationBuilder,
    ObservationConfig,
    Waiting,
)
from so101.topics import JOINT_COMMANDS, JOINT_STATES, OBJECTS, TASK, image_topic

FRONT = image_topic("front").name
T = POLICY_GRID.stamp(30)
JPEG = encode_jpeg(np.full((24, 32, 3), 128, dtype=np.uint8))
samples = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=40)


def state(value: float = 0.0) -> JointSample:
    row = np.full(len(JOINTS), value)
    return JointSample(positions=row, velocities=row, effort=row)


def builder(**options) -> ObservationBuilder:
    return ObservationBuilder(ObservationConfig(cameras=("front",), **options))


def feed_all(b: ObservationBuilder, stamp: int, value: float = 0.0) -> None:
    b.feed(JOINT_STATES.name, state(value), stamp, stamp)
    b.feed(FRONT, JPEG, stamp, stamp)


@given(samples, st.integers(-5, 105), st.integers(0, 50), st.booleans())
def test_the_newest_fresh_sample_that_arrived_is_used(found, tick, max_age, inclusive):
    buffer = StreamBuffer(max_age_ns=max_age)
    for arrival, (stamp, by) in enumerate(found):
        buffer.add(stamp, (arrival, by), by)
    usable = {
        stamp: (arrival, by)
        for arrival, (stamp, by) in enumerate(found)
        if (stamp <= tick if inclusive else stamp < tick) and tick - stamp <= max_age
    }
    expected = (max(usable), usable[max(usable)]) if usable else None
    assert buffer.newest(tick, is_inclusive=inclusive) == expected


@given(samples, st.integers(0, 100), st.integers(0, 100))
def test_what_arrived_later_does_not_count(found, tick, by):
    whole, early = StreamBuffer(), StreamBuffer()
    latest: dict[int, int] = {}
    for stamp, arrival in found:
        if stamp in latest:
            continue
        latest[stamp] = arrival
        whole.add(stamp, stamp, arrival)
        if arrival <= by:
            early.add(stamp, stamp, arrival)
    assert whole.newest(tick, arrived_by_ns=by) == early.newest(tick)


@given(samples, st.integers(1, 5))
def test_memory_is_bounded_by_dropping_the_oldest(found, capacity):
    buffer = StreamBuffer(capacity=capacity)
    for stamp, by in found:
        buffer.add(stamp, stamp, by)
    assert len(buffer) <= capacity
    if found:
        assert buffer.newest_stamp_ns == max(stamp for stamp, _ in found)


def test_lock_step_waits_for_every_sample_of_the_tick_itself():
    b = builder(uses_objects=True)
    b.reset(T)
    for name, value in (
        (JOINT_STATES.name, state()),
        (FRONT, JPEG),
        (OBJECTS.name, np.zeros((1, 7))),
    ):
        waiting = b.build(T)
        assert isinstance(waiting, Waiting)
        b.feed(name, value, T, 0)
    observation = b.build(T)
    assert not isinstance(observation, Waiting)
    assert observation.stamp_ns == T
    assert observation.images["front"].shape == (24, 32, 3)


def test_lock_step_waits_for_the_command_of_the_control_tick_before():
    b = builder()
    b.reset(T)
    later = POLICY_GRID.stamp(POLICY_GRID.floor(T) + 1)
    feed_all(b, later)
    waiting = b.build(later)
    assert isinstance(waiting, Waiting)
    assert waiting.stream == JOINT_COMMANDS.name
    before = CONTROL_GRID.stamp(CONTROL_GRID.floor(later) - 1)
    b.feed(JOINT_COMMANDS.name, np.full(6, 0.5), before, 0)
    assert b.build(later).command == pytest.approx(np.full(6, 0.5))


def test_the_command_of_the_tick_itself_is_not_yet_in_force():
    b = builder(is_lock_step=False)
    feed_all(b, T)
    b.feed(JOINT_COMMANDS.name, np.full(6, 1.0), CONTROL_GRID.stamp(CONTROL_GRID.floor(T) - 1), 0)
    b.feed(JOINT_COMMANDS.name, np.full(6, 2.0), T, 0)
    np.testing.assert_array_equal(b.build(T).command, np.full(6, 1.0))


def test_before_the_first_goal_the_arm_holds_its_measured_pose():
    b = builder()
    b.reset(T)
    feed_all(b, T, 0.3)
    np.testing.assert_array_equal(b.build(T).command, np.full(6, 0.3))


def test_a_reset_hides_the_world_before_it_even_when_it_arrives_late():
    b = builder(is_lock_step=False)
    before = CONTROL_GRID.stamp(CONTROL_GRID.floor(T) - 1)
    feed_all(b, before)
    b.reset(T)
    feed_all(b, before)
    assert isinstance(b.build(T), Waiting)


def test_a_free_running_camera_may_lag_up_to_its_age_limit():
    b = builder(is_lock_step=False, max_image_age_s=0.05)
    b.feed(FRONT, JPEG, T - 40_000_000, 0)
    b.feed(JOINT_STATES.name, state(), T, 0)
    kept = []
    assert b.build(T, on_join=kept.append).missing == frozenset()
    assert kept[0].ages_ms()[FRONT] == pytest.approx(40.0)
    late = T + 20_000_000
    b.feed(JOINT_STATES.name, state(), late, 0)
    joined = b.join(late)
    assert joined.missing == {"front"} and not joined.skewed
    assert joined.images == {}
    waiting = b.build(late)
    assert (waiting.stream, waiting.blind.missing) == (FRONT, {"front"})
    assert waiting.reason == f"{FRONT}: no image within 0.05 s of the tick"


@pytest.mark.case(32)
@given(
    st.lists(st.integers(0, 120), min_size=1, max_size=30),
    st.lists(st.integers(0, 120), min_size=1, max_size=30),
)
def test_two_cameras_that_are_too_far_apart_make_no_observation(front_ms, wrist_ms):
    """Whatever arrives when: within both limits there is an observation, else a reason."""
    config = ObservationConfig(cameras=("front", "wrist"), is_lock_step=False)
    b = ObservationBuilder(config)
    b.feed(JOINT_STATES.name, state(), T, 0)
    newest = {}
    for camera, ages in (("front", front_ms), ("wrist", wrist_ms)):
        for age_ms in ages:
            b.feed(image_topic(camera).name, JPEG, T - age_ms * 1_000_000, 0)
        if min(ages) <= 100:
            newest[camera] = min(ages)
    lagging = {c for c, age in newest.items() if age - min(newest.values()) > 50}
    joined = b.join(T)
    assert joined.skewed == lagging
    assert set(joined.images) == set(newest) - lagging
    assert joined.missing == {"front", "wrist"} - set(joined.images)
    built = b.build(T)
    assert isinstance(built, Waiting) == bool(joined.missing)
    if lagging:
        name = image_topic(min(joined.missing)).name
        assert built.reason == f"{name}: more than 0.05 s older than another camera's image"


def test_old_joint_states_are_no_observation():
    b = builder(is_lock_step=False)
    feed_all(b, T)
    assert isinstance(b.join(T + 60_000_000), Waiting)


def test_images_come_in_the_size_of_the_policy():
    spec = PolicySpec(cameras=("front",), image_size=(12, 16), task="lift")
    b = ObservationBuilder(ObservationConfig.for_policy(spec, is_lock_step=True))
    b.reset(T)
    feed_all(b, T)
    assert b.build(T).images["front"].shape == (12, 16, 3)
    assert b.build(T).task == "lift"
    b.feed(TASK.name, "drop", 0, 0)
    assert b.build(T).task == "drop"


def test_a_foreign_stream_is_refused_by_name():
    with pytest.raises(ConfigError, match="simulation/objects"):
        builder().feed(OBJECTS.name, np.zeros((1, 7)), T, T)
    assert set(builder().topics) == {JOINT_STATES.name, JOINT_COMMANDS.name, FRONT, TASK.name}
