"""From bags to the policy that acts next: the same as in process, whenever the learner dies."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from factories import record_episode

from learner_node import group_update as module
from learner_node import pose_gate
from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.arena import Arena
from learner_node.fine_tuning import fine_tuning_job, open_job
from learner_node.group_learner import GroupLearner
from learner_node.group_planning import POOLS, GroupSettings
from learner_node.group_update import GroupUpdate
from learner_node.job import JobDirectory
from learner_node.params import LearnerParams
from learner_node.planning import TrainingRequest
from learner_node.study import StudyConfig
from learner_node.training import run
from reward_node.session_config import SessionConfig
from so101.data.dataset import DatasetConfig
from so101.data.episode_reader import read_episode
from so101.data.episode_store import EpisodeStore
from so101.data.trimming import TrimConfig
from so101.episode_plan import EpisodePlan
from so101.errors import CheckpointError, SessionError, TrainingError
from so101.events import LabelEvent
from so101.groups.advantage import Rule
from so101.groups.exploration import draw_speed
from so101.groups.gate import GateConfig
from so101.policies.checkpoint import load_policy
from so101.policies.checkpoint_files import verify
from so101.policies.checkpoint_roles import latest, promote
from so101.robot import CAMERAS, JOINTS
from so101.spec import PolicySpec
from so101.status_events import GroupRequest
from so101_bringup.session_defaults import STATE

SEED = 4
PLAN = EpisodePlan(seed=SEED, start="small")
SPEC = PolicySpec(uses_objects=True)
LIMIT_S = 6.0
HIGHEST = 1.5
STEPS = 30
ROLLOUTS = 3
SFT = TrainingRequest(
    spec=SPEC,
    steps=60,
    seed=SEED,
    settings={"batch_size": 16},
    policy={"width": 32, "depth": 1},
    dataset={"outcomes": ["success"]},
)
COLUMNS = ("stamps_ns", "positions", "velocities", "effort", "commands", "actions", "objects")


@pytest.fixture(scope="module")
def arena():
    made = Arena(PLAN, SPEC, time_limit_s=LIMIT_S)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shown(arena):
    return arena.demonstrate(7)


@pytest.fixture(scope="module")
def demonstrations(shown):
    return shown[:3]


class Run:
    """The directory of a run, filled by hand instead of by nodes."""

    def __init__(self, root, arena, shown):
        self.root, self.arena = root, arena
        demonstrations, self.good = shown[:3], shown[3:]
        self.store = EpisodeStore(root / "episodes")
        self.checkpoints, self.jobs = root / "checkpoints", root / "jobs"
        self._recorded = 0
        for episode in demonstrations:
            self.record(episode)
        job = fine_tuning_job(SFT, self.store, self.checkpoints)
        self.supervised = run(open_job(self.jobs, job), self.store, self.checkpoints)
        promote(self.checkpoints, self.supervised.path)

    def record(self, episode):
        name = f"20260101-{self._recorded:06d}-{episode.facts.id}"
        self._recorded += 1
        return record_episode(self.root / "episodes" / name, episode)

    def policy(self, checkpoint):
        return load_policy(checkpoint.path, JOINTS, CAMERAS)

    def roll_out(self, group, acting):
        """Record a group: what the policy does, which has hardly learned, and two good ones."""
        facts = [
            PLAN.rollout(
                group,
                number,
                checkpoint=acting.sha256,
                speed=draw_speed(SEED, group, number, HIGHEST),
            )
            for number in range(ROLLOUTS)
        ]
        episodes = [self.arena.roll_out(self.policy(acting), facts[0])]
        good = self.good[2 * group : 2 * group + 2]
        episodes += [replace(e, facts=f) for e, f in zip(good, facts[1:], strict=True)]
        self.paths = [self.record(episode) for episode in episodes]
        return episodes

    def request(self, group, acting, **values):
        return GroupRequest(
            stamp_ns=0,
            group=group,
            checkpoint=acting.sha256,
            highest_speed=HIGHEST,
            seed=SEED,
            start="small",
            time_limit_s=LIMIT_S,
            **values,
        )

    def update(self, by="nothing", poses=2):
        return GroupUpdate(
            self.store,
            self.checkpoints,
            self.jobs,
            GroupSettings(steps=STEPS, seed=SEED),
            GateConfig(by=by, poses=poses, margin=0.0),
        )


@pytest.fixture
def made(tmp_path, arena, shown):
    return Run(tmp_path, arena, shown)


@pytest.fixture
def verdicts(monkeypatch):
    """Let the gate's cell say what a test wants: durations by sha256, None fails."""
    wanted = {}

    def try_out(self, checkpoints, request, each):
        tried.append([one.sha256 for one in checkpoints])
        return {one.sha256: [wanted.get(one.sha256, 3.0)] * 2 for one in checkpoints}

    tried = []
    monkeypatch.setattr(pose_gate.PoseGate, "_try_out", try_out)
    return wanted, tried


def rate(made, episode, advantage):
    made.store.add_label(
        LabelEvent(stamp_ns=1, episode=episode, rater="somebody", advantage=advantage)
    )


def weights(policy):
    return torch.cat([item.detach().flatten() for item in policy.parameters()])


def test_a_recorded_episode_reads_back_as_it_was(made, demonstrations):
    for entry, episode in zip(made.store.episodes(), demonstrations, strict=True):
        read = read_episode(entry.path)
        assert (read.facts, read.outcome) == (episode.facts, episode.outcome)
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(read, name), getattr(episode, name), name)


def test_two_groups_from_bags_give_the_weights_that_they_give_in_process(made, demonstrations):
    """Second group too: optimiser, average, random state and standard go on from files."""
    config = GroupReinforceConfig.for_policy(SPEC, STEPS)
    learner = GroupLearner(
        made.policy(made.supervised), demonstrations, config, seed=SEED, limit_s=LIMIT_S
    )
    acting = made.supervised
    for group in range(2):
        episodes = made.roll_out(group, acting)
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
    assert [c.sha256 for c in module.lineage(made.checkpoints, acting.sha256)] == [
        acting.sha256,
        before.sha256,
        made.supervised.sha256,
    ]


def test_a_rejected_candidate_keeps_no_role_and_the_next_group_starts_from_the_policy_before(
    made, verdicts
):
    made.roll_out(0, made.supervised)
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
    (candidate,) = (verify(path) for path in made.checkpoints.glob("group-*/step_*"))
    with pytest.raises(CheckpointError, match="rejected by the gate"):
        module.check_promotable(candidate)
    with pytest.raises(CheckpointError, match="not judged yet"):
        module.check_promotable(replace(candidate, record=replace(candidate.record, gate=None)))
    module.check_promotable(made.supervised)
    later = made.update(by="poses").run(made.request(1, made.supervised))
    assert later.acting == made.supervised
    tried = [len(group) for group in verdicts[1]]
    assert tried == [2, 1]  # the supervised policy, which acts, is known from the verdict before


def test_ungated_and_accepted_never_mix(made, verdicts):
    """Only a better candidate acts, and it is promoted once: a person may roll it back."""
    made.roll_out(0, made.supervised)
    request = made.request(0, made.supervised)
    verdicts[0].update({made.supervised.sha256: 5.0})
    settled = made.update(by="poses").run(request)
    assert settled.verdict.is_accepted
    assert latest(made.checkpoints, "promoted") == settled.acting
    verdict = settled.acting.record.gate
    assert verdict["tries"][made.supervised.sha256] == [5.0, 5.0]
    assert verdict["setting"]["seed"] == SEED
    assert verdict["highest_speed"] == HIGHEST
    promote(made.checkpoints, made.supervised.path)
    promote(made.checkpoints, settled.acting.path)
    assert made.update(by="poses").run(request).acting == settled.acting


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
    made.roll_out(0, made.supervised)
    request = made.request(0, made.supervised)
    verdicts[0].update({made.supervised.sha256: 5.0})

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
    made.roll_out(0, made.supervised)
    request = made.request(0, made.supervised)
    asked = iter(range(1000))
    assert made.update().run(request, should_stop=lambda: next(asked) == STEPS // 2) is None
    assert latest(made.checkpoints, "candidate") == made.supervised
    stopped = made.update().run(request)
    other = Run.__new__(Run)
    other.__dict__.update(made.__dict__, jobs=made.root / "other jobs")
    for path in made.checkpoints.glob("group-*"):
        path.rename(made.root / path.name)
    assert other.update().run(request).acting.sha256 == stopped.acting.sha256


def test_ratings_by_hand_decide_and_what_was_learned_stays(made):
    """A label that comes after the training changes nothing of it."""
    made.roll_out(0, made.supervised)
    request = made.request(0, made.supervised, rule="manual")
    with pytest.raises(SessionError, match="not rated yet: group-00-rollout-00"):
        made.update().run(request)
    for number, advantage in enumerate([0.0, 1.0, 0.0]):
        rate(made, f"group-00-rollout-{number:02d}", advantage)
    settled = made.update().run(request)
    lesson = JobDirectory(made.jobs / settled.acting.path.parent.name).read().job.lesson
    assert lesson.advantages == {"group-00-rollout-01": 1.0}
    assert settled.acting.record.metrics["chosen"] == 1
    rate(made, "group-00-rollout-02", 1.0)
    assert made.update().run(request).acting.sha256 == settled.acting.sha256


def test_a_discarded_rollout_is_run_again_and_the_last_one_counts(made):
    episodes = made.roll_out(0, made.supervised)
    again = replace(episodes[1], facts=replace(episodes[1].facts, id="group-00-rollout-01-2"))
    made.record(again)
    settled = made.update().run(made.request(0, made.supervised))
    names = [episode.id for episode in settled.acting.record.episodes]
    assert "group-00-rollout-01-2" in names and "group-00-rollout-01" not in names


def test_what_teaches_nothing_changes_nothing(made):
    made.roll_out(0, made.supervised)
    for number in range(ROLLOUTS):
        rate(made, f"group-00-rollout-{number:02d}", 0.0)
    settled = made.update().run(made.request(0, made.supervised, rule="manual"))
    assert (settled.acting, settled.verdict.is_accepted) == (made.supervised, False)


def test_what_is_missing_is_named(made):
    with pytest.raises(CheckpointError, match="'feed'"):
        made.update().run(replace(made.request(0, made.supervised), checkpoint="feed"))
    with pytest.raises(TrainingError, match="group 3 has no rollout"):
        made.update().run(made.request(3, made.supervised))


def test_the_gate_tries_the_plans_own_poses_and_can_be_stopped(made, arena):
    made.roll_out(0, made.supervised)
    request = made.request(0, made.supervised)
    told = []

    def stop(done, of):
        told.append((done, of))
        return len(told) == 1

    assert made.update(by="poses", poses=1).run(request, each=stop) is None
    assert told == [(1, 2)]
    made.update(by="poses", poses=1).run(request)
    (candidate,) = (verify(path) for path in made.checkpoints.glob("group-*/step_*"))
    for checkpoint in (made.supervised, candidate):
        (tried,) = arena.try_out(made.policy(checkpoint), "gate", 1)
        (found,) = candidate.record.gate["tries"][checkpoint.sha256]
        assert found == (tried.duration_s if tried.is_success else None)


def test_the_nodes_learn_and_judge_as_the_published_study_does():
    """The same frozen settings, whether in process or through the nodes."""
    study, params, session = StudyConfig(), LearnerParams(), SessionConfig()
    gate = GateConfig(by=params.gate, poses=params.gate_poses, margin=params.gate_margin)
    assert gate == study.group.gate
    assert session.exploration == study.group.exploration
    assert GroupReinforceConfig.for_policy(SPEC) == study.group.learning
    assert session.rule == study.group.learning.rule
    assert POOLS[session.rule] == study.group.learning.pool
    assert set(POOLS) == set(get_args(Rule))
    assert DatasetConfig(trim=TrimConfig(mode=params.trim)) == study.dataset
    assert (STATE.groups, STATE.rollouts) == (study.groups, study.rollouts)
    assert STATE.demonstrations == study.demonstrations
