"""How much of its speed the simulated loop keeps as a ROS 2 graph. Writes JSON.

Side by side in one run: the same policy with random weights, the same cameras, the same seeds, run
to the time limit, once in process and once through the nodes with the recorder on, in turn. A
speed is simulated seconds of episodes per wall-clock second of episodes, resets left out.

    python benchmarks/graph_speed.py [--state] [--episodes 4] [--rounds 2] [--out FILE]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from so101.action import ActionSpace
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent
from so101.policies.checkpoints.checkpoint import load_policy, save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.flow.config import FlowConfig, FlowNorms
from so101.policies.flow.policy import FlowPolicy
from so101.policies.policy_planner import PolicyPlanner
from so101.policies.transforms import Normalizer
from so101.rewards.pick_rater import PickRater
from so101.robot import CAMERAS, JOINTS, so101
from so101.simulation.build import make_cell
from so101.simulation.rollout import RolloutConfig, RolloutRunner
from so101.spec import PolicySpec
from so101.streams import ObservationConfig

LIMIT_S = 12.0


def random_policy(state: bool) -> FlowPolicy:
    """Return a policy whose chunks stay near home, so that the gate has its usual work."""
    spec = PolicySpec(
        cameras=() if state else CAMERAS,
        image_size=(0, 0) if state else (96, 96),
        uses_objects=state,
        action_space=ActionSpace(),
    )
    home = so101().home
    near = Normalizer.from_range(home - 0.05, home + 0.05)
    whole = Normalizer.from_range(so101().lower, so101().upper)
    features = Normalizer.from_range([0, -1, 0, -1, -1], [1, 1, 1, 1, 1]) if state else None
    norms = FlowNorms(positions=whole, actions=near, objects=features)
    return FlowPolicy(spec, FlowConfig(), norms, seed=0)


def facts(index: int, sha256: str, seed: int) -> EpisodeFacts:
    """Return what the session would call an evaluation episode."""
    return EpisodeFacts(
        id=f"bench-{index}",
        phase="evaluation",
        task="pick",
        source="policy",
        checkpoint=sha256,
        seed=seed * 1_000_000 + 500_000 + index,
        start_pose="std",
    )


def in_process(path: Path, state: bool, episodes: int, seed: int) -> float:
    """Return the speed of the loop without ROS: it renders, compresses and keeps every frame."""
    policy = load_policy(path, JOINTS, () if state else CAMERAS)
    cell = make_cell(cameras=() if state else CAMERAS)
    seen = ObservationConfig(
        cameras=policy.spec.cameras, uses_objects=True, image_size=policy.spec.image_size
    )
    config = RolloutConfig(time_limit_s=LIMIT_S, observation=seen, keeps_episode=True)
    runner = RolloutRunner(cell, PickRater(), config)
    began, simulated = time.perf_counter(), 0.0
    for index in range(episodes):
        simulated += runner.run(facts(index, "", seed), PolicyPlanner(policy, 0)).duration_s
    elapsed = time.perf_counter() - began
    cell.world.close()
    return simulated / elapsed


def through_graph(path: Path, state: bool, episodes: int, seed: int) -> float:
    """Return the speed of the same episodes through the nodes."""
    from so101.ros.client import GraphClient
    from so101.topics import EPISODE
    from so101_bringup.run_job import options_of, run_job

    begun: dict[str, float] = {}
    rows: list[tuple[float, float]] = []
    starts: dict[str, int] = {}

    def on_episode(event: EpisodeEvent) -> None:
        if event.state is EpisodeState.RUNNING:
            begun[event.facts.id] = time.perf_counter()
            starts[event.facts.id] = event.stamp_ns
        elif event.state.is_end and event.facts.id in begun:
            wall = time.perf_counter() - begun.pop(event.facts.id)
            rows.append(((event.stamp_ns - starts[event.facts.id]) * 1e-9, wall))

    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with tempfile.TemporaryDirectory() as store, GraphClient("graph_speed") as client:
        client.follow(EPISODE, EpisodeEvent, on_episode)
        watcher = threading.Thread(target=client.spinner.spin, daemon=True)
        watcher.start()
        options = options_of(
            {
                "robot": "sim",
                "state": state,
                "store": store,
                "seed": seed,
                "checkpoint": str(path),
                "evaluation_episodes": episodes,
            }
        )
        run_job("evaluate", options, {}, say=lambda line: None)
        client.spinner.stop()
        watcher.join()
    if len(rows) != episodes:
        raise SystemExit(f"graph: {len(rows)} of {episodes} episodes ran")
    return sum(row[0] for row in rows) / sum(row[1] for row in rows)


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--state", action="store_true")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", default="")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.episodes = arguments.rounds = 1
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        record = TrainingRecord(algorithm="none", step=0)
        policy = random_policy(arguments.state)
        path = save_checkpoint(Path(root), "random", policy, record).path
        rows = []
        for number in range(arguments.rounds):
            alone = in_process(path, arguments.state, arguments.episodes, number)
            graph = through_graph(path, arguments.state, arguments.episodes, number)
            rows.append({"in_process": alone, "graph": graph, "ratio": graph / alone})
            print(json.dumps(rows[-1]), flush=True)
    ratio = statistics.median(row["ratio"] for row in rows)
    result = {"mode": "state" if arguments.state else "cameras", "ratio": ratio, "rows": rows}
    print(json.dumps(result))
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
