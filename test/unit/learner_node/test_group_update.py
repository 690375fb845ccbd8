"""From bags to the policy that acts next: the same as in process, whenever the learner dies."""

from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from factories import record_episode
from group_runs import (
    HIGHEST,
    LIMIT_S,
    PLAN,
    ROLLOUTS,
    SEED,
    SPEC,
    STEPS,
    FineGrip,
    GroupRun,
    episode,
    weights,
)

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.arena import Arena
from learner_node.group_learner import GroupLearner
from learner_node.group_planning import POOLS
from learner_node.job import JobDirectory
from learner_node.lineage import check_promotable, lineage
from learner_node.params import GroupParams, LearnerParams
from learner_node.pose_gate import PoseGate
from learner_node.study import StudyConfig
from reward_node.session_config import SessionConfig
from so101.data.episodes.episode_reader import read_episode
from so101.data.training.dataset import DatasetConfig
from so101.data.training.trimming import TrimConfig
from so101.episode import Outcome
from so101.errors import CheckpointError, ConfigError, SessionError, TrainingError
from so101.groups.advantage import Pool, Rule
from so101.groups.rollout import rate
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import latest, promote, rollback
from so101_bringup.session_defaults import STATE

COLUMNS = ("stamps_ns", "positions", "velocities", "effort", "commands", "actions", "objects")


@pytest.fixture(scope="module")
def arena():
    made = Arena(PLAN, SPEC, time_limit_s=LIMIT_S)
    yield made
    made.close()


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run whose supervised policy has rolled out its first group; not to be changed."""
    run = GroupRun(tmp_path_factory.mktemp("groups") / "run").begin()
    run.roll_out(0, run.supervised)
    return run


@pytest.fixture
def made(begun, tmp_path, monkeypatch):
    monkeypatch.setattr("so101.groups.rollout.PickSuccess", FineGrip)
    return begun.copy(tmp_path / "run")


@pytest.fixture
def verdicts(monkeypatch):
    """Let the gate's cell say what a test wants: durations by sha256, None fails."""
    wanted = {}

    def try_out(self, checkpoints, request, each):
        tried.append([one.sha256 for one in checkpoints])
        return {one.sha256: [wanted.get(one.sha256, 1.0)] * 2 for one in checkpoints}

    tried = []
    monkeypatch.setattr(PoseGate, "_try_out", try_out)
    return wanted, tried


def group_of(made, group, acting):
    """Return the episodes of a group as they were recorded."""
    return [
        read_episode(entry.path)
        for entry in made.store.episodes()
        if (entry.facts.group, entry.facts.checkpoint) == (group, acting.sha256)
    ]


def test_a_recorded_pick_reads_back_as_it_was_and_is_rated_alike(tmp_path):
    arena = Arena(PLAN, SPEC, time_limit_s=12.0)
    (shown,) = arena.demonstrate(1)
    arena.close()
    read = read_episode(record_episode(tmp_path / "20260101-000000-one", shown))
    assert (read.facts, read.outcome) == (shown.facts, shown.outcome)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(read, name), getattr(shown, name), name)
    assert rate(read) == rate(shown)
    assert rate(read).is_good


def test_two_groups_from_bags_give_the_weights_that_they_give_in_process(made):
    """Second group too: optimiser, average, random state and standard go on from files."""
    config = GroupReinforceConfig.for_policy(SPEC, STEPS)
    learner = GroupLearner(
        made.policy(made.supervised), made.demonstrations, config, seed=SEED, limit_s=LIMIT_S
    )
    acting = made.supervised
    for group in range(2):
        episodes = made.roll_out(group, acting) if group else group_of(made, 0, acting)
        told = learner.propose(episodes)
        learner.settle(is_accepted=True)
        settled = made.update().run(made.request(group, acting))
        assert settled.verdict.is_accepted
        before, acting = acting, settled.acting
        assert acting.record.parent == before.sha256
        assert acting.record.step == before.record.step + STEPS
        torch.testing.assert_close(
            weights(made.policy(acting)), weights(learner.policy), atol=1e-6, rtol=0
        )
        assert latest(made.checkpoints, "promoted").sha256 == acting.sha256
        assert acting.record.gate["group"] == group
        metrics = acting.record.metrics
        assert metrics["standard_s"] == told["standard_s"]
        assert (metrics["pool"], metrics["chosen"]) == (told["pool"], told["chosen"])
        assert told["chosen"] > 0
    assert [c.sha256 for c in lineage(made.checkpoints, acting.sha256)] == [
        acting.sha256,
        before.sha256,
        made.supervised.sha256,
    ]


def test_a_rejected_candidate_keeps_no_role_and_the_next_group_starts_from_the_policy_before(
    made, verdicts
):
    request = made.request(0, made.supervised)
    settled = made.update(by="poses").run(request)
    assert not settled.verdict.is_accepted
    assert settled.acting == made.supervised
    for role in ("candidate", "promoted"):
        assert latest(made.checkpoints, role) == made.supervised
    again = made.update(by="poses").run(request)
    assert (again.acting, again.verdict) == (settled.acting, settled.verdict)
    assert len(verdicts[1]) == 1  # nothing is tried twice
    made.roll_out(1, made.supervised)
    (candidate,) = made.candidates()
    with pytest.raises(CheckpointError, match="rejected by the gate"):
        check_promotable(candidate)
    with pytest.raises(CheckpointError, match="not judged yet"):
        check_promotable(replace(candidate, record=replace(candidate.record, gate=None)))
    check_promotable(made.supervised)
    later = made.update(by="poses").run(made.request(1, made.supervised))
    assert later.acting == made.supervised
    tried = [len(group) for group in verdicts[1]]
    assert tried == [2, 1]  # the supervised policy, which acts, is known from the verdict before


def test_ungated_and_accepted_never_mix(made, verdicts):
    """Only a better candidate acts, and it is promoted once: a person may roll it back."""
    request = made.request(0, made.supervised)
    verdicts[0].update({made.supervised.sha256: 1.2})
    settled = made.update(by="poses").run(request)
    assert settled.verdict.is_accepted
    assert latest(made.checkpoints, "promoted") == settled.acting
    verdict = settled.acting.record.gate
    assert verdict["tries"][made.supervised.sha256] == [1.2, 1.2]
    assert verdict["setting"]["seed"] == SEED
    assert verdict["highest_speed"] == HIGHEST
    promote(made.checkpoints, made.supervised.path)
    promote(made.checkpoints, settled.acting.path)
    assert made.update(by="poses").run(request).acting == settled.acting


def test_what_a_person_took_back_stays_so_when_the_group_is_asked_for_again(made, verdicts):
    verdicts[0].update({made.supervised.sha256: 1.2})
    request = made.request(0, made.supervised)
    settled = made.update(by="poses").run(request)
    made.roll_out(1, settled.acting)
    assert rollback(made.checkpoints) == made.supervised
    again = made.update(by="poses").run(request)
    assert (again.acting, again.promoted) == (made.supervised, made.supervised)
    assert again.words.endswith("rejected: taken back by a person")
    for role in ("candidate", "promoted"):
        assert latest(made.checkpoints, role) == made.supervised
    gate = verify(settled.acting.path).record.gate
    assert gate["evidence"] == settled.acting.record.gate["evidence"]
    with pytest.raises(CheckpointError, match="rejected"):
        check_promotable(verify(settled.acting.path))
    with pytest.raises(CheckpointError, match="group 1 and was taken back since"):
        made.update(by="poses").run(made.request(1, settled.acting))
    made.roll_out(1, made.supervised, again="-2")
    after = made.update(by="poses").run(made.request(1, made.supervised))
    names = [one.id for one in after.acting.record.episodes]
    assert "group-01-rollout-00-2" in names
    assert "group-01-rollout-00" not in names  # it was run again by who acts now


@pytest.mark.parametrize(
    "where",
    [
        "learner_node.job.JobDirectory.create",
        "learner_node.training.save_checkpoint",
        "learner_node.pose_gate.record_gate",
        "learner_node.group_update.promote",
    ],
)
def test_a_learner_that_dies_anywhere_goes_on_to_the_same_policy(
    made, verdicts, monkeypatch, where
):
    request = made.request(0, made.supervised)
    verdicts[0].update({made.supervised.sha256: 1.2})

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(KeyboardInterrupt):
            made.update(by="poses").run(request)
    assert latest(made.checkpoints, "promoted") == made.supervised
    settled = made.update(by="poses").run(request)
    assert settled.verdict.is_accepted
    assert latest(made.checkpoints, "promoted") == settled.acting
    assert len(list(made.checkpoints.glob("group-*/step_*"))) == 1


def test_stopping_and_going_on_gives_the_same_weights(made):
    request = made.request(0, made.supervised)
    asked = iter(range(1000))
    assert made.update().run(request, should_stop=lambda: next(asked) == STEPS // 2) is None
    assert latest(made.checkpoints, "candidate") == made.supervised
    stopped = made.update().run(request)
    other = GroupRun(made.root)
    other.jobs = made.root / "other jobs"
    for path in made.checkpoints.glob("group-*"):
        path.rename(made.root / path.name)
    assert other.update().run(request).acting.sha256 == stopped.acting.sha256


def test_ratings_by_hand_decide_and_what_was_learned_stays(made):
    """A label that comes after the training changes nothing of it."""
    request = made.request(0, made.supervised, rule="manual")
    with pytest.raises(SessionError, match="not rated yet: group-00-rollout-00"):
        made.update().run(request)
    for number, advantage in enumerate([0.0, 1.0, 0.0]):
        made.rate(f"group-00-rollout-{number:02d}", advantage)
    settled = made.update().run(request)
    lesson = JobDirectory(made.jobs / settled.acting.path.parent.name).read().job.lesson
    assert lesson.advantages == {"group-00-rollout-01": 1.0}
    assert settled.acting.record.metrics["chosen"] == 1
    made.rate("group-00-rollout-02", 1.0)
    assert made.update().run(request).acting.sha256 == settled.acting.sha256


def test_a_discarded_rollout_is_run_again_and_the_last_one_counts(made):
    (_, once, _) = group_of(made, 0, made.supervised)
    made.record(replace(once, facts=replace(once.facts, id="group-00-rollout-01-2")))
    settled = made.update().run(made.request(0, made.supervised))
    names = [episode.id for episode in settled.acting.record.episodes]
    assert "group-00-rollout-01-2" in names and "group-00-rollout-01" not in names


def test_a_rollout_cut_at_its_first_tick_is_left_out_and_said(made):
    made.roll_out(0, made.supervised, (1,), [Outcome.TRUNCATED], "-2")
    settled = made.update().run(made.request(0, made.supervised))
    assert "left out: " in settled.words and "group-00-rollout-00-2" in settled.words
    assert settled.words.endswith("1 whole ticks, need 2")
    names = [episode.id for episode in settled.acting.record.episodes]
    assert "group-00-rollout-01" in names
    assert not any(name.startswith("group-00-rollout-00") for name in names)


def test_a_group_of_which_nothing_can_be_read_says_why(made):
    for number in range(ROLLOUTS):
        facts = made.facts(0, number, made.supervised, "-2")
        made.record(episode(facts, 1, Outcome.TRUNCATED))
    with pytest.raises(TrainingError, match=r"group 0 has no rollout; .*1 whole ticks, need 2"):
        made.update().run(made.request(0, made.supervised))


def test_what_teaches_nothing_changes_nothing(made):
    for number in range(ROLLOUTS):
        made.rate(f"group-00-rollout-{number:02d}", 0.0)
    settled = made.update().run(made.request(0, made.supervised, rule="manual"))
    assert (settled.acting, settled.verdict.is_accepted) == (made.supervised, False)


def test_what_is_missing_is_named(made):
    with pytest.raises(CheckpointError, match="'feed'"):
        made.update().run(replace(made.request(0, made.supervised), checkpoint="feed"))
    with pytest.raises(TrainingError, match="group 3 has no rollout"):
        made.update().run(made.request(3, made.supervised))


def test_the_gate_tries_the_plans_own_poses_and_can_be_stopped(made, arena):
    request = made.request(0, made.supervised)
    told = []

    def stop(done, of):
        told.append((done, of))
        return len(told) == 1

    assert made.update(by="poses", poses=1).run(request, each=stop) is None
    assert told == [(1, 2)]
    made.update(by="poses", poses=1).run(request)
    (candidate,) = made.candidates()
    for checkpoint in (made.supervised, candidate):
        (tried,) = arena.try_out(made.policy(checkpoint), "gate", 1)
        (found,) = candidate.record.gate["tries"][checkpoint.sha256]
        assert found == (tried.duration_s if tried.is_success else None)


def test_the_nodes_learn_and_judge_as_the_published_study_does():
    """The same frozen settings, whether in process or through the nodes."""
    study, params, session = StudyConfig(), LearnerParams(), SessionConfig()
    assert params.gate == study.group.gate
    assert session.exploration == study.group.exploration
    assert GroupReinforceConfig.for_policy(SPEC) == study.group.learning
    assert session.rule == study.group.learning.rule
    assert POOLS[session.rule] == study.group.learning.pool
    assert set(POOLS) == set(get_args(Rule))
    assert DatasetConfig(trim=TrimConfig(mode=params.trim)) == study.dataset
    assert (STATE.groups, STATE.rollouts) == (study.groups, study.rollouts)
    assert STATE.demonstrations == study.demonstrations


def settings_of(made, settled):
    job = JobDirectory(made.jobs / settled.acting.path.parent.name).read().job
    return job.settings


def test_what_is_chosen_of_the_learning_is_what_is_learned_with(made):
    asked = {
        "steps": 3,
        "learning_rate": 0.01,
        "pool": "regate",
        "loss": "pooled",
        "pace_step": 0.2,
        "demonstration_share": 0.5,
        "standard_quantile": 0.25,
        "standard_window": 7,
        "negative_bound": 0.1,
    }
    assert set(asked) == set(vars(GroupParams()))
    assert set(get_args(get_type_hints(GroupParams)["pool"])) == {"", *get_args(Pool)}
    settled = made.update(**asked).run(made.request(0, made.supervised))
    found = settings_of(made, settled)
    assert {name: found[name] for name in asked} == asked
    assert settled.acting.record.config == found


def test_what_is_not_chosen_is_as_found_good_for_the_policy(made):
    settled = made.update().run(made.request(0, made.supervised))
    expected = vars(GroupReinforceConfig.for_policy(SPEC, STEPS))
    assert settings_of(made, settled) == expected


def test_a_pool_in_which_nobodys_rating_counts_is_refused_in_words(made):
    request = made.request(0, made.supervised, rule="manual")
    for number in range(ROLLOUTS):
        made.rate(f"group-00-rollout-{number:02d}", 1.0)
    with pytest.raises(ConfigError, match=r"group 0: pool=retime .* rule=manual"):
        made.update(pool="retime").run(request)
    assert not made.candidates()


def test_no_update_is_skipped_however_fast_episodes_are_read(made):
    """Every success is read at one pace, most of them faster than they were executed."""
    settled = made.update(pace_step=0.5, steps=40).run(made.request(0, made.supervised))
    job = JobDirectory(made.jobs / settled.acting.path.parent.name).read().job
    assert max(job.lesson.paces.values()) > 1.0
    assert settled.acting.record.metrics["skipped_steps"] == 0.0
