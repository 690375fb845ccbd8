"""One seed of a comparison: demonstrations, supervised policy, a budget of rollouts, report poses.

Everything follows from configuration and seed. Results are plain mappings, ready for JSON.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.arena import Arena
from learner_node.contenders import Contender, GroupConfig, Start, builder_of
from learner_node.trainer import Trainer
from so101.config import option, to_mapping
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.episode import Episode
from so101.episode_plan import EpisodePlan
from so101.errors import ConfigError
from so101.groups.rollout import RatedRollout, rate
from so101.groups.summary import change, paired, summary
from so101.policies.flow.config import FlowConfig
from so101.policies.flow.policy import FlowPolicy
from so101.policies.policy import TrainablePolicy
from so101.spec import PolicySpec
from so101.statistics import median

SPEC = PolicySpec(uses_objects=True)
"""Studies are run in state mode."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What every seed of a study does."""

    start: str = option("std", "Start region.")
    demonstrations: int = option(60, "Successful demonstrations.", range=(1, 10_000))
    recovery: float = option(
        0.2, "Share of demonstrations that start off the home pose.", range=(0.0, 1.0)
    )
    groups: int = option(8, "Groups of rollouts.", range=(1, 99))
    rollouts: int = option(10, "Rollouts per group.", range=(1, 1000))
    report_poses: int = option(100, "Poses that results are reported on.", range=(1, 10_000))
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    policy: FlowConfig = field(default_factory=FlowConfig)
    sft: SftConfig = field(default_factory=lambda: SftConfig.for_policy(SPEC))
    group: GroupConfig = field(
        default_factory=lambda: GroupConfig(learning=GroupReinforceConfig.for_policy(SPEC))
    )

    @property
    def sha256(self) -> str:
        """Identity of the settings."""
        text = json.dumps(to_mapping(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What every contender of a seed starts from.

    Attributes:
        seed: Run seed.
        demonstrations: All of them succeeded.
        policy: Fine-tuned on them.
        before: How it does on the report poses.
    """

    seed: int
    demonstrations: Sequence[Episode]
    policy: TrainablePolicy
    before: Sequence[RatedRollout]


def make_arena(config: StudyConfig, seed: int) -> Arena:
    """Return the cell of a seed."""
    plan = EpisodePlan(seed=seed, start=config.start, recovery=config.recovery)
    return Arena(plan, SPEC)


def prepare(config: StudyConfig, arena: Arena, say: Say = print) -> Prepared:
    """Demonstrate, fine-tune and try the supervised policy."""
    seed = arena.plan.seed
    demonstrations = arena.demonstrate(config.demonstrations)
    dataset = EpisodeDataset.from_episodes(demonstrations, SPEC, config.dataset)
    algorithm = Sft(FlowPolicy.for_data(SPEC, config.policy, dataset, seed=seed), config.sft, seed)
    Trainer(algorithm, dataset, steps=config.sft.steps, seed=seed).run()
    policy = algorithm.policy()
    before = arena.try_out(policy, "evaluation", config.report_poses)
    say(f"seed {seed}: supervised: {summary(before)}")
    return Prepared(seed=seed, demonstrations=demonstrations, policy=policy, before=before)


def contend(
    config: StudyConfig, contender: str, prepared: Prepared, arena: Arena, say: Say = print
) -> dict[str, Any]:
    """Let a contender use its budget of rollouts; return its result.

    Args:
        config: The study.
        contender: Name in the table of contenders or of algorithms.
        prepared: Where it starts.
        arena: The seed's cell.
        say: Told how far it is.

    Raises:
        ConfigError: There is no such contender.
    """
    build = builder_of(contender)
    if build is None:
        raise ConfigError(f"contender {contender!r} is unknown")
    start = Start(
        arena=arena,
        policy=prepared.policy,
        demonstrations=prepared.demonstrations,
        seed=prepared.seed,
        dataset=config.dataset,
    )
    acting = build(start, config.group)
    groups = []
    for number in range(config.groups):
        groups.append(_run_group(arena, acting, number, config.rollouts))
        say(f"seed {prepared.seed}: {contender}: group {number}: {_describe(groups[-1])}")
    after = arena.try_out(acting.final, "evaluation", config.report_poses)
    say(f"seed {prepared.seed}: {contender}: afterwards: {summary(after)}")
    return {
        "seed": prepared.seed,
        "contender": contender,
        "before": summary(prepared.before),
        "after": summary(after),
        "change": change(prepared.before, after),
        "paired": paired(prepared.before, after),
        "rollouts": config.groups * config.rollouts,
        "config_sha": config.sha256,
        "groups": groups,
    }


def _run_group(arena: Arena, acting: Contender, number: int, rollouts: int) -> dict[str, Any]:
    episodes = [
        arena.roll_out(acting.policy, arena.plan.rollout(number, i, speed=acting.speed(number, i)))
        for i in range(rollouts)
    ]
    return {
        "group": number,
        "rollouts": [
            {
                "duration_s": rollout.duration_s,
                "success": rollout.is_success,
                "stable": rollout.is_stable,
                "speed": rollout.speed,
            }
            for rollout in map(rate, episodes)
        ],
        **acting.learn(episodes),
    }


def _describe(group: Mapping[str, Any]) -> str:
    rollouts = group["rollouts"]
    typical_s = median([r["duration_s"] for r in rollouts if r["success"]])
    text = f"{sum(r['success'] for r in rollouts)} of {len(rollouts)}"
    if typical_s is not None:
        text += f", median {typical_s:.2f} s"
    for key in ("standard_s", "target_s", "pool", "highest_speed"):
        if group.get(key) is not None:
            text += f", {key} {group[key]:.3g}"
    if "gate" in group:
        verdict = group["gate"]
        text += ", accepted" if verdict["accepted"] else f", rejected: {verdict['reasons']}"
    return text
