"""Every figure against its value worked out by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101_bringup.report.numbers import Report, notes, smoothed_percentiles
from so101_bringup.report.values import Attempt, Ending

LIMIT_S = 12.0
BEFORE = {"n": 3, "successes": 2, "median_success_duration_s": 7.0}
AFTER = {"n": 3, "successes": 3, "median_success_duration_s": 4.9}


def test_the_mapping_is_what_was_worked_out(run):
    found = Report(run).to_mapping()
    said = found.pop("notes")
    assert found.pop("change") == pytest.approx(-0.3)
    assert found.pop("robot_minutes") == pytest.approx(53.0 / 60.0)
    assert found == {
        "groups": [
            {"group": 0, "n": 3, "successes": 2, "median_duration_s": 8.0, "promoted": False},
            {"group": 1, "n": 3, "successes": 2, "median_duration_s": 6.0, "promoted": True},
            {"group": 2, "n": 3, "successes": 3, "median_duration_s": 5.0, "promoted": False},
        ],
        "before": BEFORE,
        "after": AFTER,
        "checkpoints": {"before": "sft/step_000100", "after": "group-01/step_000300"},
        "first2_median_s": 7.0,
        "last2_median_s": 5.0,
        "rollouts": 9,
        "seed": 3,
        "playback": 1.0,
    }
    assert "12 s" in said["first2_median_s"]
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_every_figure_that_failures_enter_says_how(run):
    found = Report(run).to_mapping()
    figures = {"groups", "before", "after", "seed", "notes"}
    inside = {*found["groups"][0], *found["before"]} - {"group", "n"}
    assert set(notes(LIMIT_S)) == (set(found) - figures) | inside


def test_percentiles_are_smoothed_over_the_neighbours(run):
    groups = [group.rollouts for group in Report(run).groups]
    assert smoothed_percentiles(groups, LIMIT_S).tolist() == [
        [6.0, 7.0, 11.0],
        [5.0, 6.0, 8.0],
        [4.25, 5.0, 5.75],
    ]


def tried(facts, duration_s, is_success):
    ending = Ending.SUCCESS if is_success else Ending.FAILURE
    return Attempt(facts=facts, duration_s=duration_s, ending=ending)


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0.1, LIMIT_S), st.booleans()), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    )
)
def test_percentiles_ascend_and_one_group_is_its_own(groups):
    attempts = [[tried(None, *one) for one in group] for group in groups]
    found = smoothed_percentiles(attempts, LIMIT_S)
    assert found.shape == (len(groups), 3)
    assert (np.diff(found, axis=1) >= 0).all()
    alone = smoothed_percentiles(attempts[:1], LIMIT_S)
    durations = [d if ok else LIMIT_S for d, ok in groups[0]]
    np.testing.assert_array_equal(alone[0], np.percentile(durations, [25, 50, 75]))


def test_starts_are_paired_by_seed(run):
    report = Report(run)
    assert (report.paired.starts, report.paired.won, report.paired.lost) == (3, 1, 0)
    (after,) = [name for name in run.evaluations if name.startswith("3")]
    others = tuple(
        replace(one, facts=replace(one.facts, seed=one.facts.seed + 50))
        for one in run.evaluations[after]
    )
    apart = Report(replace(run, evaluations={**run.evaluations, after: others}))
    assert apart.paired is None
    assert apart.change == pytest.approx(-0.3)


def test_before_is_the_supervised_policy_that_acted(run):
    sft = run.checkpoints[0]
    earlier = replace(sft, name="sft-0/step_000050", sha256="9" * 64, step=50)
    retrained = replace(run, checkpoints=(earlier, *run.checkpoints))
    assert Report(retrained).before.checkpoint == sft
    nobody_acted = tuple(
        replace(one, facts=replace(one.facts, checkpoint="")) for one in run.rollouts
    )
    assert Report(replace(run, rollouts=nobody_acted)).before.checkpoint == sft


def test_after_is_the_promoted_else_the_newest_evaluated(run):
    sft, rejected, promoted = run.checkpoints
    assert Report(run).after.checkpoint == promoted
    evaluated = {**run.evaluations, rejected.sha256[:8]: Report(run).after.attempts}
    del evaluated[promoted.sha256[:8]]
    assert Report(replace(run, evaluations=evaluated)).after.checkpoint == rejected
    unchanged = (replace(sft, is_promoted=True), rejected, replace(promoted, is_promoted=False))
    report = Report(replace(run, checkpoints=unchanged))
    assert (report.after, report.change) == (report.before, 0.0)
    assert set(report.to_mapping()["checkpoints"].values()) == {"sft/step_000100"}


def test_what_was_not_evaluated_is_none(run):
    found = Report(replace(run, evaluations={})).to_mapping()
    assert [found[key] for key in ("before", "after", "change", "playback")] == [None] * 4
    bags_only = Report(replace(run, checkpoints=())).to_mapping()
    assert bags_only["before"] is None
    assert [group["promoted"] for group in bags_only["groups"]] == [False] * 3


def test_the_limit_is_what_was_reached_else_the_default(run):
    def shorter(one):
        return replace(one, duration_s=8.0) if one.ending is Ending.OVER_TIME else one

    assert Report(replace(run, rollouts=tuple(map(shorter, run.rollouts)))).limit_s == 8.0
    assert Report(replace(run, rollouts=run.rollouts[-3:])).limit_s == 12.0


def test_playback_is_named_only_where_it_was_the_same(run):
    (name, *_) = run.evaluations
    fast = tuple(replace(a, facts=replace(a.facts, speed=1.5)) for a in run.evaluations[name])
    assert Report(replace(run, evaluations={**run.evaluations, name: fast})).playback is None


def test_whatever_fine_tuned_the_supervised_policy_it_is_the_one_before(run):
    first, *others = run.checkpoints
    other = replace(run, checkpoints=(replace(first, algorithm="reward_weighted"), *others))
    assert Report(other).before.attempts == Report(run).before.attempts
    assert Report(other).change == Report(run).change
