"""On a robot the next group judges: as in process, and the same over restarts."""

import shutil
from dataclasses import replace

import pytest
import torch
from group_runs import HIGHEST, LIMIT_S, SEED, SPEC, STEPS, FineGrip, GroupRun, weights

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.contenders import GroupConfig, Groups, Start
from learner_node.lineage import check_promotable, is_rejected
from reward_node.group_phase import GroupPhase
from reward_node.requests import Learned, PastEpisode
from reward_node.session_config import SessionConfig
from reward_node.session_plan import SessionPlan
from so101.episode import Outcome
from so101.errors import CheckpointError, ConfigError
from so101.events import LabelEvent
from so101.groups.gate import NOT_JUDGED, THE_SUPERVISED, GateConfig
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import latest, rollback

SUCCESS, FAILURE = Outcome.SUCCESS, Outcome.FAILURE
GOOD = [SUCCESS] * 3
HISTORIES = {
    "better, worse, better": ([1.4, 1.1, 1.3, 0.8], {}),
    "a failure, better, as slow": ([1.4, 1.0, 1.2, 1.2], {1: [SUCCESS, FAILURE, SUCCESS]}),
}
"""Per group how long its rollouts take at speed 1 [s], and outcomes that are not all good."""
POOL = {"pool": "regate"}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    return GroupRun(tmp_path_factory.mktemp("robot") / "run").begin()


@pytest.fixture
def made(begun, tmp_path, monkeypatch):
    monkeypatch.setattr("so101.groups.rollout.PickSuccess", FineGrip)
    return begun.copy(tmp_path / "run")


def roll_out(made, group, acting, planned_s, outcomes=GOOD, again=""):
    """Record a group whose rollouts would all have taken as long at speed 1."""
    speeds = [made.facts(group, number, acting).speed for number in range(len(outcomes))]
    ticks = [1 + round(planned_s / speed * 30) for speed in speeds]
    return made.roll_out(group, acting, ticks, outcomes, again)


def settle(made, group, acting):
    return made.update(by="next_group", **POOL).run(made.request(group, acting))


class Cell:
    """There is none: whoever tries a policy in it fails."""

    time_limit_s = LIMIT_S


def in_process(made):
    start = Start(
        arena=Cell(),
        policy=made.policy(made.supervised),
        demonstrations=made.demonstrations,
        seed=SEED,
    )
    learning = replace(GroupReinforceConfig.for_policy(SPEC, STEPS), **POOL)
    gate = GateConfig(by="next_group", margin=0.0)
    return Groups(start, GroupConfig(learning=learning, gate=gate))


def phase_of(made):
    config = SessionConfig(groups=4, rollouts=3, seed=SEED, start="small")
    phase = GroupPhase(config, SessionPlan(config))
    phase.begin(made.supervised.sha256)
    phase.bound(2.0)
    return phase


@pytest.mark.parametrize("name", HISTORIES)
def test_the_nodes_judge_and_learn_as_the_study_in_process_does(made, name):
    """Verdicts, windows, and the weights of who acts next and of who was accepted last."""
    planned_s, outcomes = HISTORIES[name]
    groups, phase, acting = in_process(made), phase_of(made), made.supervised
    groups._highest = phase.highest_speed = HIGHEST
    for group, duration_s in enumerate(planned_s):
        episodes = roll_out(made, group, acting, duration_s, outcomes.get(group, GOOD))
        told = groups.learn(episodes)
        settled = settle(made, group, acting)
        assert settled.verdict.to_mapping() == told["gate"]
        for policy, checkpoint in (
            (groups.policy, settled.acting),
            (groups.final, settled.promoted),
        ):
            ours = weights(made.policy(checkpoint))
            torch.testing.assert_close(ours, weights(policy), atol=1e-6, rtol=0)
        for one in episodes:
            phase.remember(PastEpisode(facts=one.facts, outcome=one.outcome))
        phase.on_learned(
            Learned(
                checkpoint=settled.acting.sha256,
                promoted=settled.promoted.sha256,
                is_accepted=settled.verdict.is_accepted,
            )
        )
        assert phase.highest_speed == groups._highest
        assert latest(made.checkpoints, "promoted") == settled.promoted
        acting = settled.acting
    judged = [one.record.gate for one in made.candidates() if one.record.gate]
    assert [gate["judged_in"] for gate in judged] == [1, 2, 3]
    assert [gate["group"] for gate in judged] == [0, 1, 2]
    assert phase.accepted == sum(gate["accepted"] for gate in judged)


def play(made, planned_s):
    """Let a session run through groups; return who acted in each, and what was said last."""
    acting, settled, actors = made.supervised, None, []
    for group, duration_s in enumerate(planned_s):
        names = {e.facts.id for e in made.store.episodes() if e.facts.checkpoint == acting.sha256}
        if not any(name.startswith(f"group-{group:02d}") for name in names):
            taken = any(e.facts.group == group for e in made.store.episodes())
            roll_out(made, group, acting, duration_s, again="-2" if taken else "")
        actors.append(acting.sha256)
        settled = settle(made, group, acting)
        acting = settled.acting
    return actors, settled


def test_who_failed_never_acts_again_and_a_restart_says_the_same(made):
    planned_s = [1.4, 1.45, 1.1, 1.2]  # worse, better, worse
    actors, settled = play(made, planned_s)
    verdicts = {one.sha256: is_rejected(one) for one in made.candidates()}
    assert [verdicts.get(one) for one in actors] == [None, True, False, True]
    assert len(set(actors)) == 4
    assert settled.promoted.sha256 == actors[2]
    again, said = play(made, planned_s)
    assert (again, said.acting, said.promoted) == (actors, settled.acting, settled.promoted)
    assert said.verdict == settled.verdict
    assert latest(made.checkpoints, "promoted").sha256 == actors[2]
    assert len(made.candidates()) == 4
    pending = verify(settled.acting.path)
    assert pending.record.gate is None  # it would act next; nobody may promote it before
    with pytest.raises(CheckpointError, match="not judged yet"):
        check_promotable(pending)
    assert pending.record.parent == actors[2]


def test_after_the_last_group_nothing_is_on_trial_unless_another_group_follows(made):
    """What the session ends with is who was accepted last; that is what is announced."""
    _, settled = play(made, [1.4, 1.1])
    last = made.request(1, settled.promoted, is_last=True)
    before = len(made.candidates())
    ended = made.update(by="next_group", **POOL).run(last)
    assert ended.acting == ended.promoted == settled.promoted
    assert ended.verdict == settled.verdict
    other = made.copy(made.root.parent / "one group less")
    for made_after in (other.root / "checkpoints").glob("group-01-*"):
        shutil.rmtree(made_after)
    shutil.rmtree(other.jobs)
    ended = other.update(by="next_group", **POOL).run(last)
    assert len(other.candidates()) == before - 1  # nothing was trained for nobody
    went_on = other.update(by="next_group", **POOL).run(replace(last, is_last=False))
    assert went_on.acting.sha256 == settled.acting.sha256


@pytest.mark.parametrize("change", ["a rollout is discarded", "groups are larger"])
def test_who_failed_does_not_complete_a_group_that_is_no_longer_full(made, change):
    """It would drive the arm again: the policy that was accepted last runs the group anew."""
    actors, _ = play(made, [1.4, 1.45])
    assert is_rejected(made.candidates()[0])
    request = made.request(0, made.supervised)
    assert made.update(by="next_group", **POOL).run(request).acting.sha256 == actors[1]
    if change == "groups are larger":
        request = replace(request, rollouts=4)
    else:
        said = LabelEvent(
            stamp_ns=1, episode="group-01-rollout-01", rater="ada", outcome="discarded"
        )
        made.store.add_label(said)
    settled = made.update(by="next_group", **POOL).run(request)
    assert settled.acting == settled.promoted == made.supervised


@pytest.mark.parametrize(
    "where",
    [
        "learner_node.next_group_gate.record_gate",
        "learner_node.group_update.promote",
        "learner_node.job.JobDirectory.create",
        "learner_node.training.save_checkpoint",
    ],
)
def test_a_learner_that_dies_anywhere_goes_on_to_the_same_policies(
    made, undisturbed, monkeypatch, where
):
    planned_s, expected = undisturbed
    acting = settle_first(made, planned_s[0])
    roll_out(made, 1, acting, planned_s[1])

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(KeyboardInterrupt):
            settle(made, 1, acting)
    actors, settled = play(made, planned_s)
    assert (actors, settled.acting.sha256) == (expected[0], expected[1].acting.sha256)
    assert settled.verdict == expected[1].verdict
    assert latest(made.checkpoints, "promoted").sha256 == actors[1]


@pytest.fixture(scope="module")
def undisturbed(begun, tmp_path_factory):
    """Two groups without a crash: how long they take, and what comes of them."""
    planned_s = [1.4, 1.1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("so101.groups.rollout.PickSuccess", FineGrip)
        made = begun.copy(tmp_path_factory.mktemp("undisturbed") / "run")
        return planned_s, play(made, planned_s)


def settle_first(made, planned_s):
    roll_out(made, 0, made.supervised, planned_s)
    settled = settle(made, 0, made.supervised)
    assert settled.verdict == THE_SUPERVISED
    assert settled.promoted == made.supervised
    return settled.acting


def test_one_that_failed_on_poses_does_not_act_when_the_next_group_judges(made):
    """The gate may be chosen anew at every start; what it said before stands."""
    roll_out(made, 0, made.supervised, 1.4)
    request = made.request(0, made.supervised)
    made.update(by="nothing", **POOL).run(request)
    rollback(made.checkpoints)  # a person's word
    settled = made.update(by="next_group", **POOL).run(request)
    assert settled.acting == settled.promoted == made.supervised


def test_a_policy_that_acts_again_is_not_judged_twice(made):
    """Where a group teaches nothing, who was accepted last acts again."""

    def rated(group, acting, planned_s, advantage):
        for one in roll_out(made, group, acting, planned_s):
            made.rate(one.facts.id, advantage)
        request = made.request(group, acting, rule="manual")
        return made.update(by="next_group", pool="group").run(request)

    candidate = rated(0, made.supervised, 1.4, 1.0).acting
    first = rated(1, candidate, 1.1, 0.0)
    assert first.verdict.is_accepted
    assert first.acting == first.promoted
    assert first.acting.sha256 == candidate.sha256
    second = rated(2, first.acting, 1.2, 0.0)
    assert (second.verdict, second.acting) == (NOT_JUDGED, first.acting)
    assert len(made.candidates()) == 1


def test_groups_of_another_size_cannot_be_compared_and_say_so(made):
    acting = settle_first(made, 1.4)
    roll_out(made, 1, acting, 1.1, [SUCCESS] * 2)
    with pytest.raises(ConfigError, match="cannot pair 2 rollouts of the candidate with 3"):
        settle(made, 1, acting)
