"""How well, and for how many CPU-seconds, supervised fine-tuning learns the simulated pick.

    python benchmarks/learn_sft.py --mode state --demos 60
    python benchmarks/learn_sft.py --mode cameras --demos 100 --out sft.json

Everything runs in one process and one thread: imperfect demonstrations through the simulated cell
and its safety gate, the dataset with idle trimming, `Sft`, then unseen start poses. The result is
one JSON object per training seed.
"""

import argparse
import json
import os
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.arena import Arena
from learner_node.trainer import Trainer
from so101.action import ActionSpace
from so101.config import from_mapping
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.episode import Episode, EpisodeFacts, Outcome
from so101.episode_plan import EpisodePlan
from so101.evaluation import rollout_config
from so101.policies.flow.config import FlowConfig
from so101.policies.flow.policy import FlowPolicy
from so101.policies.policy import TrainablePolicy
from so101.policies.policy_planner import PolicyPlanner
from so101.rewards.pick_rater import PickRater
from so101.robot import CAMERAS
from so101.simulation.build import make_cell
from so101.simulation.rollout import RolloutRunner
from so101.spec import PolicySpec
from so101.statistics import median, wilson_interval

FIRST_EVALUATION_SEED = 1_000_000
CAMERA_SIZE = (240, 320)


def make_spec(mode: str, execute_steps: int, pixels: int) -> PolicySpec:
    """Return what the policy sees and does."""
    space = ActionSpace(execute_steps=execute_steps)
    if mode == "state":
        return PolicySpec(uses_objects=True, action_space=space)
    return PolicySpec(cameras=CAMERAS, image_size=(pixels, pixels), action_space=space)


def collect(spec: PolicySpec, region: str, count: int, seed: int) -> list[Episode]:
    """Return successful demonstrations of a run seed."""
    arena = Arena(EpisodePlan(seed=seed, start=region), spec, camera_size=CAMERA_SIZE)
    try:
        return arena.demonstrate(count)
    finally:
        arena.close()


def evaluate(policy: TrainablePolicy, region: str, count: int) -> dict[str, Any]:
    """Return how a policy does on unseen start poses."""
    cell = make_cell(cameras=policy.spec.cameras, camera_size=CAMERA_SIZE)
    runner = RolloutRunner(cell, PickRater(), rollout_config(policy.spec))
    planner = PolicyPlanner(policy, 0)
    succeeded: dict[int, float] = {}
    kinds: dict[str, int] = {}
    gated, simulated_s = 0, 0.0
    for i in range(count):
        facts = EpisodeFacts(
            id=f"evaluation-{i}", task="pick", seed=FIRST_EVALUATION_SEED + i, start_pose=region
        )
        rollout = runner.run(facts, planner)
        kinds[rollout.kind] = kinds.get(rollout.kind, 0) + 1
        gated += rollout.changed_ticks
        simulated_s += rollout.duration_s
        if rollout.outcome is Outcome.SUCCESS:
            succeeded[facts.seed] = rollout.duration_s
    return {
        "n": count,
        "successes": len(succeeded),
        "interval_95": wilson_interval(len(succeeded), count),
        "median_success_duration_s": median([*succeeded.values()]),
        "succeeded_at": [*succeeded],
        "ended_as": kinds,
        "ticks_changed_by_the_gate": gated,
        "simulated_s": simulated_s,
    }


def train(dataset: EpisodeDataset, config: SftConfig, policy_config: FlowConfig, seed: int) -> Sft:
    """Return the trained algorithm."""
    policy = FlowPolicy.for_data(dataset.spec, policy_config, dataset, seed=seed)
    algorithm = Sft(policy, config, seed)
    Trainer(algorithm, dataset, steps=config.steps, seed=seed).run()
    return algorithm


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mode", choices=("state", "cameras"), default="state")
    parser.add_argument("--region", choices=("small", "std", "wide"), default="std")
    parser.add_argument("--demos", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--execute-steps", type=int, default=8)
    parser.add_argument("--pixels", type=int, default=96)
    parser.add_argument("--trim", choices=("off", "start_only", "all"), default="all")
    parser.add_argument("--sft", type=json.loads, default={}, help="settings as JSON")
    parser.add_argument("--policy", type=json.loads, default={}, help="settings as JSON")
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.demos, arguments.evaluations, arguments.sft = 3, 3, {"steps": 60}
    return arguments


def run(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Collect, train and evaluate once."""
    spec = make_spec(arguments.mode, arguments.execute_steps, arguments.pixels)
    defaults = asdict(SftConfig.for_policy(spec))
    sft = from_mapping(SftConfig, {**defaults, **arguments.sft}, "--sft")
    found_good = asdict(FlowConfig())
    policy_config = from_mapping(FlowConfig, {**found_good, **arguments.policy}, "--policy")
    times = [time.process_time()]
    episodes = collect(spec, arguments.region, arguments.demos, seed)
    times.append(time.process_time())
    data = from_mapping(
        DatasetConfig, {"outcomes": ["success"], "trim": {"mode": arguments.trim}}, "--trim"
    )
    dataset = EpisodeDataset.from_episodes(episodes, spec, data)
    times.append(time.process_time())
    algorithm = train(dataset, sft, policy_config, seed)
    times.append(time.process_time())
    result = evaluate(algorithm.policy(), arguments.region, arguments.evaluations)
    times.append(time.process_time())
    spent = [round(after - before, 1) for before, after in pairwise(times)]
    return {
        "mode": arguments.mode,
        "region": arguments.region,
        "seed": seed,
        "demonstrations": len(episodes),
        "steps_in_dataset": len(dataset),
        "steps_trimmed": sum(dataset.trimmed.values()),
        "sft": asdict(sft),
        "policy": asdict(policy_config),
        "execute_steps": arguments.execute_steps,
        "cpu_s": dict(zip(("collect", "load", "train", "evaluate"), spent, strict=True)),
        "evaluation": result,
    }


def main() -> None:
    """Run for every seed and print or write the results."""
    arguments = parse()
    torch.set_num_threads(1)
    results = [run(arguments, seed) for seed in arguments.seeds]
    text = json.dumps(results, indent=1)
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
