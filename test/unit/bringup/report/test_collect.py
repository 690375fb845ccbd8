"""A run is read from its files; what cannot be used is named, never silently missing."""

import json
import shutil
from dataclasses import replace

import pytest

from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.errors import StoreError
from so101.evaluation import Evaluation, Trial
from so101.events import LabelEvent
from so101_bringup.report.collect import collect
from so101_bringup.report.numbers import Report
from so101_bringup.report.rounds import newest_round
from so101_bringup.report.values import Attempt, Ending, Trained


@pytest.fixture
def rollout(run):
    return run.rollouts[0]


def reasons(run):
    return {one.name: one.reason for one in run.left_out}


def test_the_files_of_a_run_give_its_figures(run, recorded_run):
    found = collect(recorded_run)
    assert found.left_out == ()
    assert [(r.duration_s, r.ending) for r in found.rollouts] == [
        (pytest.approx(r.duration_s), r.ending) for r in run.rollouts
    ]
    assert [one.verdict for one in found.checkpoints] == [o.verdict for o in run.checkpoints]
    assert [one.is_promoted for one in found.checkpoints] == [False, False, True]
    expected, mapping = Report(run).to_mapping(), Report(found).to_mapping()
    assert json.dumps(mapping) == json.dumps(expected)


def test_a_directory_of_bags_alone_has_rollouts(recorded_run):
    found = collect(recorded_run / "episodes")
    assert len(found.rollouts) == 9
    assert found.checkpoints == ()


def test_without_a_count_of_rewards_a_bag_is_as_long_as_it_is(recorder, rollout):
    recorder.record(rollout, **{"published/reward": "0"})
    (found,) = collect(recorder.root).rollouts
    (entry,) = EpisodeStore(recorder.root / "episodes").episodes()
    assert found.duration_s == entry.duration_s < 1.0


def test_a_cut_that_is_not_the_time_limit_is_a_failure(recorder, rollout):
    over_time = replace(rollout, ending=Ending.OVER_TIME)
    recorder.record(over_time, reason="the arm is silent")
    (found,) = collect(recorder.root).rollouts
    assert found.ending is Ending.FAILURE


def test_a_label_counts(recorder, rollout):
    recorder.record(rollout)
    said = LabelEvent(stamp_ns=1, episode=rollout.facts.id, rater="ada", outcome="failure")
    EpisodeStore(recorder.root / "episodes").add_label(said)
    (found,) = collect(recorder.root).rollouts
    assert found.ending is Ending.FAILURE


def test_what_cannot_be_used_is_named_with_its_reason(recorder, run):
    rollouts = iter(run.rollouts)
    recorder.record(next(rollouts))
    recorder.record(next(rollouts), outcome="discarded")
    corrupt = recorder.record(next(rollouts))
    (corrupt / "metadata.yaml").write_text("nonsense: [")
    foreign = recorder.record(next(rollouts))
    (foreign / "metadata.yaml").unlink()
    said = {
        recorder.record(next(rollouts), outcome="incomplete").name: "incomplete",
        recorder.record(next(rollouts), outcome="").name: "no outcome yet",
        recorder.record(next(rollouts), group="-1").name: "names no group",
        recorder.record(next(rollouts), group='"x"').name: "group",
        recorder.record(next(rollouts), **{"published/reward": "many"}).name: "published/reward",
        corrupt.name: "YAML",
        foreign.name: "foreign",
    }
    found = collect(recorder.root)
    assert len(found.rollouts) == 1
    assert reasons(found).keys() == said.keys()
    for name, reason in reasons(found).items():
        assert said[name] in reason


def test_damaged_checkpoints_are_named(recorded_run, tmp_path):
    root = shutil.copytree(recorded_run, tmp_path / "run")
    weights = root / "checkpoints/group-00/step_000300/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    found = collect(root)
    assert len(found.checkpoints) == 2
    assert "damaged" in reasons(found)["group-00/step_000300"]
    (root / "checkpoints/latest.json").write_text("{")
    found = collect(root)
    assert found.checkpoints == ()
    assert "latest.json" in reasons(found)["checkpoints"]


def test_evaluations_in_process_count_like_those_in_bags(recorder, run):
    recorder.record(run.rollouts[0])
    folder = recorder.root / "evaluations"
    folder.mkdir()
    trials = (
        Trial(seed=3_500_000, outcome=Outcome.SUCCESS, duration_s=5.0),
        Trial(seed=3_500_001, outcome=Outcome.TRUNCATED, duration_s=12.0, kind="slipped"),
        Trial(seed=3_500_002, outcome=Outcome.FAILURE, duration_s=2.0, kind="dropped"),
    )
    values = {"checkpoint": "x", "start": "std", **Evaluation(trials=trials).to_mapping()}
    (folder / "0123abcd.json").write_text(json.dumps(values))
    (folder / "bad.json").write_text('{"trials": [{"seed": 1}]}')
    (folder / "worse.json").write_text("[")
    found = collect(recorder.root)
    (attempts,) = found.evaluations.values()
    assert [one.ending for one in attempts] == [
        Ending.SUCCESS,
        Ending.OVER_TIME,
        Ending.FAILURE,
    ]
    assert list(found.evaluations) == ["0123abcd"]
    assert reasons(found).keys() == {"bad.json", "worse.json"}


def test_of_two_evaluations_from_a_start_the_last_counts(recorder, run):
    recorder.record(run.rollouts[0])
    first: Attempt = next(iter(run.evaluations.values()))[0]
    again = replace(first, facts=replace(first.facts, id="again"), duration_s=4.0)
    recorder.record(first)
    recorder.record(again)
    assert [one.duration_s for one in collect(recorder.root).evaluations["11111111"]] == [4.0]


def test_without_rollouts_or_directory_there_is_no_report(recorder, run, tmp_path):
    recorder.record(next(iter(run.evaluations.values()))[0])
    with pytest.raises(StoreError, match="no rollouts among 1 episodes"):
        collect(recorder.root)
    with pytest.raises(StoreError, match="nowhere: no such directory"):
        collect(tmp_path / "nowhere")


def test_rollouts_of_an_earlier_round_are_left_out_by_name(run):
    """After more demonstrations another supervised policy has groups of its own."""
    sft, *_ = run.checkpoints
    again = Trained(name="sft-2/step_000100", sha256="a" * 64, algorithm="sft")
    child = Trained(name="g/step_1", sha256="b" * 64, algorithm="group_reinforce", parent="a" * 64)
    old = Trained(name="g/step_2", sha256="c" * 64, algorithm="group_reinforce", parent=sft.sha256)

    def acted(number, checkpoint):
        one = run.rollouts[number]
        return replace(one, facts=replace(one.facts, checkpoint=checkpoint))

    rollouts = [acted(i, sha) for i, sha in enumerate((sft.sha256, "c" * 64, "a" * 64, "b" * 64))]
    found = newest_round(rollouts, [sft, again, child, old])
    assert found.rollouts == rollouts[2:]
    assert found.checkpoints == [sft, again, child]
    assert [one.name for one in found.left_out] == [one.facts.id for one in rollouts[:2]]
    assert "earlier round" in found.left_out[0].reason
    nobody_can_tell = newest_round(rollouts, [])
    assert not [one for one in nobody_can_tell.left_out if "earlier round" in one.reason]


def test_a_group_that_was_run_again_is_that_of_who_acted_last(run):
    """As after a rollback: what the other policy made in it is named and does not count."""
    taken_back = "d" * 64
    first = [one for one in run.rollouts if one.facts.group < 2]
    before = [
        replace(one, facts=replace(one.facts, checkpoint=taken_back, id=f"{one.facts.id}-old"))
        for one in run.rollouts
        if one.facts.group == 2
    ]
    again = [one for one in run.rollouts if one.facts.group == 2]
    found = newest_round([*first, *before, *again], run.checkpoints)
    assert found.rollouts == [*first, *again]
    assert [one.name for one in found.left_out] == [one.facts.id for one in before]
    assert again[0].facts.checkpoint[:12] in found.left_out[0].reason
    later = [
        replace(one, facts=replace(one.facts, group=3, id=f"{one.facts.id}-later"))
        for one in before
    ]
    found = newest_round([*first, *before, *later, *again], run.checkpoints)
    assert found.rollouts == [*first, *again]  # group 3 is to be run anew
    assert "group 2 was run again since" in found.left_out[-1].reason
    partly = newest_round([*first, *before, again[0]], run.checkpoints)
    assert partly.rollouts == [*first, again[0]]  # the rest is yet to be run


def test_of_a_rollout_that_was_run_again_the_last_counts(run, recorder):
    one, other, *_ = run.rollouts
    again = replace(one, facts=replace(one.facts, id=f"{one.facts.id}-2"), duration_s=3.0)
    for attempt in (one, other, again):
        recorder.record(attempt)
    found = collect(recorder.root)
    assert [r.duration_s for r in found.rollouts] == pytest.approx([3.0, other.duration_s])
    assert reasons(found) == {one.facts.id: f"run again later, as {again.facts.id}"}
