"""Rules, pools and the standard of group-relative learning."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import ConfigError, SessionError
from so101.groups.advantage import (
    advantages,
    effective_durations,
    paces,
    pooled,
    target_duration,
    tighten,
)
from so101.groups.rollout import DEMONSTRATION, RatedRollout

LIMIT_S = 12.0

rollouts = st.builds(
    RatedRollout,
    episode=st.uuids().map(str),
    group=st.just(0),
    duration_s=st.floats(0.1, LIMIT_S),
    is_success=st.booleans(),
    is_home=st.booleans(),
    is_stable=st.booleans(),
)
groups = st.lists(rollouts, min_size=1, max_size=12)


def rollout(name, duration_s, *, group=0, success=True, **rest):
    return RatedRollout(
        episode=name, group=group, duration_s=duration_s, is_success=success, **rest
    )


def rated(rule, group, standard_s=None, **rest):
    return advantages(rule, group, standard_s=standard_s, limit_s=LIMIT_S, **rest)


@given(groups)
def test_the_median_rule_chooses_at_least_half(group):
    chosen = rated("median", group)
    assert set(chosen) <= {0.0, 1.0}
    assert chosen.sum() >= len(group) / 2


def test_the_median_rule_chooses_the_faster_half_and_counts_failures_as_the_time_limit():
    group = [rollout(str(i), float(i), success=i != 2) for i in range(1, 11)]
    assert rated("median", group).tolist() == [1, 0, 1, 1, 1, 1, 0, 0, 0, 0]
    succeeded = [replace(one, is_success=True) for one in group]
    assert rated("median", succeeded).tolist() == [1.0] * 5 + [0.0] * 5


def test_the_median_rule_chooses_failures_once_half_of_a_group_fails():
    """Why it diverges: with the median at the limit everything is good enough."""
    group = [rollout(str(i), 4.0, success=i < 4) for i in range(10)]
    assert rated("median", group).tolist() == [1.0] * 10


@given(groups, st.none() | st.floats(0.1, LIMIT_S))
def test_the_gated_rule_chooses_only_good_ones_within_the_standard(group, standard_s):
    for given_, one in zip(rated("gated", group, standard_s), group, strict=True):
        assert given_ == float(one.is_good and one.duration_s <= (standard_s or np.inf))


def test_what_people_gave_is_taken_and_what_is_missing_is_named():
    group = [rollout("a", 4.0, advantage=0.5), rollout("b", 5.0, advantage=-1.0)]
    assert rated("manual", group).tolist() == [0.5, -1.0]
    with pytest.raises(SessionError, match="b"):
        rated("manual", [group[0], replace(group[1], advantage=None)])


@given(groups, st.floats(0.0, 1.0))
def test_scores_reward_the_shorter_and_bound_the_negative(group, bound):
    scores = rated("zscore", group, negative_bound=bound)
    durations = effective_durations(group, LIMIT_S)
    assert scores.min() >= -bound - 1e-12
    assert scores.max() <= 5.0
    assert (np.diff(scores[np.argsort(durations, kind="stable")]) <= 1e-12).all()


def test_a_score_is_the_distance_from_the_mean_in_standard_deviations():
    group = [rollout("a", 4.0), rollout("b", 6.0)]
    assert rated("zscore", group, negative_bound=0.25).tolist() == [1.0, -0.25]
    assert rated("zscore", group, negative_bound=2.0).tolist() == [1.0, -1.0]
    failed = [rollout("a", 4.0), rollout("b", 1.0, success=False)]
    assert rated("zscore", failed, negative_bound=0.25).tolist() == [1.0, -0.25]


def test_equal_durations_have_no_advantage():
    assert rated("zscore", [rollout(str(i), 4.0) for i in range(10)]).tolist() == [0.0] * 10


def test_an_unknown_rule_is_refused():
    with pytest.raises(ConfigError, match="fastest"):
        rated("fastest", [rollout("a", 4.0)])


@given(st.lists(groups, min_size=1, max_size=6), st.floats(0.0, 1.0))
def test_the_standard_never_rises(history, quantile):
    standard_s, seen = None, []
    for group in history:
        seen += group
        newer = tighten(standard_s, seen, quantile=quantile)
        assert standard_s is None or (newer is not None and newer <= standard_s)
        standard_s = newer
    assert (standard_s is None) == (not any(r.is_good for r in seen))


def test_the_standard_is_a_quantile_of_the_newest_good_ones():
    old = [rollout(str(i), 9.0) for i in range(5)]
    new = [rollout(str(i), d) for i, d in enumerate((4.0, 5.0, 6.0))]
    bad = [rollout("x", 1.0, success=False), rollout("y", 1.0, is_stable=False)]
    assert tighten(None, [*old, *new, *bad], quantile=0.5, window=3) == 5.0


HISTORY = [
    (rollout("demo", 4.0, group=DEMONSTRATION), 0.0),
    (rollout("slow demo", 9.0, group=DEMONSTRATION), 0.0),
    (rollout("first", 5.0, group=0), 1.0),
    (rollout("failed", 3.0, group=0, success=False), 0.0),
    (rollout("second", 4.5, group=1), 1.0),
    (rollout("pushed away", 11.0, group=1), -0.25),
    (rollout("not chosen", 4.2, group=1), 0.0),
]


@pytest.mark.parametrize(
    ("pool", "want"),
    [
        ("group", {"second": 1.0, "pushed away": -0.25}),
        ("all", {"first": 1.0, "second": 1.0, "pushed away": -0.25}),
        ("regate", {"demo": 1.0, "second": 1.0, "not chosen": 1.0}),
    ],
)
def test_pools(pool, want):
    assert pooled(pool, HISTORY, standard_s=4.5) == want


@given(groups, st.floats(1.0, LIMIT_S), st.floats(0.0, 0.9))
def test_the_target_is_never_faster_than_rollouts_have_shown(group, standard_s, step):
    target_s = target_duration(group, standard_s=standard_s, step=step)
    own = [r.duration_s * r.speed for r in group if r.is_good]
    assert target_s >= standard_s
    assert target_s <= max(standard_s, (1.0 - step) * float(np.median(own)) if own else 0.0)


def test_the_target_is_a_step_below_the_policys_own_pace():
    played = [rollout(str(i), 4.0, speed=1.5) for i in range(3)]
    assert target_duration(played, standard_s=3.0, step=0.1) == pytest.approx(5.4)
    assert target_duration(played, standard_s=None, step=0.1) is None


@given(groups, st.floats(0.5, LIMIT_S))
def test_read_at_its_pace_every_episode_takes_as_long_as_the_target(group, target_s):
    for one in group:
        factor = paces([one], target_s)[one.episode]
        assert 0.5 <= factor <= 3.0
        if 0.5 < factor < 3.0:
            assert one.duration_s / factor == pytest.approx(target_s)
    assert set(paces(group, None).values()) == {1.0}
