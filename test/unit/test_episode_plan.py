"""Planned episodes: no two uses share a seed, and the same plan always means the same episodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.episode_plan import EpisodePlan, episode_seed, is_in_share, run_seed_of
from so101.errors import ConfigError

USES = ("demonstrations", "evaluation", "gate", "rollouts")
keys = st.tuples(st.integers(0, 50), st.sampled_from(USES), st.integers(0, 99_999))


@given(keys, keys)
def test_seeds_are_as_different_as_what_they_are_for(first, second):
    assert (episode_seed(*first) == episode_seed(*second)) == (first == second)
    assert run_seed_of(episode_seed(*first)) == first[0]


@pytest.mark.parametrize(("seed", "number"), [(-1, 0), (0, -1), (0, 100_000)])
def test_numbers_outside_the_block_are_refused(seed, number):
    with pytest.raises(ConfigError, match=r"0\.\.99999"):
        episode_seed(seed, "gate", number)


@given(st.floats(0.0, 1.0), st.integers(1, 200))
def test_a_share_is_kept_within_one(share, count):
    assert abs(sum(is_in_share(share, i) for i in range(count)) - share * count) <= 1.0


def test_facts_of_each_kind():
    plan = EpisodePlan(seed=3, recovery=0.5, operator="me")
    demonstrations = [plan.demonstration(i) for i in range(4)]
    assert [d.start_pose for d in demonstrations] == ["std", "std+recovery"] * 2
    assert {d.source for d in demonstrations} == {"teleop"}
    rollout = plan.rollout(2, 7, checkpoint="c", speed=1.2)
    assert (rollout.group, rollout.rollout, rollout.speed, rollout.phase) == (
        2,
        7,
        1.2,
        "rollouts",
    )
    assert plan.trial(0, "c").seed != plan.trial(0, "c", "gate").seed
    assert plan.trial(0).phase == "evaluation"


def test_every_kind_says_the_instruction():
    plan = EpisodePlan(instruction="stack the cups")
    facts = (plan.demonstration(0), plan.trial(0), plan.rollout(0, 0))
    assert {one.words for one in facts} == {"stack the cups"}
    assert {one.task for one in facts} == {"pick"}


def test_a_group_of_a_thousand_would_run_into_the_next():
    with pytest.raises(ConfigError, match="at most 1000"):
        EpisodePlan().rollout(0, 1000)
