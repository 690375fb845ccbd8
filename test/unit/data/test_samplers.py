"""Laws of what is drawn: shares, frequencies by priority, weights, saved states."""

from dataclasses import replace

import numpy as np
import pytest
from factories import make_episode
from hypothesis import given
from hypothesis import strategies as st

from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.data.training.mixture import MixedSampler
from so101.data.training.prioritised import PrioritisedSampler, PriorityConfig
from so101.data.training.sampling import StepSampler, rng_from_json, rng_to_json
from so101.data.training.trimming import TrimConfig
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.errors import ConfigError
from so101.spec import PolicySpec

CHI_SQUARE_999 = {15: 37.70}
"""Exceeded once in a thousand, by degrees of freedom."""


def uniform(first: int, past: int) -> StepSampler:
    return StepSampler([np.arange(first, past)])


def sampler_with(errors, alpha=1.0) -> PrioritisedSampler:
    sampler = PrioritisedSampler(np.arange(len(errors)), PriorityConfig(alpha=alpha))
    sampler.update(np.arange(len(errors)), np.asarray(errors, float))
    return sampler


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 70))
def test_shares_of_a_batch_are_exact_or_next_to_it(shares, count):
    if not sum(shares):
        with pytest.raises(ConfigError, match="shares"):
            MixedSampler([uniform(0, 5)] * len(shares), shares)
        return
    parts = [uniform(100 * i, 100 * i + 10) for i in range(len(shares))]
    mixed = MixedSampler(parts, shares)
    drawn = mixed.draw(np.random.default_rng(3), count)
    found = np.bincount(drawn // 100, minlength=len(shares))
    assert len(drawn) == count
    assert tuple(found.tolist()) == mixed.counts(count)
    exact = np.array(shares) * count / sum(shares)
    assert (np.abs(found - exact) < 1).all()
    for rows, share in zip(found.tolist(), exact.tolist(), strict=True):
        assert share != int(share) or rows == share


@pytest.mark.parametrize("shares", [[1.0], [0.5, float("nan")], [-1, 2], [0, 0]])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ConfigError, match="2 shares"):
        MixedSampler([uniform(0, 5), uniform(5, 9)], shares)


def test_steps_are_selected_by_outcome_source_and_what_lies_ahead():
    sources = np.full(40, SOURCE_CODES[ControlSource.POLICY])
    sources[5:9] = SOURCE_CODES[ControlSource.TELEOP]
    demonstration = make_episode(seed=0, outcome=Outcome.SUCCESS)
    facts = replace(demonstration.facts, phase="demonstrations", source="teleop")
    data = EpisodeDataset.from_episodes(
        [
            replace(demonstration, facts=facts),
            replace(make_episode(seed=1, outcome=Outcome.FAILURE), sources=sources),
        ],
        PolicySpec(),
        DatasetConfig(trim=TrimConfig(mode="off")),
    )
    failed = data.steps(where=lambda _, outcome: outcome is Outcome.FAILURE)
    assert failed.tolist() == list(range(40, 80))
    corrected = data.steps(sources=[ControlSource.TELEOP])
    assert corrected.tolist() == [45, 46, 47, 48]
    shown = data.steps(where=lambda facts, _: facts.phase == "demonstrations", length=5)
    assert shown.tolist() == list(range(36))
    mixed = MixedSampler([StepSampler([shown]), StepSampler([corrected])], [0.5, 0.5])
    batch = data.transitions_at(mixed.draw(np.random.default_rng(0), 32), 3, 0.9)
    assert batch.is_intervention.tolist() == [False] * 16 + [True] * 16
    assert len(data.sequences_at(data.steps(length=40), 40)) == 2
    assert not len(data.steps(length=41))


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("batch", [1, 32])
def test_frequencies_follow_priorities(alpha, batch):
    errors = np.random.default_rng(5).uniform(0.05, 3.0, 16)
    sampler = sampler_with(errors, alpha)
    rng, draws = np.random.default_rng(11), 8_000
    drawn = np.concatenate([sampler.draw(rng, batch) for _ in range(draws // batch)])
    expected = errors**alpha / (errors**alpha).sum() * draws
    found = np.bincount(drawn, minlength=16)
    assert ((found - expected) ** 2 / expected).sum() < CHI_SQUARE_999[15]


def test_weights_undo_the_bias_and_the_largest_is_one():
    """By hand: P = (1, 2, 5) / 8, N = 3, so N P = (3, 6, 15) / 8."""
    sampler = sampler_with([1.0, 2.0, 5.0])
    steps = np.array([2, 1, 1])
    full = np.array([8 / 15, 8 / 6, 8 / 6]) / (8 / 3)
    np.testing.assert_allclose(sampler.weights(steps, 1.0), full, rtol=1e-5)
    np.testing.assert_allclose(sampler.weights(steps, 0.4), full**0.4, rtol=1e-5)
    assert sampler.weights(steps, 0.0).tolist() == [1.0, 1.0, 1.0]
    assert sampler.weights(np.array([0]), 1.0).dtype == np.float32
    # every step weighted by how rarely it comes: the mean over draws is that of even draws
    drawn = sampler.draw(np.random.default_rng(1), 8000)
    weights = sampler.weights(drawn, 1.0)
    assert np.average(drawn, weights=weights) == pytest.approx(1.0, abs=0.02)


@given(st.data())
def test_updates_are_idempotent_and_leave_no_trace_of_what_was_before(data):
    size = data.draw(st.integers(1, 40))
    sampler = PrioritisedSampler(np.arange(size) * 3)
    rng = np.random.default_rng(size)
    for _ in range(data.draw(st.integers(1, 6))):
        steps = rng.integers(0, size, 7) * 3
        errors = rng.normal(0, 2, 7)
        sampler.update(steps, errors)
        once = sampler.draw(np.random.default_rng(0), 50)
        sampler.update(steps, -errors)
        np.testing.assert_array_equal(sampler.draw(np.random.default_rng(0), 50), once)
    restored = PrioritisedSampler.restored(sampler.state())
    again = rng_from_json(rng_to_json(rng), "state")
    for _ in range(3):
        np.testing.assert_array_equal(restored.draw(again, 9), one := sampler.draw(rng, 9))
        np.testing.assert_array_equal(restored.weights(one, 0.7), sampler.weights(one, 0.7))
        sampler.update(one, np.arange(9.0))
        restored.update(one, np.arange(9.0))


def test_the_last_error_of_a_step_counts():
    sampler = sampler_with([1.0, 1.0])
    sampler.update(np.array([0, 0]), np.array([50.0, 3.0]))
    assert sampler.weights(np.array([0]), 1.0)[0] == pytest.approx(1 / 3, rel=1e-5)


@given(st.integers(1, 70), st.integers(0, 70))
def test_new_steps_come_with_the_largest_priority(before, added):
    sampler = PrioritisedSampler(np.arange(before), PriorityConfig(alpha=1.0))
    sampler.update(np.array([0]), np.array([4.0]))
    sampler.update(np.array([0]), np.array([0.5]))
    sampler.extend(before + np.arange(added))
    assert len(sampler) == before + added
    state = sampler.state()
    np.testing.assert_allclose(state["priorities"][before:], 4.0, rtol=1e-5)
    drawn = sampler.draw(np.random.default_rng(0), 4000)
    share = 4.0 * added / (4.0 * added + (before - 1) + 0.5)
    assert float((drawn >= before).mean()) == pytest.approx(share, abs=0.001)
    same = PrioritisedSampler.restored(state, PriorityConfig(alpha=1.0))
    np.testing.assert_array_equal(same.draw(np.random.default_rng(0), 4000), drawn)


def test_cost_grows_with_the_logarithm(monkeypatch):
    """What an update touches is a path to the root for each step, not the tree."""
    sampler = PrioritisedSampler(np.arange(1 << 16))
    touched = []
    real = np.unique
    monkeypatch.setattr(np, "unique", lambda nodes: touched.append(len(nodes)) or real(nodes))
    sampler.update(np.array([5, 60_000]), np.array([1.0, 2.0]))
    assert len(touched) == 17
    assert max(touched) == 2


def test_what_cannot_be_is_refused_and_changes_nothing():
    sampler = sampler_with([1.0, 2.0, 3.0])
    before = sampler.state()
    for steps, errors in ([3], [1.0]), ([0], [float("nan")]), ([0, 1], [1.0]), ([-1], [1.0]):
        with pytest.raises(ConfigError, match="priorities"):
            sampler.update(np.array(steps), np.array(errors))
    with pytest.raises(ConfigError, match="ascending"):
        sampler.extend(np.array([2, 5]))
    for name, array in sampler.state().items():
        np.testing.assert_array_equal(array, before[name])
    for steps in [], [3, 3], [4, 2]:
        with pytest.raises(ConfigError, match="priorities"):
            PrioritisedSampler(np.array(steps, dtype=np.int64))
    for broken in {"steps": before["steps"]}, {**before, "priorities": np.zeros(3)}:
        with pytest.raises(ConfigError, match="saved state"):
            PrioritisedSampler.restored(broken)
