"""Before anything starts: one job per store, one graph per domain, room on the disk."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from factories import make_bag

from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.errors import ConfigError, SessionError, StoreError
from so101_bringup import claims
from so101_bringup import run_job as module
from so101_bringup.claims import check_store, claimed_domain, claimed_store
from so101_bringup.graph import GRAPHS
from so101_bringup.graph_options import GraphOptions
from so101_bringup.preparation import prepare
from so101_bringup.run_job import DISPLAY, awaiting_display, options_of, run_job

pytestmark = pytest.mark.ros


@pytest.fixture
def options(tmp_path):
    return GraphOptions(robot="sim", state=True, store=str(tmp_path / "run"))


@pytest.fixture
def started(monkeypatch):
    """Graphs that would have been started, with their options."""
    found = []

    def instead(graph, options, display, **others):
        found.append((graph, options))
        return 0

    monkeypatch.setattr(module, "_run_graph", instead)
    return found


def go(options):
    return run_job("rl", options, {}, say=print)


def test_a_second_job_on_the_same_store_is_refused(options, started, ros_domain):
    root = Path(options.store)
    with claimed_store(root), pytest.raises(StoreError, match="in use by another so101 job"):
        go(options)
    assert started == []
    assert go(options) == 0
    assert go(replace(options, store=f"{root}2")) == 0
    assert len(started) == 2


def test_somebody_elses_recorder_counts_too(options, started, ros_domain):
    """One that ros2 launch started, or one that a killed supervisor left behind."""
    store = EpisodeStore(Path(options.store) / "episodes")
    store.lock()
    with pytest.raises(StoreError, match="in use by another recorder"):
        go(options)
    store.close()
    assert go(options) == 0


def test_the_claim_is_held_while_the_graph_runs(options, monkeypatch, ros_domain):
    refused = []

    def instead(graph, options, display, **others):
        def second():
            try:
                go(options)
            except StoreError as error:
                refused.append(str(error))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        return 7

    monkeypatch.setattr(module, "_run_graph", instead)
    assert go(options) == 7
    assert len(refused) == 1


def test_a_second_graph_in_the_same_domain_is_refused(options, started, ros_domain):
    with claimed_domain(), pytest.raises(SessionError, match=f"domain {ros_domain}"):
        go(options)
    assert started == []


def test_options_that_make_no_graph_touch_nothing(options, started):
    with pytest.raises(ConfigError):
        go(replace(options, start="moon"))
    assert not Path(options.store).exists()


def test_too_little_room_and_unwritable_places_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        check_store(tmp_path / "file" / "run")
    monkeypatch.setattr(claims, "free_bytes", lambda path: 999_999_999)
    with pytest.raises(StoreError, match="1 GB"):
        check_store(tmp_path / "run")


def test_the_display_goes_on_from_what_the_store_holds(options, monkeypatch, ros_domain):
    make_bag(
        directory=options.paths.episodes / "20260102-030405-demo-0000",
        cameras=(),
        steps=31,
        outcome=Outcome.SUCCESS,
        episode="demo-0000",
        custom_data={"phase": "demonstrations"},
    )
    shown = []
    monkeypatch.setattr(module, "_run_graph", lambda *those, **_: shown.append(those[2]) or 0)
    run_job("rl", options, {"demonstrations": 4}, say=print)
    (line,) = shown[0].closing_lines()
    assert line.startswith("demonstrations  1/1 succeeded") and "median 1.0 s" in line


def test_misspelled_options_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'speed'"):
        options_of({"robot": "sim", "sped": 1.0})


class TestBagsOfSomebodyElse:
    @pytest.fixture
    def bags(self, tmp_path):
        for number in range(3):
            make_bag(
                directory=tmp_path / "theirs" / f"20260102-030405-demo-{number}",
                cameras=(),
                steps=5,
                outcome=Outcome.SUCCESS,
                episode=f"demo-{number}",
                custom_data={"phase": "demonstrations"},
            )
        return tmp_path / "theirs"

    def test_they_are_enough_for_the_first_training(self, options, started, bags, ros_domain):
        assert go(replace(options, episodes=str(bags))) == 0
        ((_, prepared),) = started
        assert prepared.demonstrations == 3
        assert len(EpisodeStore(Path(options.store) / "episodes").episodes()) == 3

    def test_more_can_be_asked_for(self, options, bags):
        asked = replace(options, episodes=str(bags), demonstrations=10)
        assert prepare(asked).demonstrations == 10

    def test_without_them_nothing_is_changed(self, options):
        assert prepare(options) is options
        assert not Path(options.store).exists()


def test_who_calls_the_roll_calls_the_display_too(options):
    nodes = {node.name: node for node in GRAPHS["record"](options)}
    peers = nodes["reward_node"].parameters["peers"]
    assert awaiting_display(nodes["reward_node"]).parameters["peers"] == (*peers, DISPLAY)
    assert awaiting_display(nodes["recorder_node"]) == nodes["recorder_node"]


@pytest.mark.parametrize("left", [{}, {"peers": ()}], ids=["a person's file", "nobody"])
def test_a_roll_that_is_not_ours_is_left_as_it_is(options, left):
    (node,) = (node for node in GRAPHS["record"](options) if node.name == "reward_node")
    other = {key: value for key, value in node.parameters.items() if key != "peers"} | left
    assert awaiting_display(replace(node, parameters=other)).parameters == other
