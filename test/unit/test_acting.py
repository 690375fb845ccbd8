"""The acting loop hands out each decision's observation once, and only in its own episodes."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.acting import ActingLoop
from so101.clock import CONTROL_GRID, POLICY_GRID
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent
from so101.streams import JointSample, ObservationConfig
from so101.topics import JOINT_COMMANDS, JOINT_STATES, OBJECTS, TASK, image_topic

CONFIG = ObservationConfig(uses_objects=True)
FIRST = 90
"""Policy tick at which the episode begins."""


def event(state, tick=FIRST, source="policy"):
    facts = EpisodeFacts(id="e", source=source)
    return EpisodeEvent(stamp_ns=POLICY_GRID.stamp(tick), state=state, facts=facts)


def messages(tick):
    """What one policy tick publishes: two control ticks, the second one on the tick."""
    value = np.full(6, float(tick))
    sample = JointSample(positions=value, velocities=value, effort=value)
    out = []
    for control in (2 * tick - 1, 2 * tick):
        stamp_ns = CONTROL_GRID.stamp(control)
        out += [(JOINT_STATES.name, sample, stamp_ns), (JOINT_COMMANDS.name, value, stamp_ns)]
    return [*out, (OBJECTS.name, np.full((1, 7), float(tick)), POLICY_GRID.stamp(tick))]


def feed(loop, tick):
    for topic, value, stamp_ns in messages(tick):
        loop.feed(topic, value, stamp_ns, stamp_ns)


def loop_of(source="policy", ticks=4, config=CONFIG):
    return ActingLoop(config, source, ticks)


@given(ticks=st.integers(1, 9), length=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_every_decision_once_whatever_arrives_first_within_a_tick(ticks, length, seed):
    """In lock-step nothing goes on before the due decision is made."""
    loop, random, seen = loop_of(ticks=ticks), Random(seed), []
    loop.on_episode(event(EpisodeState.RUNNING))
    for tick in range(FIRST, FIRST + length):
        batch = messages(tick)
        random.shuffle(batch)
        for topic, value, stamp_ns in batch:
            loop.feed(topic, value, stamp_ns, stamp_ns)
            observation = loop.due()
            if observation is not None:
                seen.append(POLICY_GRID.floor(observation.stamp_ns))
                assert (observation.positions == seen[-1]).all()
                assert (observation.objects == seen[-1]).all()
    assert seen == list(range(FIRST, FIRST + length, ticks))


@pytest.mark.parametrize("state", EpisodeState)
def test_its_last_word_is_due_when_an_episode_of_its_own_is_over(state):
    """Also for one that it never heard begin: its recorder waits all the same."""
    over = event(state)
    assert loop_of().has_ended(over) == state.is_end
    others = event(state, source="somebody")
    assert not loop_of().has_ended(others)


def test_it_says_what_it_waits_for():
    loop = loop_of()
    assert (loop.due(), loop.waiting_for) == (None, "")
    loop.on_episode(event(EpisodeState.RUNNING))
    assert loop.due() is None
    assert loop.waiting_for == "joint_states: nothing has arrived yet"
    topic, value, stamp_ns = messages(FIRST)[2]
    loop.feed(topic, value, stamp_ns, 0)
    assert loop.due() is None
    assert OBJECTS.name in loop.waiting_for
    feed(loop, FIRST)
    assert loop.due() is not None
    assert loop.waiting_for == ""
    assert set(loop.ages_ms.values()) == {0.0}


@pytest.mark.parametrize("state", [s for s in EpisodeState if s is not EpisodeState.RUNNING])
def test_nothing_is_due_when_no_episode_runs(state):
    loop = loop_of()
    assert loop.on_episode(event(EpisodeState.RUNNING))
    assert not loop.on_episode(event(state))
    feed(loop, FIRST)
    assert loop.due() is None
    assert loop.facts is None


def test_in_an_episode_of_somebody_else_it_only_listens():
    loop = loop_of("teleop")
    assert not loop.on_episode(event(EpisodeState.RUNNING, source="policy"))
    feed(loop, FIRST)
    assert loop.due() is None
    assert loop.on_episode(event(EpisodeState.RUNNING, source="teleop"))
    assert loop.due() is not None  # what had arrived is not forgotten


def test_samples_from_before_an_episode_never_enter_it():
    loop = loop_of()
    feed(loop, FIRST - 1)
    loop.on_episode(event(EpisodeState.RUNNING))
    feed(loop, FIRST - 1)  # late ones neither
    assert loop.due() is None
    feed(loop, FIRST)
    observation = loop.due()
    assert (observation.command == FIRST).all()  # nobody commanded before the episode


def test_images_are_handed_out_in_the_size_of_the_policy_in_use():
    loop = loop_of()
    loop.resize((96, 64))
    assert loop.builder.config.image_size == (96, 64)
    assert loop.builder.config.uses_objects


def test_the_task_of_the_topic_counts():
    loop = loop_of()
    loop.feed(TASK.name, "put it down", 0, 0)
    loop.on_episode(event(EpisodeState.RUNNING))
    feed(loop, FIRST)
    assert loop.due().task == "put it down"


def test_with_free_running_time_a_slow_source_answers_less_often_and_never_about_the_past():
    loop = loop_of(ticks=2, config=ObservationConfig(uses_objects=True, is_lock_step=False))
    loop.on_episode(event(EpisodeState.RUNNING))
    for tick in range(FIRST, FIRST + 7):  # it slept for seven ticks
        feed(loop, tick)
    seen = []
    while (observation := loop.due()) is not None:
        seen.append(POLICY_GRID.floor(observation.stamp_ns) - FIRST)
    assert seen == [0, 6]


@pytest.mark.parametrize("is_lock_step", [True, False])
@pytest.mark.parametrize("lost", range(2, 12))
def test_a_decision_whose_samples_are_lost_is_given_up_for_the_next_one(is_lock_step, lost):
    """Somebody was held up, and only so many messages are kept for him."""
    config = ObservationConfig(uses_objects=True, is_lock_step=is_lock_step)
    loop = loop_of(ticks=4, config=config)
    loop.on_episode(event(EpisodeState.RUNNING))
    feed(loop, FIRST)
    assert loop.due() is not None
    seen = []
    for tick in range(FIRST + 3 + lost, FIRST + 40):
        feed(loop, tick)
        if (observation := loop.due()) is not None:
            seen.append(POLICY_GRID.floor(observation.stamp_ns) - FIRST)
    found = next(tick for tick in range(0, 40, 4) if tick >= 3 + lost)
    assert seen == list(range(found, 40, 4))


def test_decisions_that_came_due_while_one_was_made_are_told_and_left_out():
    loop, seen = loop_of(ticks=4), []
    loop.on_episode(event(EpisodeState.RUNNING))
    feed(loop, FIRST)
    seen.append(loop.due())
    for tick in range(FIRST + 1, FIRST + 10):
        feed(loop, tick)
    assert loop.hold_back(POLICY_GRID.stamp(FIRST + 9) + 1) == 2
    assert loop.due() is None
    feed(loop, FIRST + 10)
    seen.append(loop.due())
    stamps = [POLICY_GRID.floor(observation.stamp_ns) for observation in seen]
    assert stamps == [FIRST, FIRST + 10]


def test_nothing_is_left_out_by_who_is_done_in_time():
    loop = loop_of(ticks=4)
    loop.on_episode(event(EpisodeState.RUNNING))
    for tick in range(FIRST, FIRST + 4):
        feed(loop, tick)
        loop.due()
    assert loop.hold_back(POLICY_GRID.stamp(FIRST + 3)) == 0
    feed(loop, FIRST + 4)
    assert POLICY_GRID.floor(loop.due().stamp_ns) == FIRST + 4


def test_where_nothing_came_of_a_decision_the_newest_tick_is_handed_out_again():
    """In lock-step that is the same one: nothing goes on meanwhile."""
    loop = loop_of(ticks=4)
    loop.on_episode(event(EpisodeState.RUNNING))
    for _ in range(3):
        feed(loop, FIRST)
        assert POLICY_GRID.floor(loop.due().stamp_ns) == FIRST
        loop.retry()
    feed(loop, FIRST + 1)
    loop.due()
    loop.retry()
    assert POLICY_GRID.floor(loop.due().stamp_ns) == FIRST + 1


def test_nothing_is_decided_blind_and_a_long_blindness_has_a_reason():
    config = ObservationConfig(cameras=("front",), is_lock_step=False)
    loop, name = loop_of(ticks=4, config=config), image_topic("front").name
    loop.on_episode(event(EpisodeState.RUNNING))
    sees = {True: range(FIRST, FIRST + 8), False: range(FIRST + 8, FIRST + 40)}
    decided = []
    for tick in (*sees[True], *sees[False]):
        stamp_ns = POLICY_GRID.stamp(tick)
        for topic, value, _ in messages(tick):
            if topic in loop.builder.topics:
                loop.feed(topic, value, stamp_ns, stamp_ns)
        if tick in sees[True]:
            loop.feed(name, b"jpeg", stamp_ns, stamp_ns)
        if (observation := loop.due()) is not None:
            decided.append(tick)
            assert "front" in observation.images
        blind_ticks = tick - (FIRST + 12)  # the decision that would be due without an image
        assert bool(loop.blindness(0.2)) == (blind_ticks > 6)
    assert decided == [FIRST, FIRST + 4, FIRST + 8]
    assert loop.blindness(0.2) == f"{name}: no image within 0.1 s of the tick"
    stamp_ns = POLICY_GRID.stamp(FIRST + 40)
    loop.feed(JOINT_STATES.name, messages(FIRST + 40)[0][1], stamp_ns, stamp_ns)
    loop.feed(name, b"jpeg", stamp_ns, stamp_ns)
    assert loop.due() is not None  # the newest decision, not those that were due meanwhile
    assert loop.blindness(0.0) == ""


@pytest.mark.case(32)
@pytest.mark.parametrize(("lag_ms", "is_skewed"), [(30, False), (50, False), (60, True)])
def test_ticks_of_cameras_that_are_too_far_apart_are_left_out_and_counted(lag_ms, is_skewed):
    """Case 32: one stream is delayed."""
    config = ObservationConfig(cameras=("wrist", "front"), is_lock_step=False)
    loop, decided = loop_of(ticks=4, config=config), 0
    loop.on_episode(event(EpisodeState.RUNNING))
    for tick in range(FIRST, FIRST + 20):
        stamp_ns = POLICY_GRID.stamp(tick)
        loop.feed(JOINT_STATES.name, messages(tick)[0][1], stamp_ns, stamp_ns)
        for camera, lag in (("wrist", 0), ("front", lag_ms)):
            image_ns = max(stamp_ns - lag * 1_000_000, POLICY_GRID.stamp(FIRST))
            loop.builder.feed(image_topic(camera).name, b"jpeg", image_ns, stamp_ns)
        decided += loop.due() is not None
    assert decided == (1 if is_skewed else 5)  # the first one, before anything lags
    assert loop.skewed == ({"front": 16} if is_skewed else {})
    assert not loop.missing


def test_ticks_without_an_image_are_counted_apart_from_skewed_ones():
    config = ObservationConfig(cameras=("wrist", "front"), is_lock_step=False)
    loop = loop_of(ticks=4, config=config)
    loop.on_episode(event(EpisodeState.RUNNING))
    for tick in range(FIRST, FIRST + 6):
        stamp_ns = POLICY_GRID.stamp(tick)
        loop.feed(JOINT_STATES.name, messages(tick)[0][1], stamp_ns, stamp_ns)
        loop.feed(image_topic("wrist").name, b"jpeg", stamp_ns, stamp_ns)
        assert loop.due() is None
    assert (loop.missing, loop.skewed) == ({"front": 6}, {})
