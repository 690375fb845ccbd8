"""Simulated time through the nodes: held back to real time, and with latency."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from contracts.policy_factories import make_policy
from integration import graphs
from integration.conftest import SEED, START

from so101.action import ActionChunk
from so101.clock import nanoseconds
from so101.control.trajectory import chunk_to_trajectory
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101.evaluation import rollout_config
from so101.policies.checkpoints.checkpoint import load_policy, save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.policy_planner import PolicyPlanner
from so101.policies.wrappers.seeded_noise import chunk_noise
from so101.rewards.pick_rater import PickRater
from so101.robot import JOINTS
from so101.simulation.build import make_cell
from so101.simulation.latency import SimulatedLatency
from so101.simulation.rollout import RolloutRunner
from so101.simulation.tasks.table import start_of

SPEED = 2.0
LIMIT_S = 3.0
LATENCY_S = 0.25
ENDED = re.compile(r"\[(\d+\.\d+)\] \[reward_node\]: (\S+): (?:succeeded|failed|truncated)")


def test_time_that_is_held_back_changes_no_bit(tmp_path, record_job):
    """Two demonstrations of the session that ran as fast as it could, now at twice real time."""
    store = tmp_path / "run"
    options = {**record_job.options, "demonstrations": 2, "speed": SPEED}
    ended = graphs.run("record", store, **options)
    assert ended.code == 0, ended.text
    paced, fast = graphs.episodes_of(store), graphs.episodes_of(record_job.store)
    for name, episode in paced.items():
        graphs.assert_same_columns(episode, fast[name])
    ends_s = {
        name: float(stamp)
        for stamp, name in ENDED.findall((store / "logs" / "reward_node.log").read_text())
    }
    assert list(ends_s) == list(paced)
    for before, name in zip(paced, list(paced)[1:], strict=False):
        assert ends_s[name] - ends_s[before] > paced[name].duration_s / SPEED


def follow_again(episode, latency_s):
    """Return the actions of a cell that follows each chunk so long after its observation."""
    cell = make_cell(cameras=())
    start_ns = int(episode.stamps_ns[0])
    assert cell.reset(start_of(episode.facts), start_ns) == start_ns
    cell.loop.arm()
    chunks = list(episode.planned.items())
    commands = []
    while len(commands) <= len(episode):
        tick = cell.tick()
        if tick.objects is not None:  # a policy tick
            commands.append(tick.arm.command)
        while chunks and chunks[0][0] + nanoseconds(latency_s) <= tick.stamp_ns:
            seen_ns, positions = chunks.pop(0)
            chunk = ActionChunk(stamp_ns=seen_ns, positions=positions)
            cell.follow(chunk_to_trajectory(chunk, JOINTS))
        cell.advance()
    cell.world.close()
    return np.array(commands[1:])


def test_a_chunk_starts_the_simulated_latency_after_its_observation(tmp_path):
    """The policy keeps control meanwhile, and no decision is left out."""
    made = save_checkpoint(
        tmp_path, "made", make_policy(), TrainingRecord(algorithm="sft", step=0)
    )
    store = tmp_path / "run"
    ended = graphs.run(
        "evaluate",
        store,
        seed=SEED,
        start=START,
        checkpoint=str(made.path),
        evaluation_episodes=1,
        simulated_latency=LATENCY_S,
        aux=["noise"],
        params_file=graphs.write_params(
            tmp_path / "params.yaml", reward_node={"time_limit": LIMIT_S}
        ),
    )
    (trial,) = graphs.episodes_of(store).values()
    assert trial.outcome is Outcome.TRUNCATED, ended.text
    assert trial.duration_s == pytest.approx(LIMIT_S - 1 / 30, abs=1e-6)
    assert set(trial.sources) == {SOURCE_CODES[ControlSource.POLICY]}
    # a chunk that would begin after the end may come too late to be let through
    decisions = trial.stamps_ns[::8]
    acting = decisions + nanoseconds(LATENCY_S) <= trial.stamps_ns[-1]
    assert list(trial.planned)[: acting.sum()] == decisions[acting].tolist()
    assert set(trial.planned) <= set(decisions.tolist())
    assert list(trial.aux["noise"]) == list(trial.planned)
    for number, noise in enumerate(trial.aux["noise"].values()):
        drawn = chunk_noise(SEED, trial.facts.seed, number, noise.shape)
        np.testing.assert_array_equal(noise, drawn)
    np.testing.assert_allclose(follow_again(trial, LATENCY_S), trial.actions, atol=1e-9)
    for other_s in (LATENCY_S - 1 / 60, LATENCY_S + 1 / 60):
        assert np.abs(follow_again(trial, other_s) - trial.actions).max() > 1e-3


def test_real_time_chunking_does_the_same_without_ros(tmp_path):
    """The plan in force is told to the policy at the same stamps, whatever the machine's speed."""
    made = save_checkpoint(
        tmp_path, "made", make_policy(), TrainingRecord(algorithm="sft", step=0)
    )
    store, latency = tmp_path / "run", SimulatedLatency(mean_s=0.1)
    ended = graphs.run(
        "evaluate",
        store,
        seed=SEED,
        start=START,
        checkpoint=str(made.path),
        evaluation_episodes=1,
        schedule="rtc",
        simulated_latency=latency.mean_s,
        params_file=graphs.write_params(
            tmp_path / "params.yaml", reward_node={"time_limit": LIMIT_S}
        ),
    )
    assert ended.code == 0, ended.text
    (trial,) = graphs.episodes_of(store).values()
    policy = load_policy(made.path, JOINTS, ())
    config = replace(
        rollout_config(policy.spec, keeps_episode=True), time_limit_s=LIMIT_S, latency=latency
    )
    planner = PolicyPlanner(policy, SEED, schedule="rtc", latency=latency)
    runner = RolloutRunner(make_cell(cameras=()), PickRater(), config)
    again = runner.run(trial.facts, planner, arrivals=planner).episode
    for name in ("positions", "commands", "actions", "objects"):
        one, other = getattr(again, name), getattr(trial, name)
        np.testing.assert_allclose(one, other, atol=1e-9, err_msg=name)
    plans, same = list(trial.planned.values()), list(again.planned.values())
    assert len(same) >= 10
    for plan, other in zip(plans, same, strict=False):  # the last one may be in one of them only
        np.testing.assert_allclose(plan, other, atol=1e-9)
    for before, after in pairwise(same):
        np.testing.assert_allclose(after[:3], before[8:11], atol=1e-6)  # what was decided is kept


def test_nodes_that_disagree_on_time_are_not_started(tmp_path):
    params = graphs.write_params(
        tmp_path / "params.yaml", simulation_node={"simulated_latency": 0.1}
    )
    ended = graphs.run("rl", tmp_path / "run", params_file=params)
    assert ended.code == 2
    (line,) = ended.errors
    assert "simulated_latency=0.1" in line and "policy_node: latency=0.0" in line
