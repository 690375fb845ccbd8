"""What time-consuming inference does to a pick, by schedule: stalls, jerk, tracking, success.

    python benchmarks/chunk_scheduling.py --checkpoint runs/rl-state --out chunks.json
    python benchmarks/chunk_scheduling.py --small

Every schedule runs the same episodes, with the same starts, noise and draws of latency, at 0, 50,
100 and 200 ms ± 30 %, and is compared with itself at zero latency, episode by episode. Without a
checkpoint a policy is trained first, from scripted demonstrations, in state mode.

Stalled is a control tick (60 Hz), from the arrival of the first chunk on, at which every point of
the arm's plan is past. Jerk is the root mean square of the third difference of the goals: before
the gate as planned and interpolated, after it as the arm is told. Tracking error is the measured
position minus the goal in force until then. What was tuned was tuned on other seeds than 0.
"""

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from parts.schedule_episodes import Condition, EpisodeResult, run_episodes
from parts.schedule_figure import draw
from parts.schedule_numbers import Compared, compare, met, table

from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.arena import Arena
from learner_node.trainer import Trainer
from so101.data.training.dataset import EpisodeDataset
from so101.data.training.loading import DatasetConfig
from so101.episode_plan import EpisodePlan
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.copy import find_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.flow.config import FlowConfig
from so101.policies.flow.policy import FlowPolicy
from so101.policies.schedules.scheduling import SCHEDULES
from so101.spec import PolicySpec

LATENCIES_S = (0.0, 0.05, 0.1, 0.2)
BATCH = 10
"""Episodes a worker runs between two reports."""

Results = dict[Condition, list[EpisodeResult]]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--checkpoint", type=Path, help="state mode; otherwise one is trained")
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latencies", type=float, nargs="+", default=LATENCIES_S, help="[s]")
    parser.add_argument("--jitter", type=float, default=0.3)
    parser.add_argument("--schedules", nargs="+", choices=tuple(SCHEDULES), default=[*SCHEDULES])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--demos", type=int, default=60)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if 0.0 not in arguments.latencies:
        parser.error("--latencies needs 0: everything is compared with it")
    if arguments.small:
        arguments.episodes, arguments.demos, arguments.steps = 2, 3, 200
        arguments.latencies, arguments.workers = [0.0, 0.1], min(2, arguments.workers)
    return arguments


def train(directory: Path, demos: int, steps: int, seed: int) -> Path:
    """Return the checkpoint of a policy that learned from scripted demonstrations."""
    spec = PolicySpec(uses_objects=True)
    arena = Arena(EpisodePlan(seed=seed), spec)
    try:
        episodes = arena.demonstrate(demos)
    finally:
        arena.close()
    config = DatasetConfig(outcomes=("success",))
    dataset = EpisodeDataset.from_episodes(episodes, spec, config)
    policy = FlowPolicy.for_data(spec, FlowConfig(), dataset, seed=seed)
    algorithm = Sft(policy, SftConfig.for_policy(spec, steps), seed)
    Trainer(algorithm, dataset, steps=steps, seed=seed).run()
    record = TrainingRecord(step=steps, algorithm="sft")
    return save_checkpoint(directory, "sft", algorithm.policy(), record).path


def run_all(arguments: argparse.Namespace, checkpoint: Path) -> Results:
    """Run every condition, spread over processes; the result does not depend on how many."""
    conditions = [
        Condition(schedule=name, latency_s=latency_s, jitter=arguments.jitter)
        for name in arguments.schedules
        for latency_s in sorted(arguments.latencies)
    ]
    found: Results = {condition: [] for condition in conditions}
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        jobs = [
            (
                condition,
                pool.submit(
                    run_episodes,
                    checkpoint,
                    arguments.seed,
                    condition,
                    range(first, min(first + BATCH, arguments.episodes)),
                ),
            )
            for first in range(0, arguments.episodes, BATCH)
            for condition in conditions
        ]
        for condition, job in jobs:
            found[condition] += job.result()
    return found


def report(results: Results, seed: int) -> list[Compared]:
    """Compare every condition with the same schedule at zero latency."""
    at_once = {
        condition.schedule: episodes
        for condition, episodes in results.items()
        if condition.latency_s == 0.0
    }
    return [
        compare(condition, episodes, at_once[condition.schedule], seed)
        for condition, episodes in results.items()
    ]


def main() -> None:
    """Run, say what was found, and write it."""
    arguments = parse()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.checkpoint is None:
            checkpoint = train(Path(temporary), arguments.demos, arguments.steps, arguments.seed)
        else:
            checkpoint = find_checkpoint(arguments.checkpoint.expanduser().absolute())
        trained = time.perf_counter()
        results = run_all(arguments, checkpoint)
    compared = report(results, arguments.seed)
    for line in table(compared):
        print(line)
    values: dict[str, Any] = {
        "checkpoint": str(arguments.checkpoint or "trained here"),
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        "wall_s": {
            "train": round(trained - began, 1),
            "episodes": round(time.perf_counter() - trained, 1),
        },
        "conditions": [item.to_mapping() for item in compared],
        "at_100_ms": met(compared, 0.1),
    }
    print(json.dumps(values["at_100_ms"], indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    if arguments.figure is not None:
        arguments.figure.write_bytes(draw(compared))


if __name__ == "__main__":
    main()
