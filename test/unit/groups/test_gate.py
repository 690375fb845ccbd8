"""The update gate takes what is better and not much worse anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import ConfigError
from so101.groups.gate import Verdict, judge, time_until_done
from so101.groups.rollout import RatedRollout

LIMIT_S = 12.0


def rollouts(*durations_s):
    """None is a failure."""
    return [
        RatedRollout(episode=str(i), group=-1, duration_s=d or LIMIT_S, is_success=d is not None)
        for i, d in enumerate(durations_s)
    ]


def verdict(candidate, current, anchor, margin=0.05):
    return judge(candidate, current, anchor, margin=margin, limit_s=LIMIT_S)


def test_faster_and_as_successful_is_accepted():
    old, new = rollouts(*[5.0] * 40), rollouts(*[4.0] * 40)
    found = verdict(new, old, old)
    assert found.is_accepted
    assert found.evidence["duration_ratio"] == pytest.approx(0.8)


def test_more_losses_than_the_margin_are_rejected_however_fast():
    anchor = rollouts(*[5.0] * 40)
    assert verdict(rollouts(*[2.0] * 38, None, None), anchor, anchor).is_accepted
    found = verdict(rollouts(*[2.0] * 37, None, None, None), anchor, anchor)
    assert not found.is_accepted
    assert "3 successes fewer" in found.reasons[0]


def test_the_evidence_pairs_candidate_and_acting_policy_pose_by_pose():
    acting = rollouts(4.0, None, 4.0, None, 4.0)
    found = verdict(rollouts(3.0, 3.0, None, None, 3.0), acting, acting).evidence
    assert (found["poses_won"], found["poses_lost"]) == (1, 1)
    low, high = found["success_change_95"]
    assert low == pytest.approx(-high)
    assert found["duration_ratio"] == pytest.approx(0.75)
    same = verdict(rollouts(3.0, None, 3.0, None, 3.0), acting, acting).evidence
    assert same["success_change_95"] == [0.0, 0.0]


def test_small_losses_must_not_add_up():
    """Each candidate loses two poses against the one before; the anchor stops the third."""
    anchor = rollouts(*[5.0] * 40)
    acting = rollouts(*[4.0] * 38, None, None)
    worse = rollouts(*[3.0] * 36, *[None] * 4)
    assert not verdict(worse, acting, anchor).is_accepted


def test_a_slower_candidate_is_rejected():
    old = rollouts(*[4.0] * 10)
    assert not verdict(rollouts(*[4.1] * 10), old, old).is_accepted


@given(st.lists(st.none() | st.floats(0.5, 11.0), min_size=1, max_size=20))
def test_a_policy_is_no_improvement_on_itself(durations_s):
    same = rollouts(*durations_s)
    assert not verdict(same, same, same).is_accepted


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(ConfigError, match="cannot pair"):
        verdict(rollouts(4.0), rollouts(4.0, 4.0), rollouts(4.0))
    with pytest.raises(ConfigError, match="cannot pair"):
        verdict([], [], [])


def test_the_verdict_can_be_written():
    found = verdict(rollouts(None), rollouts(4.0), rollouts(4.0))
    assert found.to_mapping()["accepted"] is False
    assert found.to_mapping()["evidence"]["median_success_duration_s"] is None


def test_a_verdict_is_read_as_it_was_written():
    for found in (
        verdict(rollouts(None), rollouts(4.0), rollouts(4.0)),
        verdict(rollouts(3.0), rollouts(4.0), rollouts(4.0)),
    ):
        assert Verdict.from_mapping({"group": 3, **found.to_mapping()}) == found


@pytest.mark.parametrize(
    "change", [{"accepted": "yes"}, {"reasons": "slow"}, {"evidence": 3}, {"evidence": None}]
)
def test_what_is_no_verdict_is_refused(change):
    written = {"accepted": True, "reasons": [], "evidence": {}, **change}
    with pytest.raises(ConfigError, match="no verdict"):
        Verdict.from_mapping(written)
    del written["accepted"]
    with pytest.raises(ConfigError, match="no verdict"):
        Verdict.from_mapping(written)


@given(st.lists(st.none() | st.floats(0.5, 11.0), min_size=1, max_size=20))
def test_one_more_success_shortens_the_time_until_done(durations_s):
    worse = time_until_done(rollouts(*durations_s, None), LIMIT_S)
    better = time_until_done(rollouts(*durations_s, 11.9), LIMIT_S)
    assert better < worse


def test_the_time_until_done_by_hand():
    """3 of 4 succeed: (4 + 4 + 4 + 12) / 4 a try, and 4 / 3 tries."""
    assert time_until_done(rollouts(4.0, 4.0, 4.0, None), LIMIT_S) == pytest.approx(8.0)
    assert time_until_done(rollouts(None), LIMIT_S) == float("inf")


def test_a_success_is_worth_more_than_a_little_speed():
    acting = rollouts(*[4.0] * 39, None)
    assert not verdict(rollouts(*[3.8] * 38, None, None), acting, acting).is_accepted
    assert verdict(rollouts(*[3.0] * 38, None, None), acting, acting).is_accepted
