"""What happens between two groups, on small episodes and a small policy."""

from dataclasses import replace

import pytest
import torch
from contracts.policy_factories import make_policy
from factories import make_episode

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.group_learner import GroupLearner
from so101.episode import Outcome
from so101.errors import SessionError

CONFIG = GroupReinforceConfig(steps=4, batch_size=8, draws=1, demonstration_share=0.5)


def rollout(number, group, *, steps=60, outcome=Outcome.SUCCESS, labels=None):
    episode = make_episode(steps=steps, seed=number, outcome=outcome, episode=f"{group}-{number}")
    facts = replace(episode.facts, group=group, rollout=number)
    # without object poses an outcome alone says that a grip was stable
    return replace(episode, facts=facts, labels=labels or {})


@pytest.fixture
def unrated(monkeypatch):
    """Count the grip of random episodes as stable: their poses mean nothing."""
    monkeypatch.setattr(
        "so101.groups.rollout.PickSuccess",
        lambda: type(
            "Fine", (), {"update": lambda self, *a: self, "home": True, "stable_grip": True}
        )(),
    )


def learner(unrated, **changes):
    demonstrations = [rollout(i, -1, steps=80) for i in range(3)]
    return GroupLearner(
        make_policy(), demonstrations, replace(CONFIG, **changes), seed=0, limit_s=12.0
    )


def weights(policy):
    return torch.cat([item.detach().flatten() for item in policy.parameters()])


def test_a_rejected_candidate_leaves_nothing_behind(unrated):
    group = [rollout(i, 0, steps=50 + i) for i in range(4)]
    first, second = learner(unrated), learner(unrated)
    before = weights(first.policy)
    first.propose(group)
    assert not torch.equal(before, weights(first.policy))
    first.settle(is_accepted=False)
    assert torch.equal(before, weights(first.policy))
    # the same again, from the state before: optimiser, average and random state went back too
    second.propose(group)
    second.settle(is_accepted=True)
    assert not torch.equal(before, weights(second.policy))


def test_it_repeats_to_the_bit(unrated):
    found = []
    for _ in range(2):
        one = learner(unrated)
        for number in range(2):
            one.propose([rollout(i, number, steps=60 - 5 * number + i) for i in range(4)])
            one.settle(is_accepted=number == 0)
        found.append(weights(one.policy))
    assert torch.equal(*found)


def test_the_standard_falls_and_the_pool_is_what_meets_it(unrated):
    one = learner(unrated, pool="regate")
    slow = one.propose([rollout(i, 0, steps=61) for i in range(4)])
    fast = one.propose([rollout(i, 1, steps=31) for i in range(9)])
    assert slow["standard_s"] == pytest.approx(2.0)
    assert slow["pool"] == 4  # the demonstrations are slower
    assert fast["standard_s"] == pytest.approx(1.0)
    assert fast["pool"] == 9


def test_a_group_of_failures_trains_nothing(unrated):
    one = learner(unrated)
    before = weights(one.policy)
    failed = [rollout(i, 0, outcome=Outcome.TRUNCATED) for i in range(4)]
    # with no standard yet every demonstration meets it, and is what remains to be learned
    assert one.propose(failed)["pool"] == 3
    strict = learner(unrated, pool="group")
    assert strict.propose(failed) == {
        "standard_s": None,
        "target_s": None,
        "chosen": 0,
        "pool": 0,
        "loss": None,
    }
    assert torch.equal(before, weights(strict.policy))


def test_ratings_by_hand_must_be_complete(unrated):
    one = learner(unrated, rule="manual", pool="all")
    with pytest.raises(SessionError, match="0-1"):
        one.propose([rollout(0, 0, labels={"advantage": 1.0}), rollout(1, 0)])
    rated = [rollout(i, 0, labels={"advantage": float(i)}) for i in range(3)]
    assert one.propose(rated)["pool"] == 2
