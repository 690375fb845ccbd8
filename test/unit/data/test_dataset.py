"""Laws of the batches, against the episodes they come from."""

from dataclasses import replace

import numpy as np
import pytest
from factories import make_episode
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.action import ActionSpace
from so101.data.training import norm_stats
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.data.training.sampling import StepSampler, rng_from_json, rng_to_json
from so101.data.training.trimming import TrimConfig, kept_ticks
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.errors import BagError, ConfigError
from so101.images import decode_image
from so101.spec import PolicySpec

SPEC = PolicySpec(uses_objects=True)
AS_RECORDED = DatasetConfig(trim=TrimConfig(mode="off"))
many = settings(deadline=None, max_examples=12)


def dataset(*episodes, spec=SPEC, config=AS_RECORDED) -> EpisodeDataset:
    return EpisodeDataset.from_episodes(episodes, spec, config)


def with_gap(episode, ticks):
    positions = episode.positions.copy()
    positions[ticks] = np.nan
    return replace(episode, positions=positions)


@many
@given(st.integers(1, 25), st.integers(1, 20), st.sampled_from([30, 15, 10]))
def test_chunks_are_the_actions_that_followed(steps, horizon, rate_hz):
    episode = make_episode(steps=steps)
    space = ActionSpace(horizon=horizon, execute_steps=1, rate_hz=rate_hz)
    data = dataset(episode, make_episode(seed=1), spec=PolicySpec(action_space=space))
    batch = data.chunks_at(np.arange(steps))
    stride = 30 // rate_hz
    for tick in range(steps):
        for k in range(horizon):
            due = tick + (k + 1) * stride - 1
            assert batch.mask[tick, k] == (due < steps or k == 0)
            expected = episode.actions[min(due, steps - 1)]
            np.testing.assert_allclose(batch.actions[tick, k], expected, rtol=1e-6)
    assert batch.actions.dtype == batch.weight.dtype == np.float32


@many
@given(st.integers(1, 12), st.integers(1, 6), st.floats(0.5, 1.0), st.booleans())
def test_transitions_sum_what_came_until_the_end(steps, n, gamma, is_truncated):
    outcome = Outcome.TRUNCATED if is_truncated else Outcome.SUCCESS
    rewards = np.random.default_rng(steps).normal(size=steps)
    episode = replace(make_episode(steps=steps, outcome=outcome), rewards=rewards)
    batch = dataset(episode, make_episode(seed=1)).transitions_at(np.arange(steps), n, gamma)
    for tick in range(steps):
        length = min(n, steps - tick)
        is_end = tick + n >= steps
        total = sum(gamma**k * rewards[tick + k] for k in range(length))
        assert batch.reward[tick] == pytest.approx(total, abs=1e-5)
        assert batch.terminated[tick] == (is_end and not is_truncated)
        assert batch.truncated[tick] == (tick + n > steps - 1 and is_truncated)
        discount = 0.0 if is_end and not is_truncated else gamma**length
        assert batch.discount[tick] == pytest.approx(discount, abs=1e-6)
        following = min(tick + length, steps - 1)
        np.testing.assert_allclose(
            batch.next_observation.positions[tick], episode.positions[following], rtol=1e-6
        )
    assert batch.actions.shape == (steps, n, 6)


def test_nothing_after_the_end_of_the_task_counts():
    terminated = np.zeros(10, dtype=np.bool_)
    terminated[[4, 9]] = True
    episode = replace(make_episode(steps=10), rewards=np.ones(10), terminated=terminated)
    batch = dataset(episode).transitions_at(np.array([2, 4, 5]), 5, 1.0)
    assert batch.reward.tolist() == [3.0, 1.0, 5.0]
    assert batch.discount.tolist() == [0.0, 0.0, 0.0]


@many
@given(st.sets(st.integers(1, 28), max_size=4), st.integers(1, 8), st.integers(0, 99))
def test_no_batch_crosses_a_gap_or_an_episode(gaps, length, seed):
    episodes = [with_gap(make_episode(steps=30, seed=s), sorted(gaps)) for s in (1, 2)]
    data = dataset(*episodes)
    known = [i for i in range(30) if i not in gaps]
    assert len(data) == 2 * len(known)
    ticks = np.array(known * 2)
    batch = data.chunks_at(np.arange(len(data)))
    for row in range(len(data)):
        real = int(batch.mask[row].sum())
        run = np.flatnonzero(np.diff(ticks[row:], append=-1) != 1)[0] + 1
        assert real == min(16, run)
    rng = np.random.default_rng(seed)
    runs = np.split(np.array(known), np.flatnonzero(np.diff(known) != 1) + 1)
    if max(map(len, runs)) < length:
        with pytest.raises(ConfigError, match="no step"):
            data.sequences(rng, 4, length)
        return
    sequences = data.sequences(rng, 8, length)
    recorded = np.concatenate([e.positions for e in episodes]).astype(np.float32)
    for row in sequences.observation.positions:
        place = np.flatnonzero((recorded == row[0]).all(axis=1))[0]
        assert place // 30 == (place + length - 1) // 30
        np.testing.assert_array_equal(row, recorded[place : place + length])


@many
@given(st.sampled_from([1, 3, 10, 15, 30]), st.floats(0.5, 3.0), st.integers(2, 40))
def test_every_row_has_an_action_at_whatever_pace_it_is_read(rate_hz, speed, steps):
    """One without would have no loss, and its whole batch would be skipped."""
    space = ActionSpace(rate_hz=rate_hz, horizon=4, execute_steps=2)
    data = dataset(make_episode(steps=steps), spec=PolicySpec(action_space=space))
    batch = data.chunks_at(np.arange(steps), np.full(steps, speed))
    assert batch.mask[:, 0].all()
    assert (np.diff(batch.mask.astype(int), axis=1) <= 0).all()
    if speed >= 1.0:  # behind the end the last command stays in force
        last = data.chunks_at(np.array([steps - 1])).actions[0, 0]
        np.testing.assert_array_equal(batch.actions[-1, 0], last)


def test_images_are_decoded_once_at_the_policys_size_like_live():
    spec = PolicySpec(cameras=("front",), image_size=(12, 16))
    episode = make_episode(steps=9, cameras=("front", "wrist"))
    data = dataset(episode, spec=spec)
    batch = data.observations(np.array([[0, 3], [8, 1]]))
    assert batch.images["front"].shape == (2, 2, 12, 16, 3)
    live = decode_image(episode.images["front"][8], (12, 16))
    np.testing.assert_array_equal(batch.images["front"][1, 0], live)
    assert batch.image_mask["front"].all()
    assert batch.objects is None
    assert batch.tasks == ("pick up the cube",) * 2


def test_policies_learn_the_words_that_they_are_told_live():
    told = make_episode(steps=9)
    told = replace(told, facts=replace(told.facts, task="pick", instruction="stack the cups"))
    assert dataset(told).observations(np.array([0, 3])).tasks == ("stack the cups",) * 2


def test_pauses_leave_the_training_sequence_but_nothing_else_does():
    episode = make_episode(steps=60, idle=[(20, 40)], outcome=Outcome.SUCCESS)
    rewards = np.arange(60.0)
    data = dataset(replace(episode, rewards=rewards), config=DatasetConfig())
    # Action 18 to 38 are the same goal; the last 8 of these ticks see the motion coming.
    assert data.trimmed == {"episode-0": 13}
    batch = data.transitions_at(np.arange(len(data)), 1, 1.0)
    assert batch.reward.sum() == rewards.sum()
    assert batch.terminated.tolist() == [False] * (len(data) - 1) + [True]
    kept = [i for i in range(60) if not 18 <= i < 31]
    chunk = data.chunks_at(np.array([17]))
    np.testing.assert_allclose(chunk.actions[0], episode.actions[kept[17:33]], rtol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-0.02, 0.02), min_size=1, max_size=60), st.integers(1, 12))
def test_trimming_keeps_the_end_and_every_motion(moves, window):
    actions = np.cumsum(moves)[:, None] * np.ones((1, 2))
    config = TrimConfig(window=window)
    kept = kept_ticks(actions, config)
    assert kept[-window:].all()
    for tick in range(len(moves) - window):
        moved = np.abs(actions[tick : tick + window + 1] - actions[tick]).max()
        assert kept[tick] == (moved >= 0.03)
    assert kept_ticks(actions, TrimConfig(mode="off")).all()
    start = kept_ticks(actions, TrimConfig(mode="start_only", window=window))
    first = int(np.argmax(start))
    assert start[first:].all()
    assert (start >= kept).all()


def test_unfit_episodes_are_left_out_with_the_reason():
    spec = PolicySpec(cameras=("front",), image_size=(12, 16), uses_objects=True)
    good = make_episode(seed=0, cameras=("front",))
    broken = make_episode(seed=5, cameras=("front",))
    broken = replace(broken, images={"front": (b"no image", *broken.images["front"][1:])})
    data = dataset(
        good,
        make_episode(seed=1, cameras=("front",), outcome=Outcome.INCOMPLETE),
        make_episode(seed=2, cameras=("front",), outcome=Outcome.DISCARDED),
        make_episode(seed=3, cameras=("wrist",)),
        make_episode(seed=4, cameras=("front",), objects=0),
        broken,
        make_episode(seed=6, cameras=("front",), objects=2),
        with_gap(make_episode(seed=7, cameras=("front",)), slice(None)),
        spec=spec,
    )
    assert data.episodes == ("episode-0",)
    reasons = {one.episode: one.reason for one in data.skipped}
    for seed, word in enumerate(
        ["incomplete", "discarded", "front", "object poses", "JPEG", "2 objects", "no tick"], 1
    ):
        assert word in reasons[f"episode-{seed}"]
    with pytest.raises(BagError, match="incomplete"):
        dataset(make_episode(outcome=Outcome.INCOMPLETE))


def test_a_policys_episode_without_an_array_that_is_asked_for_is_left_out():
    """A demonstration has none, and needs none."""
    noise = {"noise": {0: np.zeros((1, 1), np.float32)}}
    shown = make_episode(seed=2)
    shown = replace(shown, facts=replace(shown.facts, source="teleop"))
    episodes = (replace(make_episode(seed=0), aux=noise), make_episode(seed=1), shown)
    assert len(dataset(*episodes).episodes) == 3
    asked = EpisodeDataset.from_episodes(episodes, SPEC, arrays=("noise", "chain"))
    assert asked.episodes == ("episode-2",)
    reasons = {one.episode: one.reason for one in asked.skipped}
    assert reasons["episode-0"] == "has no array chain of the policy; it has noise"
    assert reasons["episode-1"] == "has no array noise, chain of the policy; it has none"


def test_interventions_are_marked():
    sources = np.full(10, SOURCE_CODES[ControlSource.POLICY])
    sources[3:6] = SOURCE_CODES[ControlSource.TELEOP]
    episode = replace(make_episode(steps=10), sources=sources)
    batch = dataset(episode).transitions_at(np.arange(10), 1, 0.9)
    assert batch.is_intervention.tolist() == [3 <= i < 6 for i in range(10)]
    assert batch.source.tolist() == sources.tolist()


def test_chance_comes_only_from_the_generator_and_can_be_saved():
    data = dataset(*(make_episode(seed=s) for s in range(3)))
    rng = np.random.default_rng(5)
    data.chunks(rng, 8)
    again = rng_from_json(rng_to_json(rng), "state")
    fresh = dataset(*(make_episode(seed=s) for s in range(3)))
    for _ in range(3):
        one, two = data.chunks(rng, 8), fresh.chunks(again, 8)
        np.testing.assert_array_equal(one.actions, two.actions)
    with pytest.raises(ConfigError, match="state"):
        rng_from_json('{"state": 1}', "state")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=6),
    st.booleans(),
)
def test_only_weighted_steps_are_drawn(episodes, is_uniform):
    steps, weights, at = [], [], 0
    for size, weight in episodes:
        steps.append(np.arange(at, at + size))
        weights.append(weight)
        at += size
    allowed = {s for group, w in zip(steps, weights, strict=True) if w for s in group.tolist()}
    if not allowed:
        with pytest.raises(ConfigError, match="no step"):
            StepSampler(steps, is_episode_uniform=is_uniform, weights=weights)
        return
    sampler = StepSampler(steps, is_episode_uniform=is_uniform, weights=weights)
    drawn = sampler.draw(np.random.default_rng(0), 300)
    assert set(drawn.tolist()) <= allowed


def test_shares_follow_length_or_episode_and_weight():
    steps = [np.arange(10), np.arange(10, 100)]
    rng = np.random.default_rng(1)

    def share(**options) -> float:
        return float((StepSampler(steps, **options).draw(rng, 20_000) < 10).mean())

    assert share() == pytest.approx(0.1, abs=0.02)
    assert share(is_episode_uniform=True) == pytest.approx(0.5, abs=0.02)
    assert share(is_episode_uniform=True, weights=[3, 1]) == pytest.approx(0.75, abs=0.02)
    with pytest.raises(ConfigError, match="weights"):
        share(weights=[1.0, float("nan")])


def test_norm_stats_describe_the_data_and_survive_json():
    data = dataset(make_episode(seed=1), make_episode(seed=2))
    stats = data.norm_stats()
    everything = data.observations(np.arange(len(data)))
    np.testing.assert_array_equal(stats.positions.minimum, everything.positions.min(axis=0))
    np.testing.assert_array_equal(stats.actions.maximum.shape, (6,))
    assert (stats.commands.q01 <= stats.commands.q99).all()
    assert stats.objects.mean.shape == (1, 7)
    assert stats.steps == 80
    again = norm_stats.from_json(norm_stats.to_json(stats), "x")
    assert norm_stats.to_json(again) == norm_stats.to_json(stats)
    broken = norm_stats.to_json(stats)
    broken["actions"]["std"][0] = float("inf")
    with pytest.raises(BagError, match=r"actions\.std"):
        norm_stats.from_json(broken, "x")
    with pytest.raises(BagError, match="broken"):
        norm_stats.from_json({"steps": 1, "positions": {}}, "x")
