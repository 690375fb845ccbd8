r"""What fine-tuning in state mode gains from idle trimming and from seeing the command in force.

One change at a time against the settings that are on: per seed the same demonstrations, recorded
in process, and the same unseen poses for every variant, so that poses pair up. Writes JSON;
resumable by seed and variant.

    python benchmarks/sft_inputs.py --out FILE [--seeds 0 1 2] [--demos 60] [--evaluations 50]
"""

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from learn_sft import collect, evaluate, make_spec, train

from learner_node.algorithms.sft import SftConfig
from so101.config import from_mapping
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.episode import Episode
from so101.policies.flow.config import FlowConfig
from so101.statistics import wilson_interval

SPEC = make_spec("state", execute_steps=8, pixels=0)
REGION = "std"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to prepare what the policy learns from."""

    trim: str = "all"
    uses_commands: bool = True


AS_SET = "as set"
VARIANTS = {
    AS_SET: Variant(),
    "idle ticks at the start only": Variant(trim="start_only"),
    "no trimming": Variant(trim="off"),
    "no command in force": Variant(uses_commands=False),
}


def attempt(
    episodes: list[Episode], name: str, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Train one variant on some demonstrations and evaluate it."""
    variant = VARIANTS[name]
    data = from_mapping(
        DatasetConfig, {"outcomes": ["success"], "trim": {"mode": variant.trim}}, name
    )
    dataset = EpisodeDataset.from_episodes(episodes, SPEC, data)
    config = replace(SftConfig.for_policy(SPEC), steps=arguments.steps)
    policy_config = FlowConfig(uses_commands=variant.uses_commands)
    policy = train(dataset, config, policy_config, seed).policy()
    return {
        "seed": seed,
        "variant": name,
        "demonstrations": len(episodes),
        "steps": config.steps,
        "ticks_kept": len(dataset),
        "ticks_trimmed": sum(dataset.trimmed.values()),
        "evaluation": evaluate(policy, REGION, arguments.evaluations),
    }


def compare(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Pool a variant over its seeds and pair its poses with those of the present settings."""
    own = {row["seed"]: row["evaluation"] for row in rows if row["variant"] == name}
    as_set = {row["seed"]: row["evaluation"] for row in rows if row["variant"] == AS_SET}
    poses = {(seed, pose) for seed in own for pose in own[seed]["succeeded_at"]}
    others = {(seed, pose) for seed in own for pose in as_set[seed]["succeeded_at"]}
    tried = sum(evaluation["n"] for evaluation in own.values())
    return {
        "variant": name,
        "tried": tried,
        "successes": len(poses),
        "interval_95": wilson_interval(len(poses), tried),
        "poses_won": len(poses - others),
        "poses_lost": len(others - poses),
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--demos", type=int, default=60)
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--steps", type=int, default=SftConfig.for_policy(SPEC).steps)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "inputs.json")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.seeds, arguments.demos = [0], 3
        arguments.evaluations, arguments.steps = 2, 60
    return arguments


def main() -> None:
    """Run what is missing and write JSON after every attempt."""
    arguments = parse()
    torch.set_num_threads(1)
    out: Path = arguments.out
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    for seed in arguments.seeds:
        done = {row["variant"] for row in rows if row["seed"] == seed}
        missing = [name for name in VARIANTS if name not in done]
        episodes = collect(SPEC, REGION, arguments.demos, seed) if missing else []
        for name in missing:
            rows.append(attempt(episodes, name, seed, arguments))
            known = [one for one in VARIANTS if any(row["variant"] == one for row in rows)]
            result = {"summary": [compare(rows, one) for one in known], "rows": rows}
            out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            print(json.dumps(compare(rows, name)), flush=True)


if __name__ == "__main__":
    main()
