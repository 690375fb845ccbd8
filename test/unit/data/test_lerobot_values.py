"""Columns of a LeRobotDataset: units, the inverse pair, gaps, and what counts when they differ."""

import math
from dataclasses import replace

import numpy as np
import pytest
from factories import make_episode
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from so101.clock import NS_PER_S
from so101.data.episodes.episode_parts import split_at_gaps
from so101.data.exchange.lerobot_values import (
    ACTION,
    DONE,
    EXACT,
    EXACT_REWARD,
    INTERVENTION,
    POLICY_ID,
    REWARD,
    SOURCE,
    STAMP,
    STATE,
    SUCCESS,
    TRUNCATED,
    Units,
    features,
    from_columns,
    own_stamps,
    to_columns,
)
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.robot import GRIPPER, from_lerobot, so101, to_lerobot

PERIOD_NS = NS_PER_S // 30
COLUMNS = ("stamps_ns", "positions", "velocities", "effort", "commands", "actions", "sources")
COLUMNS += ("rewards", "terminated", "truncated", "objects", "wishes")
radians = arrays(np.float64, (3, 6), elements=st.floats(-math.pi, math.pi))
degrees = arrays(np.float32, (3, 6), elements=st.floats(-180, 180, width=32))


def same(a, b):
    """Whether two columns are equal to the bit, unknown values included."""
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def differing(a, b):
    return [name for name in COLUMNS if not same(getattr(a, name), getattr(b, name))]


def back(columns, episode, **options):
    """Return what `from_columns` makes of an episode's columns."""
    return from_columns(columns, episode.facts, Units(), own_stamps(columns), PERIOD_NS, **options)


def test_hand_computed_values():
    spec = so101()
    pose = np.array([math.pi / 2, -math.pi / 4, 0.0, 1.0, -math.pi, 0.0])
    pose[GRIPPER] = (spec.lower[GRIPPER] + spec.upper[GRIPPER]) / 2
    expected = [90.0, -45.0, 0.0, 57.29577951308232, -180.0, 50.0]
    assert to_lerobot(pose) == pytest.approx(expected, abs=1e-12)


def test_the_gripper_is_closed_at_0_and_open_at_100():
    spec = so101()
    assert to_lerobot(spec.lower)[GRIPPER] == 0.0
    assert to_lerobot(spec.upper)[GRIPPER] == 100.0
    assert from_lerobot(np.array([0, 0, 0, 0, 0, 100.0]))[GRIPPER] == spec.upper[GRIPPER]


@given(radians)
def test_the_conversion_is_an_inverse_pair(positions):
    assert np.allclose(from_lerobot(to_lerobot(positions)), positions, rtol=0, atol=1e-13)


@given(degrees)
def test_float32_values_survive_the_way_through_rad(values):
    """Bit for bit, but for a gripper that is closed to a millionth of a percent."""
    again = to_lerobot(from_lerobot(values.astype(np.float64))).astype(np.float32)
    assert np.array_equal(again[..., :GRIPPER], values[..., :GRIPPER])
    gripper, expected = again[..., GRIPPER], values[..., GRIPPER]
    assert np.array_equal(gripper[abs(expected) > 1e-5], expected[abs(expected) > 1e-5])
    assert np.allclose(gripper, expected, rtol=0, atol=1e-12)


def test_values_of_a_calibrated_range_map_onto_that_range():
    half_range = np.array([1.9, 1.7, 1.6, 1.6, math.pi, 9.9])
    units = Units(half_range=half_range)
    values = np.array([[100.0, -100.0, 50.0, 0.0, 25.0, 100.0]])
    expected = [[1.9, -1.7, 0.8, 0.0, math.pi / 4, so101().upper[GRIPPER]]]
    assert units.to_rad(values) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED])
@pytest.mark.parametrize("objects", [0, 2])
def test_columns_and_episodes_are_an_inverse_pair(outcome, objects):
    episode = make_episode(outcome=outcome, objects=objects)
    rng = np.random.default_rng(1)
    wishes = np.where(rng.random((len(episode), 1)) < 0.5, np.nan, episode.actions)
    sources = rng.choice([SOURCE_CODES[s] for s in ControlSource], len(episode))
    rewards = rng.normal(size=len(episode))
    episode = replace(episode, wishes=wishes, sources=sources, rewards=rewards)
    taken = back(to_columns(episode), episode)
    assert differing(taken.episode, episode) == []
    assert taken.episode.outcome is outcome
    assert taken.edited == {}


def test_every_column_is_what_its_description_says():
    episode = make_episode(objects=2)
    described = features({}, 2, "video")
    columns = to_columns(episode)
    assert set(columns) == set(described)
    for name, one in described.items():
        if one["dtype"] == "string":
            assert all(isinstance(text, str) for text in columns[name])
        else:
            assert columns[name].dtype == one["dtype"], name
            assert columns[name][0].shape == one["shape"], name


def test_who_acted_is_told_at_every_step():
    episode = make_episode(steps=4)
    acting = [ControlSource.POLICY, ControlSource.TELEOP, ControlSource.TELEOP, ControlSource.HOLD]
    episode = replace(
        episode,
        sources=np.array([SOURCE_CODES[source] for source in acting]),
        facts=replace(episode.facts, checkpoint="c0ffee"),
    )
    columns = to_columns(episode)
    assert columns[SOURCE] == ["policy", "teleop", "teleop", "hold"]
    assert columns[POLICY_ID] == ["c0ffee", "", "", ""]
    assert columns[INTERVENTION][:, 0].tolist() == [False, True, True, False]


def test_the_end_is_told_as_gymnasium_tells_it():
    columns = to_columns(make_episode(steps=5, outcome=Outcome.TRUNCATED))
    assert columns[DONE][:, 0].tolist() == [False] * 4 + [True]
    assert columns[TRUNCATED][:, 0].tolist() == [False] * 4 + [True]
    assert not columns[SUCCESS].any()
    columns = to_columns(make_episode(steps=5, outcome=Outcome.SUCCESS))
    assert columns[DONE][-1, 0]
    assert columns[SUCCESS][:, 0].tolist() == [False] * 4 + [True]
    assert not columns[TRUNCATED].any()


def test_the_standard_column_wins_where_somebody_changed_it():
    episode = make_episode()
    columns = to_columns(episode)
    columns[ACTION] = columns[ACTION].copy()
    columns[ACTION][3, 2] += 1.0
    columns[REWARD] = columns[REWARD] + np.float32(0.5)
    taken = back(columns, episode)
    assert taken.edited == {ACTION: 1, REWARD: len(episode)}
    changed = from_lerobot(columns[ACTION].astype(np.float64))[3, 2]
    assert taken.episode.actions[3, 2] == changed
    assert same(np.delete(taken.episode.actions, 3, 0), np.delete(episode.actions, 3, 0))
    assert taken.episode.rewards == pytest.approx(episode.rewards + 0.5)


def test_a_last_bit_that_another_computer_rounds_otherwise_is_no_change():
    episode = make_episode()
    columns = to_columns(episode)
    columns[STATE] = np.nextafter(columns[STATE], np.float32(np.inf))
    taken = back(columns, episode)
    assert taken.edited == {}
    assert same(taken.episode.positions, episode.positions)


def test_other_peoples_columns_say_less_and_nothing_is_made_up():
    episode = make_episode(steps=6)
    columns = {name: to_columns(episode)[name] for name in (STATE, ACTION)}
    taken = from_columns(columns, episode.facts, Units(), episode.stamps_ns, PERIOD_NS)
    assert not taken.has_rewards
    found = taken.episode
    assert found.outcome is None
    assert np.isnan(found.velocities).all()
    assert np.isnan(found.effort).all()
    assert np.isnan(found.commands[0]).all()
    assert same(found.commands[1:], found.actions[:-1])
    assert not found.terminated.any()
    assert found.objects is None
    assert found.wishes is None


def test_an_intervention_column_alone_tells_who_acted():
    episode = make_episode(steps=3)
    columns = {name: to_columns(episode)[name] for name in (STATE, ACTION)}
    columns[INTERVENTION] = np.array([[False], [True], [False]])
    taken = from_columns(columns, episode.facts, Units(), episode.stamps_ns, PERIOD_NS)
    policy, teleop = SOURCE_CODES[ControlSource.POLICY], SOURCE_CODES[ControlSource.TELEOP]
    assert taken.episode.sources.tolist() == [policy, teleop, policy]


def test_stamps_count_only_while_no_step_was_taken_out():
    columns = to_columns(make_episode())
    assert own_stamps(columns) is not None
    assert own_stamps({STAMP: np.delete(columns[STAMP], 7, 0)}) is None
    assert own_stamps({STAMP: columns[STAMP] + 5}) is None
    assert own_stamps({}) is None


def test_an_episode_is_split_at_gaps_and_never_filled():
    episode = make_episode(steps=20, cameras=("front",))
    is_gap = np.zeros(20, dtype=np.bool_)
    is_gap[[7, 8, 10]] = True
    parts, left_out = split_at_gaps(replace(episode, is_gap=is_gap))
    assert [len(part.episode) for part in parts] == [7, 9]
    assert left_out == 4  # the three gaps, and the tick between two of them
    first, last = (part.episode for part in parts)
    assert same(first.actions, episode.actions[:7])
    assert same(last.stamps_ns, episode.stamps_ns[11:])
    assert last.images["front"] == episode.images["front"][11:]
    assert [part.episode.facts.id for part in parts] == ["episode-0.part1", "episode-0.part2"]
    assert first.outcome is Outcome.TRUNCATED
    assert first.truncated.tolist() == [False] * 6 + [True]
    assert last.outcome is Outcome.SUCCESS
    assert not last.truncated.any()
    assert [part.is_cut for part in parts] == [True, False]


def test_an_episode_without_gaps_stays_whole():
    episode = make_episode()
    parts, left_out = split_at_gaps(episode)
    assert left_out == 0
    assert [part.episode.facts.id for part in parts] == [episode.facts.id]
    assert differing(parts[0].episode, episode) == []


def test_exact_columns_are_not_what_a_policy_of_lerobot_looks_at():
    """LeRobot takes every column that begins with observation or action for an input or output."""
    names = [*EXACT.values(), EXACT_REWARD, STAMP, SOURCE, POLICY_ID]
    assert not [name for name in names if name.startswith(("observation", "action"))]
