"""Laws of reading: parity with the live join, exact plans, gaps that show, refusals that name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import (
    START_NS,
    Rollout,
    chunk_message,
    event_message,
    image_message,
    joint_message,
    make_bag,
    make_rollout,
    table_message,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.clock import CONTROL_GRID, POLICY_GRID
from so101.data.bags.bag import open_bag
from so101.data.bags.cdr_tables import image_content, joint_table, pose_table
from so101.data.bags.custom_data import IS_LOCK_STEP
from so101.data.bags.messages import decode, encode, joint_sample, pose_rows, stamp_ns
from so101.data.episodes.episode_reader import read_episode, read_episodes
from so101.data.episodes.segments import ReaderConfig
from so101.data.episodes.stream_reports import QualityConfig
from so101.data.labels.labels import append_label
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.errors import BagError
from so101.events import ControlEvent, LabelEvent, from_message
from so101.robot import JOINTS
from so101.streams import ObservationBuilder, ObservationConfig, Waiting
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    POLICY_TRAJECTORY,
    TASK,
    TELEOP_TRAJECTORY,
    aux_topic,
    image_topic,
)

FRONT = image_topic("front")
NOISE = aux_topic("noise")
GOLDEN = Path(__file__).parents[2] / "golden"
LENIENT = ReaderConfig(quality=QualityConfig(max_missing=1.0))


def changed(rollout: Rollout, change) -> Rollout:
    """Return a rollout with each message replaced by what ``change`` returns for it."""
    messages = [new for old in rollout.messages for new in change(old)]
    return rollout._replace(messages=messages)


def without(rollout: Rollout, *topics) -> Rollout:
    return changed(rollout, lambda m: [] if m.topic in topics else [m])


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 40), st.integers(1, 10), st.integers(0, 9))
def test_a_rollout_that_the_gate_did_not_change_executes_its_chunks(
    tmp_path_factory, steps, execute_steps, seed
):
    rollout = make_rollout(steps=steps, execute_steps=execute_steps, seed=seed, cameras=())
    directory = tmp_path_factory.mktemp("bag") / "b"
    lenient = ReaderConfig(quality=QualityConfig(min_steps=1))
    episode = read_episode(make_bag(directory=directory, rollout=rollout, cameras=()), lenient)
    assert len(episode) == steps
    ticks = episode.stamps_ns.tolist()
    assert list(episode.planned) == list(rollout.chunks)
    for stamp, chunk in episode.planned.items():
        first = ticks.index(stamp)
        executed = episode.actions[first : first + execute_steps]
        np.testing.assert_allclose(executed, chunk[: len(executed)], rtol=0, atol=1e-9)
    np.testing.assert_allclose(episode.commands[1:], episode.actions[:-1], atol=0.1)


@settings(deadline=None, max_examples=15)
@given(st.data(), st.booleans())
def test_bag_and_live_see_the_same(tmp_path_factory, data, is_lock_step):
    """Play a jittered, dropped and disordered recording through the live builder."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    drop = data.draw(st.sampled_from([0.0, 0.1]))
    jitter_ns = data.draw(st.sampled_from([0, 5_000_000, 40_000_000]))
    rollout = make_rollout(steps=12, cameras=("front", "wrist"), image_size=(8, 8))
    observed = {JOINT_STATES, JOINT_COMMANDS, OBJECTS, FRONT, image_topic("wrist")}

    def disturb(message):
        if message.topic not in observed:
            return [message]
        if rng.random() < drop:
            return []
        late = message.log_time_ns + int(rng.integers(0, jitter_ns + 1))
        return [message._replace(log_time_ns=late)]

    disturbed = changed(rollout, disturb)
    directory = tmp_path_factory.mktemp("bag") / "b"
    told = {IS_LOCK_STEP: json.dumps(is_lock_step)}
    cameras = ("front", "wrist")
    bag = make_bag(directory=directory, rollout=disturbed, cameras=cameras, custom_data=told)
    config = ObservationConfig(cameras=cameras, uses_objects=True, is_lock_step=is_lock_step)
    live = play_live(bag, config, [POLICY_GRID.stamp(300 + i) for i in range(12)])
    if sum(not isinstance(row, Waiting) and not row.missing for row in live.values()) < 6:
        return  # hardly anything is left of this recording
    episode = read_episode(bag, LENIENT)
    for row, tick in enumerate(episode.stamps_ns.tolist()):
        joined = live.get(tick)
        if joined is None:  # the live builder still waited when the recording stopped
            continue
        if isinstance(joined, Waiting):
            assert np.isnan(episode.positions[row]).all()
            continue
        np.testing.assert_array_equal(episode.positions[row], joined.joints.positions)
        np.testing.assert_array_equal(episode.commands[row], joined.command)
        np.testing.assert_array_equal(episode.objects[row], joined.objects)
        for camera in cameras:
            assert episode.images[camera][row] == joined.images.get(camera)


def play_live(bag: Path, config: ObservationConfig, ticks: list[int]) -> dict:
    """Feed a bag's messages one by one, decoded one by one, and join each tick when it is due."""
    opened = open_bag(bag)
    builder = ObservationBuilder(config)
    builder.reset(START_NS)
    found = {}
    for message in opened.messages():
        topic = message.topic.removeprefix("/")
        if topic not in builder.topics:
            continue
        content = decode(message.data, opened.types[message.topic], topic)
        if topic == TASK.name:
            builder.feed(topic, content.data, 0, message.log_time_ns)
            continue
        value = {
            JOINT_STATES.name: lambda c: joint_sample(c, JOINTS),
            JOINT_COMMANDS.name: lambda c: joint_sample(c, JOINTS).positions,
            OBJECTS.name: pose_rows,
        }.get(topic, lambda c: bytes(c.data))(content)
        builder.feed(topic, value, stamp_ns(content), message.log_time_ns)
        while len(found) < len(ticks) and builder.pending(ticks[len(found)]) is None:
            found[ticks[len(found)]] = builder.join(ticks[len(found)])
    return found


@settings(deadline=None, max_examples=20)
@given(st.permutations(list(JOINTS)), st.integers(0, 99))
def test_the_fast_path_decodes_like_the_general_one(names, seed):
    rng = np.random.default_rng(seed)
    stamps = [POLICY_GRID.stamp(int(i)) for i in rng.integers(0, 1000, 5)]
    full = [
        encode(joint_message(s, rng.normal(size=6), names=names, effort=bool(seed % 2)))
        for s in stamps
    ]
    table = joint_table(full)
    for row, data in enumerate(full):
        message = decode(data, "sensor_msgs/msg/JointState", "x")
        assert table.stamps_ns[row] == stamp_ns(message)
        assert table.names == tuple(message.name)
        np.testing.assert_array_equal(table.positions[row], message.position)
        np.testing.assert_array_equal(table.effort[row], message.effort)
    image = image_message(stamps[0], rng, (8, 8))
    assert image_content(encode(image)) == (stamps[0], image.data.tobytes())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_bytes_crash_the_fast_path(data):
    raw = bytearray(encode(joint_message(START_NS, np.arange(6.0), effort=True)))
    for _ in range(data.draw(st.integers(0, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    message = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for read in (joint_table, pose_table):
        found = read([message, message])
        assert found is None or len(found.stamps_ns) == 2
    content = image_content(message)
    assert content is None or len(content[1]) < len(raw)


def test_joints_are_found_by_name(tmp_path):
    rollout = make_rollout(steps=6)
    order = [3, 0, 5, 1, 4, 2]
    names = [JOINTS[i] for i in order]

    def shuffle(m):
        if m.topic in (JOINT_STATES, JOINT_COMMANDS):
            row = np.asarray(m.message.position)[order]
            return [m._replace(message=joint_message(m.stamp_ns, row, names=names))]
        if m.topic == POLICY_TRAJECTORY:
            chunk = rollout.chunks[m.stamp_ns][:, order]
            return [m._replace(message=chunk_message(m.stamp_ns, chunk, names))]
        return [m]

    plain = read_episode(make_bag(directory=tmp_path / "a", rollout=rollout))
    mixed = read_episode(make_bag(directory=tmp_path / "b", rollout=changed(rollout, shuffle)))
    np.testing.assert_array_equal(mixed.positions, plain.positions)
    np.testing.assert_array_equal(mixed.actions, plain.actions)
    np.testing.assert_array_equal(mixed.planned[START_NS], plain.planned[START_NS])
    assert np.isnan(mixed.velocities).all()  # not recorded is not zero


def test_a_success_ends_terminated_a_cut_truncated(tmp_path):
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED, None):
        episode = read_episode(
            make_bag(directory=tmp_path / str(outcome), steps=9, outcome=outcome)
        )
        is_over = outcome in (Outcome.SUCCESS, Outcome.FAILURE)
        assert episode.outcome is outcome
        assert episode.terminated.tolist()[-1] is is_over
        assert episode.truncated.tolist()[-1] is not is_over
        assert not episode.terminated[:-1].any()
        assert episode.rewards.sum() == float(outcome is Outcome.SUCCESS)


def test_labels_count_and_an_incomplete_episode_stays_so(tmp_path):
    bag = make_bag(directory=tmp_path / "b", steps=6)
    label = LabelEvent(stamp_ns=1, episode="rollout-1", rater="anna", outcome="failure")
    append_label(bag, label)
    append_label(bag, replace(label, episode="another", outcome="discarded"))
    append_label(bag, replace(label, rater="model", outcome="", advantage=0.25))
    episode = read_episode(bag)
    assert episode.outcome is Outcome.FAILURE
    assert episode.labels == {"advantage": 0.25}
    part = make_bag(directory=tmp_path / "c", steps=6, custom_data={"outcome": "incomplete"})
    append_label(part, label)
    assert read_episode(part).outcome is Outcome.INCOMPLETE


def test_an_intervention_shows_with_its_wish_and_its_chunks(tmp_path):
    rollout = make_rollout(steps=24, cameras=())
    taken = POLICY_GRID.stamp(300 + 8)
    takeover = ControlEvent(stamp_ns=taken, source=ControlSource.TELEOP, device="leader")
    wanted = np.full((4, 6), 0.7)

    def intervene(m):
        if m.stamp_ns == taken and m.topic is POLICY_TRAJECTORY:
            return [
                m._replace(topic=CONTROL_SOURCE, message=event_message(takeover.to_event())),
                m._replace(topic=TELEOP_TRAJECTORY, message=chunk_message(taken, wanted)),
                m,
            ]
        return [m]

    bag = make_bag(directory=tmp_path / "b", rollout=changed(rollout, intervene), cameras=())
    episode = read_episode(bag)
    assert list(episode.interventions()) == [(8, 24)]
    assert episode.sources[0] == SOURCE_CODES[ControlSource.POLICY]
    assert np.isnan(episode.wishes[:8]).all()
    np.testing.assert_allclose(episode.wishes[8:12], wanted)
    assert np.isnan(episode.wishes[12:]).all()
    assert set(episode.planned) == {START_NS, taken}
    np.testing.assert_array_equal(episode.planned[taken], wanted)


def test_the_arrays_that_an_algorithm_asked_for_are_read_by_their_observation(tmp_path):
    rollout = make_rollout(steps=20, cameras=())
    drawn = {
        stamp: np.random.default_rng(stamp).normal(size=(4, 3)).astype(np.float32)
        for stamp in (*rollout.chunks, START_NS - 1)
    }

    def give_out(m):
        if m.topic is not POLICY_TRAJECTORY:
            return [m]
        late = [m._replace(topic=NOISE, message=table_message(s, t)) for s, t in drawn.items()]
        return [m, *late] if m.stamp_ns == START_NS else [m]

    told = changed(rollout, give_out)
    bag = make_bag(directory=tmp_path / "b", rollout=told, cameras=(), aux=("noise",))
    found = read_episode(bag).aux
    assert list(found) == ["noise"]
    assert list(found["noise"]) == list(rollout.chunks)
    for stamp, table in found["noise"].items():
        np.testing.assert_array_equal(table, drawn[stamp])
    assert read_episode(make_bag(directory=tmp_path / "c", steps=6)).aux == {}


def test_an_array_that_is_no_table_refuses_the_bag_by_topic(tmp_path):
    rollout = make_rollout(steps=6, cameras=())
    broken = table_message(START_NS, np.zeros((2, 2), np.float32))
    broken.height = 5

    def give_out(m):
        return [m, m._replace(topic=NOISE, message=broken)] if m.stamp_ns == START_NS else [m]

    told = changed(rollout, give_out)
    bag = make_bag(directory=tmp_path / "b", rollout=told, cameras=(), aux=("noise",))
    with pytest.raises(BagError, match=r"/policy/aux/noise: 32FC1 with 16 bytes"):
        read_episode(bag)


def test_gaps_are_flagged_and_never_filled(tmp_path):
    lost = range(START_NS + 300_000_000, START_NS + 600_000_000)
    rollout = make_rollout(steps=30)
    torn = changed(
        rollout, lambda m: [] if m.topic is JOINT_STATES and m.stamp_ns in lost else [m]
    )
    bag = make_bag(directory=tmp_path / "b", rollout=torn)
    with pytest.raises(BagError, match=r"rollout-1: joint_states: missing at \d of 30"):
        read_episode(bag)
    episode = read_episode(bag, LENIENT)
    assert len(episode) == 30
    assert episode.is_gap.any()
    assert np.isnan(episode.positions[episode.is_gap]).all()
    assert np.isfinite(episode.positions[~episode.is_gap]).all()
    report = next(r for r in episode.reports if r.stream == JOINT_STATES.name)
    assert report.missing == episode.is_gap.sum()


def test_a_dead_camera_or_arm_loop_is_named(tmp_path):
    rollout = make_rollout(steps=30)
    late = START_NS + 500_000_000
    for topic in (FRONT, JOINT_COMMANDS, OBJECTS):
        torn = changed(
            rollout, lambda m, t=topic: [] if m.topic == t and m.stamp_ns > late else [m]
        )
        bag = make_bag(directory=tmp_path / topic.type.rsplit("/")[-1], rollout=torn)
        with pytest.raises(BagError, match=topic.name):
            read_episode(bag)


def test_foreign_and_broken_bags_are_refused_by_name(tmp_path):
    rollout = make_rollout(steps=6)

    def refuse(name, changed_rollout, match):
        with pytest.raises(BagError, match=match):
            read_episode(make_bag(directory=tmp_path / name, rollout=changed_rollout))

    def with_message(topic, make):
        return changed(
            rollout, lambda m: [m._replace(message=make(m))] if m.topic == topic else [m]
        )

    refuse("a", without(rollout, JOINT_STATES), "joint_states: no message")
    nan = with_message(JOINT_STATES, lambda m: joint_message(m.stamp_ns, np.full(6, np.nan)))
    refuse("b", nan, "joint_states: position: a value is not finite")
    names = with_message(JOINT_STATES, lambda m: joint_message(m.stamp_ns, np.ones(2), names="ab"))
    refuse("c", names, "joint_states: joints a, b: expected shoulder_pan")
    sizes = with_message(JOINT_STATES, lambda m: joint_message(m.stamp_ns, np.ones(5)))
    refuse("d", sizes, "joint_states: position: 5 values for 6 joints")
    end = [m for m in rollout.messages if m.topic is EPISODE][-1]
    early = CONTROL_GRID.stamp(10)
    end_message = event_message(replace_stamp(end.message, early))
    torn = changed(rollout, lambda m: [m._replace(message=end_message)] if m is end else [m])
    refuse("e", torn, "rollout-1 succeeded")
    other = make_bag(directory=tmp_path / "f", steps=6)
    with pytest.raises(BagError, match="no topic /left/joint_states"):
        read_episode(other, ReaderConfig(namespace="left"))


def replace_stamp(message, stamp):
    return replace(from_message(message), stamp_ns=stamp)


def test_a_trajectory_that_breaks_its_rules_is_counted_not_used(tmp_path):
    rollout = make_rollout(steps=20, cameras=())
    bad = changed(
        rollout,
        lambda m: (
            [m._replace(message=chunk_message(m.stamp_ns, np.full((3, 6), np.nan)))]
            if m.topic is POLICY_TRAJECTORY and m.stamp_ns > START_NS
            else [m]
        ),
    )
    episode = read_episode(make_bag(directory=tmp_path / "b", rollout=bad, cameras=()))
    assert list(episode.planned) == [START_NS]
    report = next(r for r in episode.reports if r.stream == POLICY_TRAJECTORY.name)
    assert report.missing == 2


def test_one_bag_may_hold_many_episodes_or_none_marked(tmp_path):
    first = make_rollout(steps=9, episode="one")
    second = make_rollout(steps=12, episode="two", start_ns=POLICY_GRID.stamp(400), seed=1)
    both = first._replace(messages=first.messages + second.messages)
    episodes = read_episodes(make_bag(directory=tmp_path / "both", rollout=both))
    assert [(e.facts.id, len(e)) for e in episodes] == [("one", 9), ("two", 12)]
    assert set(episodes[1].planned) == set(second.chunks)
    with pytest.raises(BagError, match="holds 2 episodes"):
        read_episode(tmp_path / "both")
    bare = make_bag(directory=tmp_path / "bare", rollout=without(first, EPISODE))
    assert read_episode(bare).outcome is None
    assert len(read_episode(bare)) == 10


def test_the_golden_bag_reads_as_it_always_did():
    episode = read_episode(GOLDEN / "episode")
    expected = np.load(GOLDEN / "expected.npz")
    facts = json.loads((GOLDEN / "expected.json").read_text())
    assert episode.facts.id == facts["id"]
    assert episode.outcome.value == facts["outcome"]
    assert [list(map(len, episode.images[c])) for c in sorted(episode.images)] == facts["images"]
    columns = ("stamps_ns", "positions", "velocities", "effort", "commands", "actions")
    for name in (*columns, "sources", "rewards", "terminated", "truncated", "objects"):
        np.testing.assert_allclose(
            getattr(episode, name), expected[name], atol=1e-12, err_msg=name
        )
    assert sorted(episode.planned) == expected["planned_stamps_ns"].tolist()
    np.testing.assert_array_equal(list(episode.planned.values()), expected["planned"])
