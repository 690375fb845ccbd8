"""Kill -9 at any moment: the session goes on or says why not; what was finished is kept."""

from random import Random

import pytest
from integration import graphs
from integration.conftest import SEED, START

from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import latest, list_checkpoints

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

ESSENTIAL = ("simulation", "teleop", "intervention", "motion", "recorder", "reward")
RESPAWNED = ("policy", "learner")
ROUNDS = range(3)
LIMIT_S = 3.0
EXIT_WITHIN_S = 5.0


RECORDING = {"seed": SEED, "start": START, "demonstrations": 3}


def learning(tmp_path, **learner):
    params = graphs.write_params(
        tmp_path / "params.yaml",
        learner_node={"steps": 300, **learner},
        reward_node={"time_limit": LIMIT_S, "session": {"target_success": 0.0}},
    )
    return {**RECORDING, "evaluation_episodes": 3, "groups": 0, "params_file": params}


def finished(store):
    """Return the outcome and size of every whole episode by id."""
    return {
        entry.facts.id: (entry.outcome, entry.messages)
        for entry in EpisodeStore(store / "episodes").episodes()
        if not entry.is_incomplete
    }


def check_store(store, before):
    """Nothing that was finished is gone or changed, and every bag is whole."""
    after = finished(store)
    assert {name: after.get(name) for name in before} == before
    for checked in EpisodeStore(store / "episodes").verify():
        assert checked.problems == () or checked.entry.is_incomplete, checked


@pytest.mark.case(46)
@pytest.mark.parametrize("trial", ROUNDS)
@pytest.mark.parametrize("node", ESSENTIAL)
def test_a_killed_node_that_is_needed_ends_the_session_which_then_goes_on(tmp_path, node, trial):
    store = tmp_path / "run"
    random = Random(f"{node} {trial}")
    with graphs.running("record", store, **RECORDING) as graph:
        graph.wait_for_line("demo-0000")
        graph.spend(random.uniform(0.0, 2.0))
        graph.kill(f"{node}_node.node")
        killed = graph.wait(30.0)
        graphs.wait_until(lambda: graph.pids() == [])
    assert killed.code != 0
    assert f"{node}_node was killed by SIGKILL" in killed.text
    before = finished(store)
    assert "demo-0000" in before
    again = graphs.run("record", store, **RECORDING)
    assert again.code == 0, again.text
    check_store(store, before)
    good = [outcome for outcome, _ in finished(store).values()].count(Outcome.SUCCESS)
    assert good == RECORDING["demonstrations"]


@pytest.mark.case(17, 46)
@pytest.mark.parametrize("trial", ROUNDS)
@pytest.mark.parametrize("node", RESPAWNED)
def test_a_killed_learning_process_comes_back_and_the_session_goes_on(tmp_path, node, trial):
    """Whenever it dies: while others demonstrate, while it works, while others evaluate."""
    store = tmp_path / "run"
    with graphs.running("rl", store, **learning(tmp_path)) as graph:
        graph.wait_for_line(("demo-0000", "fine-tuning", "eval-")[trial])
        graph.kill(f"{node}_node.node")
        ended = graph.wait(300.0)
    assert ended.code == 0, ended.text
    assert "of 3 evaluation episodes" in ended.text
    check_store(store, {})
    assert latest(store / "checkpoints", "promoted") is not None  # asked for while it was away
    for entry in EpisodeStore(store / "episodes").episodes():  # no crash counts as a failure
        assert entry.outcome is not Outcome.TRUNCATED or entry.duration_s >= LIMIT_S - 0.1


@pytest.mark.case(17, 46)
@pytest.mark.parametrize("node", RESPAWNED)
@pytest.mark.parametrize("moment", ["group-00-rollout-00", "reading", "steps", "gate"])
def test_a_process_killed_in_a_group_comes_back_and_the_gate_still_decides(tmp_path, node, moment):
    store = tmp_path / "run"
    options = {
        **learning(tmp_path, group={"steps": 300}, gate={"poses": 4}),
        "groups": 1,
        "rollouts": 2,
    }
    with graphs.running("rl", store, **options) as graph:
        graph.wait_for_line(
            "group-00-rollout-00" if moment == "group-00-rollout-00" else "group 0"
        )
        if moment in ("steps", "gate"):
            graph.wait_for_line(moment)
        graph.kill(f"{node}_node.node")
        ended = graph.wait(300.0)
    assert ended.code == 0, ended.text
    assert "1 of 1 groups of 2 rollouts" in ended.text
    check_store(store, {})
    root = store / "checkpoints"
    (candidate,) = (verify(path) for path in root.glob("group-*/step_*"))
    is_promoted = latest(root, "promoted").sha256 == candidate.sha256
    assert is_promoted == candidate.record.gate["accepted"]


@pytest.mark.case(46)
@pytest.mark.parametrize("node", RESPAWNED)
@pytest.mark.parametrize("moment", ["group-00-rollout", "steps", "group-01-rollout", "group 1"])
def test_a_process_killed_while_a_candidate_is_on_trial_changes_no_verdict(tmp_path, node, moment):
    """Without a cell: while it is trained, while it acts, and while its rollouts judge it."""
    store = tmp_path / "run"
    options = {
        **learning(tmp_path, group={"steps": 300}),
        "groups": 3,
        "rollouts": 2,
        "gate": "next_group",
    }
    with graphs.running("rl", store, **options) as graph:
        if moment == "steps":
            graph.wait_for_line("group 0")
        graph.wait_for_line(moment)
        graph.kill(f"{node}_node.node")
        ended = graph.wait(300.0)
    assert ended.code == 0, ended.text
    assert "3 of 3 groups of 2 rollouts" in ended.text
    check_store(store, {})
    check_who_acted(store, options["rollouts"])


@pytest.mark.case(46)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", ["group-01-rollout-00", "group 1"])
@pytest.mark.parametrize("node", [*ESSENTIAL, *RESPAWNED, "supervisor"])
def test_whatever_dies_in_a_group_the_same_command_ends_it_and_nothing_is_lost(
    tmp_path, node, moment
):
    """While what group 0 taught acts, accepted as it is; while it is judged and trained on."""
    store = tmp_path / "run"
    options = {
        **learning(tmp_path, steps=100, group={"steps": 100}),
        "evaluation_episodes": 1,
        "groups": 3,
        "rollouts": 2,
        "gate": "nothing" if moment == "group-01-rollout-00" else "next_group",
    }
    with graphs.running("rl", store, **options) as graph:
        graph.wait_for_line(moment, 300.0)
        graph.spend(Random(f"{node} {moment}").uniform(0.0, 1.0))
        before, allowed = finished(store), may_act(store)
        graph.kill("session_driver.py" if node == "supervisor" else f"{node}_node.node")
        killed = graph.wait(300.0)
        graphs.wait_until(lambda: graph.pids() == [])
    assert (killed.code == 0) == (node in RESPAWNED), killed.text
    again = graphs.run("rl", store, 300.0, **options)
    assert again.code == 0, again.text
    assert "3 of 3 groups of 2 rollouts" in again.text
    assert {"demo-0000", "group-00-rollout-00", "group-00-rollout-01"} <= before.keys()
    check_store(store, before)
    assert len(allowed) == (2 if options["gate"] == "nothing" else 1)
    assert allowed.items() <= may_act(store).items()
    check_who_acted(store, options["rollouts"])


def may_act(store):
    """Return the path of every whole checkpoint that is supervised or accepted, by its weights."""
    found = [listing.checkpoint for listing in list_checkpoints(store / "checkpoints")]
    return {
        one.sha256: one.path
        for one in filter(None, found)
        if one.path.parent.name.startswith("sft-") or (one.record.gate or {}).get("accepted")
    }


def check_who_acted(store, rollouts):
    """In every group one policy made all that counts: one on trial there, or an accepted one."""
    root = store / "checkpoints"
    (supervised,) = (verify(path) for path in root.glob("sft-*/step_*"))
    verdicts = {one.sha256: one.record.gate for one in map(verify, root.glob("group-*/step_*"))}
    accepted = [supervised.sha256, *(sha for sha, gate in verdicts.items() if gate["accepted"])]
    assert latest(root, "promoted").sha256 in accepted
    actors = {}
    for entry in EpisodeStore(store / "episodes").episodes():
        facts = entry.facts
        is_left_behind = entry.is_incomplete or entry.outcome is Outcome.DISCARDED
        if facts.phase == "rollouts" and not is_left_behind:
            actors.setdefault(facts.group, []).append(facts.checkpoint)
            on_trial = verdicts.get(facts.checkpoint, {}).get("judged_in") == facts.group
            assert facts.checkpoint in accepted or on_trial, facts
    assert sorted(actors) == [0, 1, 2]
    assert all(len(acted) == rollouts and len({*acted}) == 1 for acted in actors.values()), actors


@pytest.mark.parametrize(
    "moment", ["demo-0001", "reading", "fine-tuning", "eval-", "group-00", "gate"]
)
def test_ctrl_c_at_any_stage_ends_within_seconds_and_the_same_command_goes_on(tmp_path, moment):
    store = tmp_path / "run"
    options = {
        **learning(tmp_path, group={"steps": 300}, gate={"poses": 4}),
        "groups": 1,
        "rollouts": 2,
    }
    with graphs.running("rl", store, **options) as graph:
        graph.wait_for_line(moment, 300.0)
        before = finished(store)
        assert graph.interrupt() < EXIT_WITHIN_S
        stopped = graph.wait()
        graphs.wait_until(lambda: graph.pids() == [])
    assert stopped.code == 130, stopped.text
    assert "the same command goes on" in stopped.text
    again = graphs.run("rl", store, 300.0, **options)
    assert again.code == 0, again.text
    assert "1 of 1 groups of 2 rollouts" in again.text
    check_store(store, before)


@pytest.mark.case(46)
@pytest.mark.parametrize("trial", ROUNDS)
def test_a_killed_supervisor_leaves_no_process_behind(tmp_path, trial):
    store = tmp_path / "run"
    with graphs.running("record", store, **RECORDING) as graph:
        graph.wait_for_line("demo-0000")
        graph.spend(0.3 * trial)
        before = finished(store)
        graph.kill("session_driver.py")
        graphs.wait_until(lambda: graph.pids() == [], 10.0)
    check_store(store, before)
    assert graphs.run("record", store, **RECORDING).code == 0
