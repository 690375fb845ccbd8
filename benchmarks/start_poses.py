r"""The two fine-tuning attempts of the source report: one start pose, and recovery starts.

Same number of demonstrations, same settings, state mode, several seeds. `one pose`: the arm always
starts exactly at home. `recovery starts`: half of the demonstrations start off home. Both are
evaluated from home and from poses off home. Writes JSON and a figure; resumable by seed.

    python benchmarks/start_poses.py --out docs/results/start_poses.json \
        --figure docs/images/start_poses.png [--seeds 0 1 2] [--demonstrations 60] [--trials 40]
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.arena import Demonstrator
from learner_node.trainer import Trainer
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.episode import Episode, EpisodeFacts, Outcome
from so101.episode_plan import EpisodePlan
from so101.policies.flow.config import FlowConfig
from so101.policies.flow.policy import FlowPolicy
from so101.policies.policy import TrainablePolicy
from so101.policies.policy_planner import PolicyPlanner
from so101.rewards.pick_rater import PickRater
from so101.simulation.build import make_cell
from so101.simulation.rollout import RolloutConfig, RolloutRunner
from so101.spec import PolicySpec
from so101.statistics import wilson_interval

OFF_HOME_RAD = 0.3
ATTEMPTS = {"one pose": 0.0, "recovery starts": 0.5}
STARTS = {"from home": "std", f"off home by up to {OFF_HOME_RAD} rad": f"std+{OFF_HOME_RAD}"}
SPEC = PolicySpec(uses_objects=True)


def facts(number: int, seed: int, start: str, source: str) -> EpisodeFacts:
    """Return the facts of one episode."""
    return EpisodeFacts(
        id=f"{source}-{number}", task="pick", source=source, seed=seed, start_pose=start
    )


def collect(runner: RolloutRunner, seed: int, count: int, share: float) -> list[Episode]:
    """Return successful demonstrations, a share of them from off home."""
    planner = Demonstrator(EpisodePlan())
    episodes: list[Episode] = []
    number = 0
    while len(episodes) < count:
        is_off = int((number + 1) * share) > int(number * share)
        start = f"std+{OFF_HOME_RAD}" if is_off else "std"
        rollout = runner.run(facts(number, seed * 1_000_000 + number, start, "teleop"), planner)
        if rollout.outcome is Outcome.SUCCESS and rollout.episode is not None:
            episodes.append(rollout.episode)
        number += 1
    return episodes


def evaluate(
    runner: RolloutRunner, policy: TrainablePolicy, seed: int, start: str, trials: int
) -> int:
    """Return the number of successes."""
    first = seed * 1_000_000 + 500_000
    outcomes = [
        runner.run(facts(i, first + i, start, "policy"), PolicyPlanner(policy, seed)).outcome
        for i in range(trials)
    ]
    return sum(outcome is Outcome.SUCCESS for outcome in outcomes)


def attempt(seed: int, name: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Run one attempt of one seed."""
    cell = make_cell(cameras=())
    recording = RolloutRunner(
        cell, PickRater(), RolloutConfig(time_limit_s=20.0, keeps_episode=True)
    )
    trying = RolloutRunner(cell, PickRater(), RolloutConfig(time_limit_s=12.0))
    episodes = collect(recording, seed, arguments.demonstrations, ATTEMPTS[name])
    dataset = EpisodeDataset.from_episodes(episodes, SPEC, DatasetConfig(outcomes=("success",)))
    settings = replace(SftConfig.for_policy(SPEC), steps=arguments.steps)
    policy = FlowPolicy.for_data(SPEC, FlowConfig(), dataset, seed=seed)
    algorithm = Sft(policy, settings, seed)
    trainer = Trainer(algorithm, dataset, steps=settings.steps, seed=seed)
    trainer.run()
    acting = algorithm.policy()
    successes = {
        label: evaluate(trying, acting, seed, start, arguments.trials)
        for label, start in STARTS.items()
    }
    return {
        "seed": seed,
        "attempt": name,
        "demonstrations": len(episodes),
        "steps": settings.steps,
        "trials": arguments.trials,
        "successes": successes,
        "loss_curve": trainer.loss_curve,
    }


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Draw success by attempt and start, and the loss curves."""
    figure, (bars, losses) = plt.subplots(1, 2, figsize=(9.5, 3.6), constrained_layout=True)
    for index, name in enumerate(ATTEMPTS):
        own = [row for row in rows if row["attempt"] == name]
        for place, label in enumerate(STARTS):
            won = sum(row["successes"][label] for row in own)  # type: ignore[index]
            tried = sum(int(str(row["trials"])) for row in own)
            low, high = wilson_interval(won, tried)
            share = won / tried
            bars.bar(
                place + (index - 0.5) * 0.36,
                share,
                0.34,
                yerr=[[share - low], [high - share]],
                capsize=3,
                color=("#c44e52", "#4c72b0")[index],
                label=name if place == 0 else None,
            )
        for row in own:
            steps, values = zip(*row["loss_curve"], strict=True)  # type: ignore[call-overload]
            losses.plot(steps, values, color=("#c44e52", "#4c72b0")[index], lw=1, alpha=0.8)
    bars.set_xticks(range(len(STARTS)), list(STARTS))
    bars.set_ylim(0, 1.05)
    bars.set_ylabel("success (95 % Wilson, seeds pooled)")
    bars.set_title("evaluated")
    bars.legend(loc="lower left")
    losses.set_yscale("log")
    losses.set_xlabel("training step")
    losses.set_ylabel("flow-matching loss")
    losses.set_title("fine-tuning loss, one line a seed")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run what is missing, write JSON after every attempt, then draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "starts.json")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--demonstrations", type=int, default=60)
    parser.add_argument("--steps", type=int, default=SftConfig.for_policy(SPEC).steps)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.seeds, arguments.demonstrations = [0], 3
        arguments.steps, arguments.trials = 60, 2
    torch.set_num_threads(1)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    for seed in arguments.seeds:
        for name in ATTEMPTS:
            if any((row["seed"], row["attempt"]) == (seed, name) for row in rows):
                continue
            rows.append(attempt(seed, name, arguments))
            arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            print(json.dumps({k: v for k, v in rows[-1].items() if k != "loss_curve"}), flush=True)
    if arguments.figure:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
