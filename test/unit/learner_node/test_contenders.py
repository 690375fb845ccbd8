"""When candidates act, and when they are taken back. Learning itself is replaced."""

from dataclasses import dataclass

import pytest
from contracts.policy_factories import make_spec
from factories import make_episode

from learner_node import contenders
from learner_node.contenders import CONTENDERS, GroupConfig, Groups, Start
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
