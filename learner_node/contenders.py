"""The contenders that `so101 bench-learn` compares. Adding one is adding a line to the table.

Every algorithm of the algorithm table is one too, under its name.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from learner_node.algorithm_table import ALGORITHMS
from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.arena import Arena
from learner_node.group_learner import GroupLearner
from learner_node.trainer import Trainer
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.episode import Episode, Outcome
from so101.groups.exploration import ExplorationConfig, bounded, draw_speed, next_highest
from so101.groups.gate import (
    NOT_JUDGED,
    THE_SUPERVISED,
    GateConfig,
    Verdict,
    as_planned,
    judge,
)
from so101.groups.rollout import RatedRollout, rate
from so101.policies.policy import Policy, TrainablePolicy


@dataclass(frozen=True, kw_only=True)
class Start:
    """What every contender begins with.

    Attributes:
        arena: Where candidates may be tried; what is tried there is no rollout.
        policy: The supervised policy.
        demonstrations: What it was trained on.
        seed: Of everything random.
        dataset: Which steps are trained on.
    """

    arena: Arena
    policy: TrainablePolicy
    demonstrations: Sequence[Episode]
    seed: int
    dataset: DatasetConfig = field(default_factory=DatasetConfig)


class Contender(Protocol):
    """Acts in groups of rollouts and learns between them."""

    @property
    def policy(self) -> Policy:
        """What acts in the next group."""
        ...

    @property
    def final(self) -> Policy:
        """What should act once the budget is spent."""
        ...

    def speed(self, group: int, rollout: int) -> float:
        """Return the playback factor of a rollout."""
        ...

    def learn(self, group: Sequence[Episode]) -> Mapping[str, Any]:
        """Learn from a group's rollouts; return what happened, ready for JSON."""
        ...


class Supervised:
    """Does not learn: what the rollouts look like when nothing changes."""

    def __init__(self, start: Start) -> None:
        """Keep the supervised policy."""
        self.policy: Policy = start.policy
        self.final: Policy = start.policy

    def speed(self, group: int, rollout: int) -> float:
        """Return 1."""
        return 1.0

    def learn(self, group: Sequence[Episode]) -> Mapping[str, Any]:
        """Learn nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """Settings of group-relative REINFORCE with its gate and its speed exploration."""

    learning: GroupReinforceConfig = field(default_factory=GroupReinforceConfig)
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    gate: GateConfig = field(default_factory=GateConfig)


class Groups:
    """Group-relative REINFORCE with its gate."""

    def __init__(self, start: Start, config: GroupConfig) -> None:
        """Try the supervised policy on the gate's poses, where it has some: it is the anchor."""
        self._arena, self._config, self._seed = start.arena, config, start.seed
        self._bound = bounded(config.exploration, start.policy.spec.action_space.highest_speed())
        self._highest = min(config.exploration.start, self._bound)
        self._learner = GroupLearner(
            start.policy,
            start.demonstrations,
            config.learning,
            seed=start.seed,
            limit_s=start.arena.time_limit_s,
            dataset=start.dataset,
        )
        self.policy: Policy = start.policy
        self.final: Policy = start.policy
        self._anchor: Sequence[RatedRollout] = ()
        if config.gate.by == "poses":
            self._anchor = start.arena.try_out(start.policy, "gate", config.gate.poses)
        self._current: Sequence[RatedRollout] = self._anchor

    def speed(self, group: int, rollout: int) -> float:
        """Draw a factor between 1 and the window's end."""
        return draw_speed(self._seed, group, rollout, self._highest)

    def learn(self, group: Sequence[Episode]) -> Mapping[str, Any]:
        """Train a candidate and judge it; or judge the last one by this group, then train."""
        highest = self._highest
        match self._config.gate.by:
            case "poses":
                record = self._learner.propose(group)
                candidate = self._learner.policy
                tried = self._arena.try_out(candidate, "gate", self._config.gate.poses)
                verdict = self._settle(candidate, tried)
                self.policy = self.final
            case "next_group":
                verdict = self._settle(self.policy, as_planned([rate(one) for one in group]))
                record = self._learner.propose(group)
                self.policy = self._learner.policy if record["pool"] else self.final
            case "nothing":
                verdict = Verdict(is_accepted=True, evidence={"gate": "off"})
                record = self._learner.propose(group)
                self.policy = self.final = self._learner.policy
        self._widen(group, verdict)
        return {**record, "highest_speed": highest, "gate": verdict.to_mapping()}

    def _settle(self, candidate: Policy, tried: Sequence[RatedRollout]) -> Verdict:
        """Judge by what was tried; the supervised policy itself is the first and the anchor."""
        if not self._anchor:
            self._anchor = self._current = tried
            return THE_SUPERVISED
        if candidate is self.final:
            return NOT_JUDGED
        verdict = judge(
            tried,
            self._current,
            self._anchor,
            margin=self._config.gate.margin,
            limit_s=self._arena.time_limit_s,
        )
        self._learner.settle(is_accepted=verdict.is_accepted)
        if verdict.is_accepted:
            self.final, self._current = candidate, tried
        return verdict

    def _widen(self, group: Sequence[Episode], verdict: Verdict) -> None:
        share = sum(episode.outcome is Outcome.SUCCESS for episode in group) / len(group)
        self._highest = next_highest(
            self._highest,
            success_share=share,
            is_accepted=verdict.is_accepted,
            config=self._config.exploration,
            bound=self._bound,
        )


class FurtherTraining:
    """Trains one algorithm further on every success so far; no gate, no standard, no retiming.

    With ``sft`` it is success-filtered cloning. Each group is a training of its own that begins at
    the policy that acts, with the steps and the settings that group learning has in the study.
    """

    def __init__(self, start: Start, config: GroupConfig, *, algorithm: str) -> None:
        """Begin with the supervised policy and its demonstrations."""
        self._kind, self._seed, self._dataset = ALGORITHMS[algorithm], start.seed, start.dataset
        names = {one.name for one in fields(self._kind.config_type)}
        shared = [one.name for one in fields(config.learning) if one.name in names]
        values = {name: getattr(config.learning, name) for name in shared}
        self._settings = self._kind.config_type(**values)
        self._bound = bounded(config.exploration, start.policy.spec.action_space.highest_speed())
        self._highest = min(config.exploration.start, self._bound)
        self._acting = start.policy
        self._successes = list(start.demonstrations)
        self._trainings = 0

    @property
    def policy(self) -> Policy:
        """What acts in the next group."""
        return self._acting

    @property
    def final(self) -> Policy:
        """The same: nothing is on trial."""
        return self._acting

    def speed(self, group: int, rollout: int) -> float:
        """Draw a factor between 1 and the window's end, which stays where it is."""
        return draw_speed(self._seed, group, rollout, self._highest)

    def learn(self, group: Sequence[Episode]) -> Mapping[str, Any]:
        """Train on every success so far, this group's included."""
        self._successes += [one for one in group if one.outcome is Outcome.SUCCESS]
        self._trainings += 1
        seed = int(np.random.default_rng([self._seed, self._trainings]).integers(1 << 31))
        spec = self._acting.spec
        dataset = EpisodeDataset.from_episodes(self._successes, spec, self._dataset)
        algorithm = self._kind(copy.deepcopy(self._acting), self._settings, seed)
        source = algorithm.source(dataset)
        trainer = Trainer(algorithm, source, steps=self._settings.steps, seed=seed)
        trainer.run()
        self._acting = algorithm.policy()
        return {"pool": len(self._successes), "loss": trainer.loss_curve[-1][1]}


def _changed(**changes: Mapping[str, Any]) -> "Build":
    """Return group-relative REINFORCE with some settings changed, one ingredient at a time."""

    def build(start: Start, config: GroupConfig) -> Groups:
        parts = {
            name: replace(getattr(config, name), **values) for name, values in changes.items()
        }
        return Groups(start, replace(config, **parts))

    return build


Build = Callable[[Start, GroupConfig], Contender]
CONTENDERS: Mapping[str, Build] = {
    "supervised": lambda start, _: Supervised(start),
    "group_reinforce": Groups,
    # what each ingredient contributes: the same without it
    "without_gate": _changed(gate={"by": "nothing"}),
    "gate_on_next_group": _changed(gate={"by": "next_group", "margin": 0.05}),
    "without_exploration": _changed(exploration={"start": 1.0, "widen": 0.0, "most": 1.0}),
    "without_retiming": _changed(learning={"pool": "regate"}),
    # the fastest good rollout as the standard: it hardly ever binds
    "without_standard": _changed(learning={"standard_quantile": 0.0}),
    "newest_group_only": _changed(learning={"pool": "group"}),
    # the published first attempt, which failed: the faster half of the newest group, no gate
    "median_rule": _changed(gate={"by": "nothing"}, learning={"rule": "median", "pool": "group"}),
}


def builder_of(name: str) -> Build | None:
    """Return what builds a contender: a line of the table, or any algorithm, trained further."""
    if name in CONTENDERS or name not in ALGORITHMS:
        return CONTENDERS.get(name)
    return partial(FurtherTraining, algorithm=name)
