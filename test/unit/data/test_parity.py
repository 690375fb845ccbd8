"""What a policy saw live is what its bag reads back, sample for sample, however it arrived.

The live side is the loop that policy_node runs, fed with the messages themselves in the order of
their arrival; the other side knows nothing but the bag's bytes.
"""

import json
from typing import NamedTuple

import numpy as np
import pytest
from factories import Rollout, TimedMessage, image_message, joint_message, make_bag, make_rollout
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.acting import ActingLoop
from so101.data.bags.custom_data import IS_LOCK_STEP
from so101.data.episodes.episode_reader import read_episode
from so101.data.episodes.segments import ReaderConfig
from so101.data.episodes.stream_reports import QualityConfig
from so101.episode import Episode, EpisodeState
from so101.errors import BagError
from so101.events import EpisodeEvent, from_message
from so101.observation import Observation
from so101.robot import JOINTS
from so101.streams import JoinedTick, JointSample, ObservationConfig
from so101.topics import EPISODE, JOINT_COMMANDS, JOINT_STATES, OBJECTS, TASK, image_topic

LENIENT = ReaderConfig(
    quality=QualityConfig(
        max_missing=1.0, max_dropped=1.0, max_gap_s=1e6, min_rate_hz=0.0, max_mean_age_s=10.0
    )
)
STEPS = 20


class Disturbance(NamedTuple):
    """What becomes of the messages of a recording on their way."""

    seed: int
    drop: float
    late_ms: int
    stamp_ms: int
    twice: float


disturbances = st.builds(
    Disturbance,
    seed=st.integers(0, 10**6),
    drop=st.sampled_from([0.0, 0.05, 0.3]),
    late_ms=st.sampled_from([0, 3, 20, 60, 150]),
    stamp_ms=st.sampled_from([0, 4, 15]),
    twice=st.sampled_from([0.0, 0.1]),
)


def disturbed(rollout: Rollout, how: Disturbance) -> Rollout:
    """Drop, delay, reorder, restamp and repeat with other values what observations are made of."""
    rng = np.random.default_rng(how.seed)
    messages: list[TimedMessage] = []
    for m in rollout.messages:
        if m.topic not in (JOINT_STATES, JOINT_COMMANDS, OBJECTS) and "image" not in m.topic.name:
            messages.append(m)
            continue
        if rng.random() < how.drop:
            continue
        late_ns = int(rng.integers(0, how.late_ms * 10**6 + 1))
        shift_ns = int(rng.integers(0, how.stamp_ms * 10**6 + 1)) if m.topic != OBJECTS else 0
        messages.append(moved(m, shift_ns, late_ns))
        if rng.random() < how.twice and m.topic in (JOINT_STATES, JOINT_COMMANDS):
            again = joint_message(m.stamp_ns, rng.normal(size=len(JOINTS)), effort=True)
            repeated = m._replace(message=again)
            messages.append(moved(repeated, shift_ns, int(rng.integers(0, 10**8))))
        elif rng.random() < how.twice and "image" in m.topic.name:
            repeated = m._replace(message=image_message(m.stamp_ns, rng, (8, 8)))
            messages.append(moved(repeated, shift_ns, int(rng.integers(0, 10**8))))
    messages.sort(key=lambda m: m.log_time_ns)
    return rollout._replace(messages=messages)


def moved(m: TimedMessage, shift_ns: int, late_ns: int) -> TimedMessage:
    stamp_ns = m.stamp_ns + shift_ns
    stamp = m.message.header.stamp
    stamp.sec, stamp.nanosec = divmod(stamp_ns, 10**9)
    return m._replace(stamp_ns=stamp_ns, log_time_ns=m.log_time_ns + shift_ns + late_ns)


def live_value(m: TimedMessage):
    """Return what a subscription hands to the policy, by nothing but the message's fields."""
    content = m.message
    if m.topic is JOINT_STATES:
        rows = (content.position, content.velocity, content.effort)
        return JointSample(**dict(zip(("positions", "velocities", "effort"), rows, strict=True)))
    if m.topic is JOINT_COMMANDS:
        return content.position
    if m.topic is OBJECTS:
        fields = [(p.position, p.orientation) for p in content.poses]
        return np.array([(p.x, p.y, p.z, q.x, q.y, q.z, q.w) for p, q in fields])
    return content.data if m.topic is TASK else content.data.tobytes()


class Seen(NamedTuple):
    """What the policy was handed at a tick."""

    observation: Observation
    joined: JoinedTick


def act_live(rollout: Rollout, config: ObservationConfig) -> dict[int, Seen]:
    """Play a recording to a source that decides at every tick, as its node would."""
    loop = ActingLoop(config, "policy", decision_ticks=1)
    seen: dict[int, Seen] = {}
    for m in rollout.messages:
        if m.topic is EPISODE:
            loop.on_episode(EpisodeEvent.from_event(from_message(m.message)))
        elif m.topic.name in loop.builder.topics:
            loop.feed(m.topic.name, live_value(m), m.stamp_ns, m.log_time_ns)
        while (observation := loop.due()) is not None:
            seen[observation.stamp_ns] = Seen(observation, loop.joined)
    return seen


def assert_same(episode: Episode, seen: dict[int, Seen], config: ObservationConfig) -> int:
    """Compare every tick that both sides have; return how many there are."""
    rows = {tick: row for row, tick in enumerate(episode.stamps_ns.tolist())}
    for tick, (observation, joined) in seen.items():
        if tick not in rows:  # trimmed: before everything was there, or after it
            continue
        row = rows[tick]
        for name in ("positions", "velocities", "effort"):
            np.testing.assert_array_equal(getattr(episode, name)[row], getattr(observation, name))
        np.testing.assert_array_equal(episode.commands[row], observation.command)
        if config.uses_objects:
            np.testing.assert_array_equal(episode.objects[row], observation.objects)
        for camera in config.cameras:
            assert episode.images[camera][row] == joined.images.get(camera)
        is_acted = np.isfinite(episode.actions[row]).all()
        assert episode.is_gap[row] == (bool(observation.missing) or not is_acted)
        assert observation.task == episode.facts.words
    return len({*rows} & {*seen})


@pytest.mark.parametrize("is_lock_step", [True, False], ids=["lock_step", "free"])
@pytest.mark.parametrize("cameras", [(), ("front", "wrist")], ids=["no_cameras", "cameras"])
@pytest.mark.parametrize("objects", [0, 2], ids=["no_objects", "objects"])
@settings(deadline=None, max_examples=25)
@given(how=disturbances)
def test_a_bag_reads_back_what_the_policy_saw(
    tmp_path_factory, is_lock_step, cameras, objects, how
):
    plain = make_rollout(steps=STEPS, cameras=cameras, image_size=(8, 8), objects=objects)
    rollout = disturbed(plain, how)
    has_objects = any(m.topic is OBJECTS for m in rollout.messages)
    config = ObservationConfig(
        cameras=cameras, uses_objects=has_objects, task="", is_lock_step=is_lock_step
    )
    seen = act_live(rollout, config)
    told = {IS_LOCK_STEP: json.dumps(is_lock_step)}
    directory = tmp_path_factory.mktemp("bag") / "b"
    bag = make_bag(directory=directory, rollout=rollout, cameras=cameras, custom_data=told)
    try:
        episode = read_episode(bag, LENIENT)
    except BagError as error:
        refusal = str(error)
    else:
        compared = assert_same(episode, seen, config)
        is_gentle = how.drop <= 0.05 and how.late_ms <= 3
        assert compared >= (STEPS // 2 if is_gentle else 0)
        return
    whole = [tick for tick, one in seen.items() if not one.observation.missing]
    assert "whole ticks" in refusal or "no message" in refusal
    assert len(whole) < STEPS


def test_nothing_that_disturbs_is_idle():
    plain = make_rollout(steps=STEPS, cameras=("front",), image_size=(8, 8))
    how = Disturbance(seed=1, drop=0.05, late_ms=60, stamp_ms=4, twice=0.1)
    messages = [m for m in disturbed(plain, how).messages if m.topic is JOINT_STATES]
    stamps = [m.stamp_ns for m in messages]
    assert stamps != sorted(stamps)
    assert len(set(stamps)) < len(stamps)
    assert len(set(stamps)) < sum(m.topic is JOINT_STATES for m in plain.messages)
    seen = act_live(plain, ObservationConfig(cameras=("front",), uses_objects=True))
    assert len(seen) >= STEPS
    assert EpisodeState.RUNNING.value in str(plain.messages[1].message)
    assert all(image_topic("front").name in one.joined.stamps_ns for one in seen.values())
