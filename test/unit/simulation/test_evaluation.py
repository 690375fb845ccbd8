"""Evaluation in process: the session's own episodes, counted honestly."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_node.session import Load, Session, SessionConfig, StartEpisode
from so101.episode import Outcome
from so101.errors import ConfigError
from so101.evaluation import (
    Evaluation,
    EvaluationConfig,
    Trial,
    evaluate,
    in_seed_order,
    trial_facts,
)
from so101.policies.hold_policy import HoldPolicy
from so101.policies.policy_planner import PolicyPlanner
from so101.spec import PolicySpec
from so101.statistics import wilson_interval

SHA = "ab" * 32
outcomes = st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED])
trials = st.builds(
    lambda seed, outcome, duration_s, kind: Trial(
        seed=seed,
        outcome=outcome,
        duration_s=duration_s,
        kind="" if outcome is Outcome.SUCCESS else kind,
    ),
    st.integers(0, 10**9),
    outcomes,
    st.floats(0.0, 12.0),
    st.sampled_from(["missed_grasp", "dropped", ""]),
)


@given(seed=st.integers(0, 1_000_000), start=st.sampled_from(["small", "std", "wide"]))
def test_the_episodes_are_those_of_the_session(seed, start):
    """Asked through its public face, the session names the very same episodes."""
    count = 3
    settings = SessionConfig(job="evaluate", seed=seed, start=start, evaluation_episodes=count)
    session = Session(settings)
    assert isinstance(session.next(), Load)
    session.on_loaded(SHA)
    config = EvaluationConfig(episodes=count, seed=seed, start=start)
    for number in range(count):
        request = session.next()
        assert isinstance(request, StartEpisode)
        assert request.facts == trial_facts(config, number, SHA)
        session.on_episode(Outcome.FAILURE, 1.0)


@given(st.lists(trials, max_size=30))
def test_everything_is_counted_once(found):
    evaluation = in_seed_order(found)
    assert sorted(t.seed for t in found) == [t.seed for t in evaluation.trials]
    assert evaluation.successes + sum(evaluation.failures.values()) == len(found)
    assert evaluation.interval == wilson_interval(evaluation.successes, len(found))
    assert (evaluation.median_s is None) == (evaluation.successes == 0)
    values = json.loads(json.dumps(evaluation.to_mapping(), allow_nan=False))
    assert values["successes"] == evaluation.successes
    assert len(values["trials"]) == values["episodes"] == len(found)
    assert f"{evaluation.successes}/{len(found)}" in evaluation.lines()[0]


def test_failures_come_by_kind_commonest_first():
    kinds = ["dropped", "missed_grasp", "missed_grasp", ""]
    found = [
        Trial(seed=i, outcome=Outcome.TRUNCATED, duration_s=12.0, kind=kind)
        for i, kind in enumerate(kinds)
    ]
    evaluation = Evaluation(trials=tuple(found))
    assert list(evaluation.failures.items()) == [
        ("missed_grasp", 2),
        ("dropped", 1),
        ("truncated", 1),
    ]


def test_the_null_policy_scores_zero():
    said = []
    policy = HoldPolicy(PolicySpec(uses_objects=True))
    evaluation = evaluate(policy, EvaluationConfig(episodes=2, seed=1), on_trial=said.append)
    assert tuple(said) == evaluation.trials
    assert evaluation.successes == 0
    assert evaluation.failures == {"never_touched": 2}
    assert evaluation.median_s is None
    assert [trial.duration_s for trial in said] == pytest.approx([12.0, 12.0])


def test_noise_is_that_of_the_policy_node():
    """The policy node seeds with (run, episode, chunk); so does the planner."""
    from contracts.policy_factories import make_observation, make_policy

    from so101.policies.wrappers.seeded_noise import SeededNoise

    policy, observation = make_policy(), make_observation()
    planner = PolicyPlanner(policy, run_seed=4)
    for number in (0, 1):
        facts = trial_facts(EvaluationConfig(seed=4), number)
        node = SeededNoise(policy, 4, facts.seed)
        planner.begin(facts)
        for _ in range(3):
            ours = planner.plan(observation).positions
            np.testing.assert_array_equal(ours, node.infer(observation).chunk.positions)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"episodes": 0}, "episodes=0"),
        ({"seed": -1}, "seed=-1"),
        ({"start": "moon"}, "moon"),
        ({"task": "dance"}, "dance"),
    ],
)
def test_what_cannot_be_run_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        EvaluationConfig(**values)
