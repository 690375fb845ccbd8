"""The main job in small: demonstrations, fine-tuning, hot reload, evaluation; and once more."""

from dataclasses import replace

import numpy as np
import pytest
from integration import graphs
from integration.conftest import DEMONSTRATIONS, EVALUATIONS, SEED, START, STEPS, TIME_LIMIT_S

from so101 import evaluation
from so101.clock import POLICY_GRID
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.evaluation import EvaluationConfig, rollout_config, trial_facts
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import latest
from so101.policies.policy_planner import PolicyPlanner
from so101.rewards.pick_rater import PickRater
from so101.robot import JOINTS
from so101.simulation.build import make_cell
from so101.simulation.rollout import RolloutRunner
from so101_bringup.recorded_trials import recorded_evaluation


@pytest.fixture(scope="module")
def recorded(rl_job):
    return graphs.episodes_of(rl_job.store)


@pytest.fixture(scope="module")
def trials(recorded):
    return [e for e in recorded.values() if e.facts.phase == "evaluation"]


@pytest.fixture(scope="module")
def checkpoint(rl_job):
    return latest(rl_job.store / "checkpoints", "promoted")


def test_the_job_runs_to_its_summary(rl_job):
    assert rl_job.run.code == 0, rl_job.run.text
    summary = next(line for line in rl_job.run.lines if line.startswith("summary"))
    assert f"{DEMONSTRATIONS} successful demonstrations" in summary
    assert f"of {EVALUATIONS} evaluation episodes succeeded" in summary
    assert rl_job.run.errors == ()
    (read,) = (line for line in rl_job.run.lines if "idle ones left out" in line)
    assert "fine-tuning" in read


def test_the_checkpoint_is_whole_and_says_what_it_was_made_of(rl_job, recorded, checkpoint):
    assert verify(checkpoint.path) == checkpoint
    record = checkpoint.record
    shown = [e.facts.id for e in recorded.values() if e.facts.phase == "demonstrations"]
    good = [name for name in shown if recorded[name].outcome is Outcome.SUCCESS]
    assert [episode.id for episode in record.episodes] == good
    assert (record.step, record.seed) == (STEPS, SEED)


def test_the_loss_fell(checkpoint):
    losses = [loss for _, loss in checkpoint.record.loss_curve]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.7 * losses[0]


def test_the_evaluation_ran_the_new_checkpoint_from_start_to_time_limit(trials, checkpoint):
    assert [trial.facts.rollout for trial in trials] == list(range(EVALUATIONS))
    for trial in trials:
        assert trial.facts.checkpoint == checkpoint.sha256
        assert set(trial.sources) == {SOURCE_CODES[ControlSource.POLICY]}
        assert trial.outcome is Outcome.SUCCESS or trial.duration_s == pytest.approx(
            TIME_LIMIT_S - 1 / 30, abs=1e-6
        )
        first = POLICY_GRID.floor(int(trial.stamps_ns[0]))
        decisions = [POLICY_GRID.floor(stamp) - first for stamp in sorted(trial.planned)]
        assert decisions == list(range(0, 8 * len(decisions), 8))


def test_nothing_is_missing_from_any_bag(rl_job):
    for checked in EpisodeStore(rl_job.store / "episodes").verify():
        assert checked.problems == ()


def test_the_same_checkpoint_does_the_same_without_ros(trials, checkpoint):
    """Another process, no nodes, no messages: the same arm loop, gate, join and noise."""
    policy = load_policy(checkpoint.path, JOINTS, ())
    config = replace(rollout_config(policy.spec, keeps_episode=True), time_limit_s=TIME_LIMIT_S)
    runner = RolloutRunner(make_cell(cameras=()), PickRater(), config)
    planner = PolicyPlanner(policy, SEED)
    setting = EvaluationConfig(episodes=EVALUATIONS, seed=SEED, start=START)
    for number, trial in enumerate(trials):
        facts = trial_facts(setting, number, checkpoint.sha256)
        assert facts.seed == trial.facts.seed
        again = runner.run(facts, planner)
        assert again.outcome is trial.outcome
        assert len(again.episode) == len(trial)
        for name in ("positions", "velocities", "commands", "actions", "objects", "rewards"):
            np.testing.assert_allclose(
                getattr(again.episode, name), getattr(trial, name), atol=1e-9, err_msg=name
            )
        plans = [again.episode.planned[stamp] for stamp in sorted(again.episode.planned)]
        for plan, recorded in zip(
            plans, (trial.planned[s] for s in sorted(trial.planned)), strict=False
        ):
            np.testing.assert_allclose(plan, recorded, atol=1e-9)


def test_the_bags_tell_of_the_evaluation_what_a_run_without_ros_finds(
    rl_job, checkpoint, monkeypatch
):
    """As `so101 eval` does it with and without --ros, only with the time limit of this job."""
    monkeypatch.setattr(
        evaluation,
        "rollout_config",
        lambda spec: replace(rollout_config(spec), time_limit_s=TIME_LIMIT_S),
    )
    setting = EvaluationConfig(episodes=EVALUATIONS, seed=SEED, start=START)
    policy = load_policy(checkpoint.path, JOINTS, ())
    again = evaluation.evaluate(policy, setting, checkpoint=checkpoint.sha256)
    told = recorded_evaluation(rl_job.store / "episodes", setting, checkpoint.sha256)
    assert len(told.trials) == EVALUATIONS
    for one, other in zip(told.trials, again.trials, strict=True):
        assert one.duration_s == pytest.approx(other.duration_s, abs=1e-6)
        assert one.followed_ticks == 0 < other.followed_ticks  # bags do not count it
        counted = replace(one, duration_s=other.duration_s, followed_ticks=other.followed_ticks)
        assert counted == other


def test_a_session_that_starts_from_bags_records_no_demonstration(record_job, tmp_path):
    """As `so101 rl --episodes`: as many bags as there are is enough for the first training."""
    params = graphs.write_params(
        tmp_path / "params.yaml",
        learner_node={"steps": 20},
        reward_node={"time_limit": 1.0, "session": {"target_success": 0.0}},
    )
    ended = graphs.run(
        "rl",
        tmp_path / "run",
        seed=SEED + 1,
        start=START,
        episodes=str(record_job.store / "episodes"),
        evaluation_episodes=1,
        groups=0,
        params_file=params,
    )
    assert ended.code == 0, ended.text
    shown = [
        entry.facts
        for entry in EpisodeStore(record_job.store / "episodes").episodes()
        if entry.is_demonstration
    ]
    *linked, trial = (e.facts for e in graphs.episodes_of(tmp_path / "run").values())
    assert linked == shown
    trained = latest(tmp_path / "run" / "checkpoints", "promoted")
    assert [episode.id for episode in trained.record.episodes] == [one.id for one in shown]
    assert (trial.phase, trial.checkpoint) == ("evaluation", trained.sha256)


def test_running_it_again_finishes_at_once(rl_job, recorded):
    """Nothing is recorded or trained twice."""
    again = graphs.run("rl", rl_job.store, **rl_job.options)
    assert again.code == 0, again.text
    summaries = [
        next(line for line in run.lines if line.startswith("summary"))
        for run in (rl_job.run, again)
    ]
    assert summaries[0].split(", median")[0] == summaries[1].split(", median")[0]
    assert list(graphs.episodes_of(rl_job.store)) == list(recorded)
    assert len(list((rl_job.store / "checkpoints").glob("*/step_*"))) == 1
