"""A session under a person's hands: Ctrl-C, a second instance, the e-stop, bad input."""

import os
import stat
from collections import deque

from integration import graphs
from integration.conftest import SEED, START

from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import ControlSource, EpisodeState, Outcome
from so101.errors import SessionError
from so101.events import ControlEvent, EpisodeEvent, RewardEvent
from so101.ros.client import GraphClient
from so101.status_events import SessionStatus
from so101.topics import CONTROL_SOURCE, EPISODE, REWARD, SESSION_STATUS

OPTIONS = {"seed": SEED, "start": START, "demonstrations": 4}
EXIT_WITHIN_S = 5.0


def outcomes_of(store):
    return [entry.outcome for entry in EpisodeStore(store / "episodes").episodes()]


class Watch:
    """A person's console on a running graph."""

    def __init__(self, domain, monkeypatch):
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        self.client = GraphClient("test_watch")
        self.events = deque()
        self.client.follow(EPISODE, EpisodeEvent, self.events.append)

    def has_recovered(self):
        """Ask for the way out of the e-stop, which is refused while the arm still moves."""
        return self.says("arm/recover", "recovered")

    def says(self, service, word):
        """Call a service that may not be possible yet; tell whether it answered with a word."""
        try:
            return word in self.client.call(service)
        except SessionError:
            return False

    def release_teleoperation(self):
        """Give control back: the arm holds, until the script acts again."""
        changes = []
        self.client.follow(CONTROL_SOURCE, ControlEvent, changes.append)
        graphs.wait_until(lambda: self.says("intervention/release", "released"))

        def has_come_back():
            held = [n for n, change in enumerate(changes) if change.reason == "released"]
            later = changes[held[0] :] if held else []
            return ControlSource.TELEOP in [change.source for change in later]

        assert self.client.spinner.spin_until(has_come_back, graphs.PATIENCE_S)
        (released,) = (change for change in changes if change.reason == "released")
        assert released.source is ControlSource.HOLD

    def pause_and_go_on(self):
        """Pause: the episode at hand ends and none begins. Then let the session go on."""

        def is_paused(status):
            return "the session is paused" in status.waiting

        assert self.client.call("session/pause", True) == "paused after this episode"
        self.client.wait_for(SESSION_STATUS, SessionStatus, is_paused, graphs.PATIENCE_S)
        ends = [event.state.is_end for event in self.events]
        assert ends[-1]
        assert ends.count(True) <= 2  # one more may have ended while the call was on its way
        assert self.client.call("session/pause", False) == "going on"

    def take_back_resets(self, count):
        """Discard episodes before they begin: the next one has the same start."""
        for _ in range(count):
            self.wait_for(EpisodeState.RESETTING)
            self.client.call("episode/discard")

    def wait_for(self, state):
        """Return the next event of a state."""
        while True:
            while self.events:
                event = self.events.popleft()
                if event.state is state:
                    return event
            assert self.client.spinner.spin_until(lambda: bool(self.events), graphs.PATIENCE_S)


def refuse_a_second(store):
    """The store of a running session belongs to it."""
    refused = graphs.run("record", store, **OPTIONS)
    assert refused.code == 2
    (line,) = refused.errors
    assert "in use" in line and str(store) in line


def test_a_session_that_is_interrupted_disturbed_and_stopped_goes_on(tmp_path, monkeypatch):
    """One long story, because every graph takes seconds to start."""
    store = tmp_path / "run"
    endless = {**OPTIONS, "demonstrations": 1000}
    with graphs.running("record", store, **endless) as graph:
        graph.wait_for_line("demo-0000")
        refuse_a_second(store)
        assert graph.interrupt() < EXIT_WITHIN_S
        graphs.wait_until(lambda: graph.pids() == [], EXIT_WITHIN_S)
        stopped = graph.wait()
    assert stopped.code == 130
    assert "the same command goes on" in stopped.text
    finished = outcomes_of(store)
    assert finished.count(Outcome.SUCCESS) >= 1

    wanted = finished.count(Outcome.SUCCESS) + 3
    params = graphs.write_params(tmp_path / "params.yaml", reward_node={"wait_bound": 3.0})
    options = {**OPTIONS, "demonstrations": wanted, "params_file": params}
    with graphs.running("record", store, **options) as graph:
        watch = Watch(graph.domain, monkeypatch)
        running = watch.wait_for(EpisodeState.RUNNING)
        rewards = []
        watch.client.follow(REWARD, RewardEvent, rewards.append)
        assert watch.client.spinner.spin_until(lambda: len(rewards) > 5, graphs.PATIENCE_S)
        assert watch.client.call("arm/estop", True) == "stopping"
        cut = watch.wait_for(EpisodeState.TRUNCATED)
        assert cut.facts == running.facts
        assert "estopped" in cut.reason and "arm/recover, then arm/arm" in cut.reason
        assert cut.facts.id in graph.wait_for_line("truncated")
        graphs.wait_until(watch.has_recovered)
        assert watch.events == deque()  # nothing begins before a person arms the arm
        watch.client.call("arm/arm", True)
        assert watch.wait_for(EpisodeState.RUNNING).facts.id != cut.facts.id
        watch.release_teleoperation()
        watch.pause_and_go_on()
        watch.take_back_resets(2)
        watch.client.close()
        ended = graph.wait()
    assert ended.code == 0, ended.text
    assert "fell silent" not in ended.text
    after = outcomes_of(store)
    assert after[: len(finished)] == finished
    assert after.count(Outcome.SUCCESS) == wanted
    assert after.count(Outcome.TRUNCATED) == finished.count(Outcome.TRUNCATED) + 1
    episode = read_episode(EpisodeStore(store / "episodes").find(cut.facts.id).path)
    assert len(episode) > 5
    assert episode.truncated[-1] and not episode.terminated.any()
    for checked in EpisodeStore(store / "episodes").verify():
        is_cut = checked.entry.outcome is Outcome.INCOMPLETE
        assert is_cut or checked.problems == ()


def test_an_unknown_parameter_is_refused_before_anything_moves(tmp_path):
    params = graphs.write_params(tmp_path / "mine.yaml", motion_node={"spede": 0.3})
    refused = graphs.run("record", tmp_path / "run", params_file=params, **OPTIONS)
    assert (refused.code, len(refused.errors)) == (2, 1)
    for word in ("mine.yaml", "motion_node", "'spede'", "did you mean 'speed'"):
        assert word in refused.errors[0]
    assert not (tmp_path / "run" / "logs").exists()  # no node was started


def test_a_section_for_a_node_that_does_not_exist_is_refused(tmp_path):
    params = graphs.write_params(tmp_path / "mine.yaml", motion_nod={"speed": 0.3})
    refused = graphs.run("record", tmp_path / "run", params_file=params, **OPTIONS)
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert "motion_nod" in refused.errors[0] and "did you mean" in refused.errors[0]


def test_a_store_that_cannot_be_written_is_refused(tmp_path):
    locked = tmp_path / "locked"
    if os.geteuid() == 0:  # root may write anywhere; a file in the way stops it too
        locked.write_text("")
    else:
        locked.mkdir()
        locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    refused = graphs.run("record", locked / "run", **OPTIONS)
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert str(locked / "run") in refused.errors[0] and "cannot be written" in refused.errors[0]


def test_cameras_without_opengl_are_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    refused = graphs.run("record", tmp_path / "run", state=False, **OPTIONS)
    assert refused.code == 2
    (line,) = (line for line in refused.lines if "libegl1" in line)
    assert "simulation_node" in line and "no OpenGL" in line
