"""Training in the process that serves: what is served, and that nothing takes the server down."""

import os
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from factories import make_observation
from group_runs import LIMIT_S, PLAN, ROLLOUTS, SEED, STEPS, FineGrip, GroupRun, episode, weights

from learner_node import training
from learner_node.algorithms import imitation
from learner_node.algorithms.sft import Sft
from learner_node.job import JobDirectory, JobStatus
from learner_node.params import GroupParams
from learner_node.serving import LearningHost, load_version, where_to_go_on
from learner_node.serving_gate import RequestGate
from learner_node.serving_work import Curriculum, ServingLearnerConfig
from learner_node.trainer import Trainer
from so101.data.stores.episode_store import EpisodeStore
from so101.errors import CheckpointError, StoreError
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import latest
from so101.robot import CAMERAS, JOINTS

CONFIG = ServingLearnerConfig(
    steps=30,
    seed=SEED,
    rollouts=ROLLOUTS,
    time_limit_s=LIMIT_S,
    group=GroupParams(steps=STEPS, pool="regate"),
    settings={"batch_size": 8, "warmup_steps": 2},
)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    return GroupRun(tmp_path_factory.mktemp("serving") / "run").begin()


@pytest.fixture
def made(begun, tmp_path, monkeypatch):
    monkeypatch.setattr("so101.groups.rollout.PickSuccess", FineGrip)
    return begun.copy(tmp_path / "run")


class Serving:
    """What a server would be: takes versions, and finds each on the disk."""

    def __init__(self, made, poll_s=0.01, gate=None, **config):
        self.versions, self.published = [], threading.Event()
        store = EpisodeStore(made.root / "episodes")
        curriculum = Curriculum(store, made.checkpoints, made.jobs, replace(CONFIG, **config))
        served = where_to_go_on(
            made.checkpoints, made.supervised, latest(made.checkpoints, "live")
        )
        self.gate = gate or RequestGate()
        self.host = LearningHost(
            curriculum, load_version(served), self.gate, hand_over=self._take, poll_s=poll_s
        )

    def _take(self, version):
        assert verify(version.path).sha256 == version.sha256  # before it is served
        assert latest(version.path.parent.parent, "live").sha256 == version.sha256
        self.versions.append(version)
        self.published.set()

    @property
    def steps(self):
        return [one.step for one in self.versions]


def demonstrate(made, number):
    made.record(episode(PLAN.demonstration(number), 40 + number))


def die_at(step, monkeypatch, error):
    """Let the trainer fail, once, before a step."""
    advance, calls = Trainer._advance, iter(range(1000))

    def fail(self):
        if next(calls) == step:
            raise error
        return advance(self)

    monkeypatch.setattr(Trainer, "_advance", fail)


def test_what_is_served_are_the_averaged_weights_as_they_lie_on_the_disk(made, monkeypatch):
    averages = []
    policy = Sft.policy
    monkeypatch.setattr(Sft, "policy", lambda self: averages.append(policy(self)) or averages[-1])
    demonstrate(made, 3)
    serving = Serving(made, publish_every=10)
    assert serving.host.attempt()
    first = made.supervised.record.step
    assert serving.steps == [first + 10, first + 20, first + 30]
    assert len(averages) == 3
    for version, average in zip(serving.versions, averages, strict=True):
        stored = load_policy(version.path, JOINTS, CAMERAS)
        assert torch.equal(weights(version.policy), weights(stored))
        assert torch.equal(weights(version.policy), weights(average))
    raw = training.load_training_state(serving.versions[-1].path)
    assert not torch.equal(raw["algorithm/weights/0000"], raw["algorithm/average/0000"])
    assert serving.host.health.published == 3
    assert not serving.host.attempt()
    assert serving.host.health.phase == "idle"


def test_versions_on_the_way_do_not_change_what_comes_of_it(made, tmp_path):
    demonstrate(made, 3)
    other = made.copy(tmp_path / "other")
    often, once = Serving(made, publish_every=7), Serving(other)
    assert often.host.attempt() and once.host.attempt()
    assert len(often.versions) == 5 and len(once.versions) == 1
    assert often.versions[-1].sha256 == once.versions[-1].sha256


def test_only_new_successful_demonstrations_begin_a_training(made):
    serving = Serving(made, new_demonstrations=2)
    assert not serving.host.attempt()
    demonstrate(made, 3)
    assert not serving.host.attempt()
    demonstrate(made, 4)
    assert serving.host.attempt()
    assert len(serving.versions[-1].path.parent.name.split("-")[1]) == 10
    assert len(verify(serving.versions[-1].path).record.episodes) == 5
    assert not serving.host.attempt()


@pytest.mark.parametrize(
    "error",
    [StoreError("disk full"), ValueError("a bug"), MemoryError(), torch.OutOfMemoryError()],
)
def test_a_learner_that_dies_leaves_the_last_good_policy_and_goes_on_later(
    made, monkeypatch, error
):
    demonstrate(made, 3)
    serving = Serving(made, publish_every=10)
    with monkeypatch.context() as patch:
        die_at(15, patch, error)
        assert not serving.host.attempt()
        health = serving.host.health
        assert health.phase == "degraded"
        assert str(error) in health.reason and health.reason
        assert serving.steps == [made.supervised.record.step + 10]
    assert serving.host.attempt()
    assert serving.host.health.phase == "idle" and not serving.host.health.reason
    assert serving.steps[-1] == made.supervised.record.step + 30


def test_losses_that_are_not_finite_publish_nothing_and_new_episodes_heal_it(made, monkeypatch):
    demonstrate(made, 3)
    serving = Serving(made)
    with monkeypatch.context() as patch:
        loss = imitation.imitation_loss
        patch.setattr(imitation, "imitation_loss", lambda *args: loss(*args) * float("nan"))
        assert not serving.host.attempt()
    assert "not finite in 20 steps in a row" in serving.host.health.reason
    assert not serving.host.attempt()  # the same again would end the same
    assert serving.host.health.phase == "degraded"
    assert not serving.versions
    demonstrate(made, 4)
    assert serving.host.attempt()
    assert serving.host.health.phase == "idle"
    assert len(serving.versions) == 1


def test_a_process_that_was_killed_goes_on_and_ends_with_the_same_weights(
    made, tmp_path, monkeypatch
):
    demonstrate(made, 3)
    straight = Serving(made.copy(tmp_path / "straight"), publish_every=10)
    assert straight.host.attempt()
    with monkeypatch.context() as patch:
        die_at(15, patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            Serving(made, publish_every=10).host.attempt()
    (job,) = made.jobs.glob("live-*")
    assert JobDirectory(job).read().status is JobStatus.RUNNING
    again = Serving(made, publish_every=10)
    assert again.host._served.step == made.supervised.record.step + 10  # served on from there
    assert again.host.attempt()
    assert again.versions[-1].sha256 == straight.versions[-1].sha256
    assert JobDirectory(job).read().status is JobStatus.DONE
    assert not Serving(made).host.attempt()


@pytest.mark.parametrize("publish_every", [0, 20])
def test_a_process_that_was_killed_before_it_served_what_it_made_serves_it_next(
    made, monkeypatch, publish_every
):
    demonstrate(made, 3)
    with monkeypatch.context() as patch:
        reached = LearningHost._on_reached

        def die(self, checkpoint):
            if checkpoint.record.step == made.supervised.record.step + 30:
                raise KeyboardInterrupt
            reached(self, checkpoint)

        patch.setattr(LearningHost, "_on_reached", die)
        with pytest.raises(KeyboardInterrupt):
            Serving(made, publish_every=publish_every).host.attempt()
    again = Serving(made, publish_every=publish_every)
    assert again.host.attempt()
    assert again.steps == [made.supervised.record.step + 30]
    assert not again.host.attempt()


def test_what_must_not_drive_is_not_served_and_training_goes_on(made, monkeypatch):
    demonstrate(made, 3)
    serving = Serving(made, publish_every=10)
    check, seen = training.check_canary, []

    def refuse_first(policy, previous, where):
        seen.append(where)
        if len(seen) == 1:
            raise CheckpointError(f"{where}: plans positions that are not finite")
        check(policy, previous, where=where)

    monkeypatch.setattr(training, "check_canary", refuse_first)
    assert serving.host.attempt()
    first = made.supervised.record.step
    assert serving.steps == [first + 20, first + 30]
    assert not (serving.versions[0].path.parent / f"step_{first + 10:06d}").exists()


def test_a_version_too_far_from_the_one_that_acts_is_not_served(made, monkeypatch):
    demonstrate(made, 3)
    serving = Serving(made)

    def refuse(policy, previous, where):
        raise CheckpointError(f"{where}: differs by 9 rad")

    monkeypatch.setattr("learner_node.serving.check_canary", refuse)
    assert serving.host.attempt()
    assert not serving.versions
    assert "differs by 9 rad" in serving.host.health.refused
    assert not serving.host.attempt()  # the same would be refused again
    assert latest(made.checkpoints, "live") is None


def test_a_finished_group_is_learned_from_and_its_policy_acts_next(made):
    serving = Serving(made)
    made.roll_out(0, made.supervised)
    assert serving.host.attempt()
    (version,) = serving.versions
    record = verify(version.path).record
    assert (record.algorithm, record.metrics["group"]) == ("group_reinforce", 0)
    assert record.parent == made.supervised.sha256
    assert not serving.host.attempt()  # until that policy has finished a group


def test_a_group_without_its_last_rollout_is_waited_for(made):
    made.roll_out(0, made.supervised, ticks=(31, 37))
    assert not Serving(made).host.attempt()
    assert Serving(made, rollouts=2).host.attempt()
    assert not Serving(made, rollouts=0).host.attempt()


def test_it_trains_beside_requests_in_one_thread_of_low_priority(made):
    demonstrate(made, 3)
    serving = Serving(made, gate=RequestGate(patience_s=0.01), steps=40)
    observation = make_observation(objects=1)
    policy = load_policy(made.supervised.path, JOINTS, CAMERAS)
    tasks = threading.active_count()
    before = set(os.listdir("/proc/self/task")) if sys.platform == "linux" else set()
    answered_while_training = 0
    serving.host.start()
    deadline = time.monotonic() + 60.0
    while not serving.published.is_set() and time.monotonic() < deadline:
        with serving.gate.request():
            policy.infer(observation)
        answered_while_training += serving.host.health.phase == "training"
    assert serving.published.is_set()
    assert answered_while_training >= 3
    assert serving.gate.waited_s > 0.0
    assert threading.active_count() == tasks + 1
    if sys.platform == "linux":
        (thread,) = set(os.listdir("/proc/self/task")) - before  # torch started none of its own
        assert os.getpriority(os.PRIO_PROCESS, int(thread)) == 19
        assert os.getpriority(os.PRIO_PROCESS, threading.main_thread().native_id) < 19
    assert torch.get_num_threads() == 1
    assert serving.host.stop(timeout_s=60.0)
    assert serving.host.health.phase == "stopped"


def test_stopping_saves_what_is_under_way(made):
    demonstrate(made, 3)
    serving = Serving(made, steps=1_000_000)
    serving.host.start()
    for _ in range(2000):
        if serving.host.health.step:
            break
        threading.Event().wait(0.01)
    assert serving.host.stop(timeout_s=60.0)
    (job,) = made.jobs.glob("live-*")
    assert JobDirectory(job).load_state()["counters"][0] > 0
    assert not serving.versions


def test_it_looks_less_often_after_each_failure(made, monkeypatch):
    serving = Serving(made, poll_s=2.0)
    monkeypatch.setattr(EpisodeStore, "episodes", lambda self: 1 / 0)
    pauses = []
    for _ in range(12):
        assert not serving.host.attempt()
        pauses.append(serving.host._pause_s())
    assert pauses[:3] == [4.0, 8.0, 16.0] and pauses[-1] == 600.0
    assert "ZeroDivisionError" in serving.host.health.reason
    monkeypatch.undo()
    serving.host.attempt()
    assert serving.host._pause_s() == 2.0 and serving.host.health.phase == "idle"


def test_what_was_served_last_is_served_first_if_it_came_of_what_is_named(made):
    assert where_to_go_on(made.checkpoints, made.supervised, None) == made.supervised
    demonstrate(made, 3)
    serving = Serving(made)
    serving.host.attempt()
    live = latest(made.checkpoints, "live")
    assert where_to_go_on(made.checkpoints, made.supervised, live) == live
    assert where_to_go_on(made.checkpoints, live, made.supervised) == live
