"""Groups of rollouts through the nodes: rolled out, learned from, judged; a restart goes on."""

from unittest.mock import ANY

import numpy as np
import pytest
from integration import graphs
from integration.conftest import SEED, START, STEPS, Job
from rclpy.context import Context
from rclpy.node import Node

from learner_node.algorithms.group_reinforce import GroupReinforceConfig
from learner_node.arena import Arena
from learner_node.group_learner import GroupLearner
from so101.data.labels.labels import read_labels
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig
from so101.episode import Outcome
from so101.episode_plan import EpisodePlan
from so101.events import LabelEvent
from so101.groups.exploration import draw_speed
from so101.groups.gate import Verdict, judge
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import latest
from so101.robot import JOINTS
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner
from so101.simulation.tasks.table import make_task
from so101.topics import LABEL

LIMIT_S = 4.0
ROLLOUTS = 2
GROUP_STEPS = 40
POSES = 1


def options_of(store, groups, gate):
    params = graphs.write_params(
        store.with_suffix(".yaml"),
        learner_node={
            "steps": STEPS,
            "group": {"steps": GROUP_STEPS},
            "gate": {"poses": POSES},
        },
        reward_node={"time_limit": LIMIT_S, "session": {"target_success": 0.0}},
    )
    return {
        "seed": SEED,
        "start": START,
        "demonstrations": 4,
        "evaluation_episodes": 1,
        "groups": groups,
        "rollouts": ROLLOUTS,
        "gate": gate,
        "params_file": params,
    }


def job(store, groups, gate):
    options = options_of(store, groups, gate)
    return Job(graphs.run("rl", store, **options), store, options)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """One group, behind the gate."""
    return job(tmp_path_factory.mktemp("groups") / "run", 1, "poses")


def checkpoints(store):
    """Return the supervised checkpoint and those of the groups."""
    root = store / "checkpoints"
    (supervised,) = (verify(path) for path in root.glob("sft-*/step_*"))
    return supervised, [verify(path) for path in sorted(root.glob("group-*/step_*"))]


def rollouts(store):
    return [e for e in graphs.episodes_of(store).values() if e.facts.phase == "rollouts"]


def test_a_group_is_rolled_out_learned_from_and_judged(first):
    assert first.run.code == 0, first.run.text
    assert "1 of 1 groups of 2 rollouts" in first.run.text
    supervised, (candidate,) = checkpoints(first.store)
    assert candidate.record.parent == supervised.sha256
    gate = candidate.record.gate
    assert (gate["group"], gate["evidence"]["poses"]) == (0, POSES)
    acting = latest(first.store / "checkpoints", "promoted")
    assert acting == (candidate if gate["accepted"] else supervised)
    assert [e.facts.rollout for e in rollouts(first.store)] == list(range(ROLLOUTS))


def test_what_came_of_it_is_evaluated_on_the_poses_of_before(first):
    """Bags of the phase evaluation, at playback 1; where nothing was accepted, once is enough."""
    supervised, _ = checkpoints(first.store)
    acting = latest(first.store / "checkpoints", "promoted")
    before, after = (trials(first.store, one) for one in (supervised, acting))
    assert [facts.seed for facts in before] == [facts.seed for facts in after]
    assert [facts.speed for facts in (*before, *after)] == [1.0] * len((*before, *after))
    summary = next(line for line in first.run.lines if line.startswith("summary"))
    is_changed = acting != supervised
    assert "afterwards" in summary and "of 1 evaluation episodes succeeded" in summary
    assert ("no policy was accepted" in summary) != is_changed


def trials(store, checkpoint):
    return [
        e.facts
        for e in graphs.episodes_of(store).values()
        if (e.facts.phase, e.facts.checkpoint) == ("evaluation", checkpoint.sha256)
    ]


def test_its_rollouts_are_those_of_a_run_in_process(first):
    supervised, _ = checkpoints(first.store)
    policy = load_policy(supervised.path, JOINTS, ())
    words = make_task("pick", START).instruction
    plan = EpisodePlan(seed=SEED, start=START, instruction=words)
    arena = Arena(plan, policy.spec, time_limit_s=LIMIT_S)
    for number, episode in enumerate(rollouts(first.store)):
        speed = draw_speed(SEED, 0, number, 1.5)
        facts = arena.plan.rollout(0, number, checkpoint=supervised.sha256, speed=speed)
        assert episode.facts == facts
        again = arena.roll_out(policy, facts)
        assert (again.outcome, len(again)) == (episode.outcome, len(episode))
        for name in ("positions", "commands", "actions", "objects"):
            np.testing.assert_allclose(
                getattr(again, name), getattr(episode, name), atol=1e-9, err_msg=name
            )
    arena.close()


def test_its_gate_says_what_the_same_poses_say_in_process(first):
    supervised, (candidate,) = checkpoints(first.store)
    policies = {one.sha256: load_policy(one.path, JOINTS, ()) for one in (supervised, candidate)}
    spec = policies[supervised.sha256].spec
    arena = Arena(EpisodePlan(seed=SEED, start=START), spec, time_limit_s=LIMIT_S)
    tried = {name: arena.try_out(policy, "gate", POSES) for name, policy in policies.items()}
    arena.close()
    gate = candidate.record.gate
    assert gate["tries"] == {
        name: [one.duration_s if one.is_success else None for one in tries]
        for name, tries in tried.items()
    }
    before = tried[supervised.sha256]
    verdict = judge(tried[candidate.sha256], before, before, margin=0.0, limit_s=LIMIT_S)
    assert Verdict.from_mapping(gate) == verdict
    assert verdict.reasons == ("inf s until done, the acting policy needs inf s",)  # too few steps
    assert latest(first.store / "checkpoints", "promoted") == supervised


def test_what_it_learned_is_what_is_learned_in_process(first):
    supervised, (candidate,) = checkpoints(first.store)
    policy = load_policy(supervised.path, JOINTS, ())
    recorded = graphs.episodes_of(first.store)
    learner = GroupLearner(
        policy,
        [recorded[episode.id] for episode in supervised.record.episodes],
        GroupReinforceConfig.for_policy(policy.spec, GROUP_STEPS),
        seed=SEED,
        limit_s=LIMIT_S,
        dataset=DatasetConfig(),
    )
    learner.propose(rollouts(first.store))
    learned = load_policy(candidate.path, JOINTS, ())
    for one, other in zip(learner.policy.parameters(), learned.parameters(), strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), atol=1e-6)


def test_the_same_command_with_one_group_more_goes_on_and_what_is_accepted_acts(first):
    before = [e.facts for e in graphs.episodes_of(first.store).values()]
    acting = latest(first.store / "checkpoints", "promoted")
    _, (judged,) = checkpoints(first.store)
    more = job(first.store, 2, "nothing")
    assert more.run.code == 0, more.run.text
    after = [e.facts for e in graphs.episodes_of(first.store).values()]
    assert after[: len(before)] == before
    *fresh, closing = after[len(before) :]
    assert [(facts.group, facts.checkpoint) for facts in fresh] == [(1, acting.sha256)] * ROLLOUTS
    _, (again, accepted) = checkpoints(first.store)
    assert again == judged  # the verdict on the first group stands
    assert accepted.record.parent == acting.sha256
    assert accepted.record.gate["accepted"]
    assert latest(first.store / "checkpoints", "promoted") == accepted
    assert (closing.phase, closing.checkpoint) == ("evaluation", accepted.sha256)
    entries = EpisodeStore(first.store / "episodes").episodes()
    assert Outcome.INCOMPLETE not in {entry.outcome for entry in entries}


def test_without_a_cell_a_candidate_acts_in_the_next_group_and_is_judged_there(tmp_path):
    made = job(tmp_path / "run", 2, "next_group")
    assert made.run.code == 0, made.run.text
    supervised, (judged,) = checkpoints(made.store)  # after the last group nothing is trained
    actors = [(e.facts.group, e.facts.checkpoint) for e in rollouts(made.store)]
    assert actors == [(0, supervised.sha256)] * ROLLOUTS + [(1, judged.sha256)] * ROLLOUTS
    gate = judged.record.gate
    assert (gate["group"], gate["judged_in"], gate["evidence"]["poses"]) == (0, 1, ROLLOUTS)
    accepted = judged if gate["accepted"] else supervised
    assert latest(made.store / "checkpoints", "promoted") == accepted
    assert trials(made.store, judged) == ([] if accepted is supervised else [ANY])


def test_people_rate_and_run_again_before_anything_is_learned(tmp_path):
    store = tmp_path / "run"
    names = [f"group-00-rollout-{number:02d}" for number in range(ROLLOUTS)]
    options = {**options_of(store, 1, "nothing"), "rule": "manual"}
    with graphs.running("rl", store, **options) as graph:
        waiting = graph.wait_for_line("waiting")
        assert all(name in waiting for name in names)
        episodes = EpisodeStore(store / "episodes")
        tell(graph.domain, said(names[0], outcome="discarded"), episodes)
        again = f"{names[0]}-2"
        assert again in graph.wait_for_line("waiting")
        assert not list((store / "checkpoints").glob("group-*"))
        for name, advantage in ((names[1], 0.0), (again, 1.0)):
            episodes.add_label(said(name, advantage=advantage))
        ended = graph.wait()
    assert ended.code == 0, ended.text
    _, (learned,) = checkpoints(store)
    assert learned.record.episodes[-1].id == again
    assert learned.record.metrics["pool"] == 1.0
    first, _, second = rollouts(store)
    assert (first.facts.seed, first.facts.speed) == (second.facts.seed, second.facts.speed)


def said(episode, **values):
    return LabelEvent(stamp_ns=1, episode=episode, rater="test", **values)


def tell(domain, label, episodes):
    """Say it on the label topic, again until it is written: the recorder listens there, too."""
    context = Context()
    context.init(args=[], domain_id=domain)
    node = Node("test_rater", context=context, use_global_arguments=False)
    endpoints, spinner = Endpoints(node), Spinner(node)
    endpoints.offer(LABEL)
    bag = episodes.find(label.episode).path
    for _ in range(20):
        endpoints.tell(LABEL, label)
        if spinner.spin_until(lambda: bool(read_labels(bag)), 1.5):
            break
    spinner.close()
    node.destroy_node()
    context.try_shutdown()
    assert set(read_labels(bag)) == {label}
