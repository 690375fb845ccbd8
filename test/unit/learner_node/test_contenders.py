"""When candidates act, and when they are taken back. Learning itself is replaced."""

from dataclasses import dataclass, replace

import pytest
import torch
from contracts.policy_factories import make_policy, make_spec
from factories import make_episode

from learner_node import contenders
from learner_node.algorithm_table import ALGORITHMS
from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.contenders import (
    CONTENDERS,
    FurtherTraining,
    GroupConfig,
    Groups,
    Start,
    builder_of,
)
from so101.episode import Outcome
from so101.groups.exploration import ExplorationConfig
from so101.groups.gate import GateConfig
from so101.groups.rollout import RatedRollout

LIMIT_S = 12.0


@dataclass(frozen=True)
class Named:
    """A policy that is only a name."""

    name: str
    spec: object = make_spec()


class FakeLearner:
    """Numbers its candidates, and remembers what was said of them."""

    def __init__(self, *_, **__):
        self.proposed, self.settled = 0, []

    @property
    def policy(self):
        return Named(f"candidate {self.proposed}")

    def propose(self, group):
        self.proposed += 1
        return {"pool": len(group)}

    def settle(self, *, is_accepted):
        self.settled.append(is_accepted)


class FakeArena:
    """Knows how long each policy takes; None fails."""

    time_limit_s = LIMIT_S

    def __init__(self, durations_s):
        self.durations_s, self.tried = durations_s, []

    def try_out(self, policy, use, poses):
        self.tried.append(policy.name)
        return rollouts(self.durations_s[policy.name], poses)


def rollouts(duration_s, n=10):
    one = RatedRollout(
        episode="e", group=0, duration_s=duration_s or LIMIT_S, is_success=duration_s is not None
    )
    return [one] * n


@pytest.fixture
def make(monkeypatch):
    monkeypatch.setattr(contenders, "GroupLearner", FakeLearner)

    def build(by, durations_s):
        arena = FakeArena(durations_s)
        start = Start(arena=arena, policy=Named("supervised"), demonstrations=[], seed=0)
        config = GroupConfig(
            gate=GateConfig(by=by, poses=10), exploration=ExplorationConfig(start=1.5, widen=0.1)
        )
        return Groups(start, config), arena

    return build


def group(monkeypatch, duration_s):
    """Return a group whose rollouts all take so long."""
    monkeypatch.setattr(contenders, "rate", lambda episode: rollouts(duration_s, 1)[0])
    return [make_episode(seed=i) for i in range(10)]


def test_tried_on_poses_only_better_candidates_act(make, monkeypatch):
    groups, arena = make("poses", {"supervised": 5.0, "candidate 1": 4.0, "candidate 2": 4.5})
    assert groups.learn(group(monkeypatch, 5.0))["gate"]["accepted"]
    assert groups.policy.name == groups.final.name == "candidate 1"
    assert not groups.learn(group(monkeypatch, 4.0))["gate"]["accepted"]
    assert groups.policy.name == groups.final.name == "candidate 1"
    assert groups._learner.settled == [True, False]
    assert arena.tried == ["supervised", "candidate 1", "candidate 2"]


def test_on_a_robot_a_candidate_acts_and_its_own_rollouts_judge_it(make, monkeypatch):
    groups, arena = make("next_group", {})
    groups.learn(group(monkeypatch, 5.0))  # the supervised policy's: the anchor
    assert (groups.policy.name, groups.final.name) == ("candidate 1", "supervised")
    assert groups.learn(group(monkeypatch, 4.0))["gate"]["accepted"]
    assert (groups.policy.name, groups.final.name) == ("candidate 2", "candidate 1")
    assert not groups.learn(group(monkeypatch, 4.5))["gate"]["accepted"]
    assert (groups.policy.name, groups.final.name) == ("candidate 3", "candidate 1")
    assert groups._learner.settled == [True, False]
    assert not arena.tried


def test_without_a_gate_every_candidate_acts(make, monkeypatch):
    groups, arena = make("nothing", {})
    groups.learn(group(monkeypatch, None))
    assert groups.policy.name == groups.final.name == "candidate 1"
    assert not arena.tried
    assert groups._learner.settled == []


def test_an_accepted_candidate_widens_the_window(make, monkeypatch):
    groups, _ = make("poses", {"supervised": 5.0, "candidate 1": 4.0, "candidate 2": None})
    seen = [groups.learn(group(monkeypatch, 5.0))["highest_speed"] for _ in range(2)]
    assert [*seen, groups._highest] == pytest.approx([1.5, 1.6, 1.6])


def test_every_line_of_the_table_can_be_built(make):
    for build in CONTENDERS.values():
        arena = FakeArena({"supervised": 5.0})
        start = Start(arena=arena, policy=Named("supervised"), demonstrations=[], seed=0)
        contender = build(start, GroupConfig())
        assert contender.final.name == "supervised"
        assert 1.0 <= contender.speed(0, 0) <= 2.0
    assert CONTENDERS["supervised"](start, GroupConfig()).learn([]) == {}


def weights_of(policy):
    return [item.detach().clone() for item in policy.parameters()]


def test_any_algorithm_is_a_contender_that_trains_on_every_success():
    config = GroupConfig(learning=GroupReinforceConfig(steps=3, batch_size=4, draws=1))
    start = Start(
        arena=FakeArena({}), policy=make_policy(), demonstrations=[make_episode(seed=9)], seed=0
    )
    before = weights_of(start.policy)
    good, bad = make_episode(seed=1, episode="good"), make_episode(seed=2, episode="bad")
    bad = replace(bad, outcome=Outcome.FAILURE)
    found = []
    for _ in range(2):
        contender = builder_of("sft")(start, config)
        assert isinstance(contender, FurtherTraining)
        assert 1.0 <= contender.speed(0, 3) <= 1.5
        assert contender.learn([good, bad])["pool"] == 2  # the demonstration and the success
        assert contender.learn([good, bad])["pool"] == 3
        found.append(weights_of(contender.final))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(found[0], before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights_of(start.policy), before, strict=True))


def test_a_contender_is_a_line_of_the_table_or_an_algorithm():
    assert builder_of("group_reinforce") is Groups
    assert all(builder_of(name) is not None for name in (*CONTENDERS, *ALGORITHMS))
    assert builder_of("nonsense") is None
