"""Time that waits for nobody, as on a robot: silence stops the arm, a person takes it and gives it
back, a broken checkpoint is refused, and the way home goes around what would be collided with.
"""

import os
import signal
from collections import Counter

import numpy as np
import pytest
from contracts.policy_factories import make_policy
from integration import graphs
from integration.conftest import SEED, START
from rclpy.context import Context
from rclpy.node import Node

from so101.clock import nanoseconds
from so101.episode import SOURCE_CODES, ControlSource, EpisodeState, Outcome
from so101.errors import CollidingLineError, SessionError
from so101.events import ControlEvent, EpisodeEvent
from so101.kinematics.collision import CollisionModel
from so101.kinematics.planner import plan_line
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.robot import so101
from so101.ros.client import GraphClient
from so101.ros.convert import from_joint_command, to_header, to_joint_trajectory
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner
from so101.status_events import CheckpointEvent, PolicyInfo
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    POLICY_CHECKPOINT,
    POLICY_INFO,
    TELEOP_ALIVE,
    TELEOP_TRAJECTORY,
)
from so101_bringup.doctor.live_rounds import look_at_graph

ROBOT, COLLISION = so101(), CollisionModel()
HIGH = np.array([-0.51, -0.96, 0.69, 1.47, -0.59, 0.1])
FOLDED = np.array([-1.05, -1.65, 1.49, 1.14, -0.49, 0.45])
"""From here the straight line home leads the gripper through the shoulder."""

OFF_LINE_RAD = 0.05
"""Joints follow through the gate each by itself, so they may be off the straight line [rad]."""

SILENCE_S = 0.8
"""Longer than a busy machine holds up a node that is alive [s]."""


class Person:
    """Somebody with a gamepad beside a running graph."""

    def __init__(self, domain, monkeypatch):
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        self.client = GraphClient("test_person")
        self._context = Context()
        self._context.init(args=[], domain_id=domain)
        self._node = Node("test_gamepad", context=self._context, use_global_arguments=False)
        self._endpoints, self._spinner = Endpoints(self._node), Spinner(self._node)
        self._endpoints.offer(TELEOP_TRAJECTORY, TELEOP_ALIVE, POLICY_CHECKPOINT)
        self._endpoints.listen(JOINT_COMMANDS, self._on_command)
        self._endpoints.hear(CONTROL_SOURCE, ControlEvent, self._on_control)
        self._endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        self._endpoints.hear(POLICY_INFO, PolicyInfo, self._on_policy)
        self._node.create_timer(0.03, self._on_timer)
        self.now_ns, self.command = 0, None
        self.holds, self.control, self.episode, self.policy = False, None, None, None

    def _on_command(self, message):
        self.now_ns, self.command = from_joint_command(message)

    def _on_control(self, event):
        self.control = event

    def _on_episode(self, event):
        self.episode = event

    def _on_policy(self, info):
        self.policy = info

    def _on_timer(self):
        if self.holds:
            self._endpoints.publish(TELEOP_ALIVE, to_header(self.now_ns))

    def hears(self, holds, timeout_s):
        return self._spinner.spin_until(holds, timeout_s)

    def until(self, holds):
        assert self.hears(holds, graphs.PATIENCE_S), (self.control, self.episode)

    def until_control(self, source, word=""):
        self.until(lambda: self.control.source is source and word in self.control.reason)
        return self.control

    def announce(self, checkpoint):
        event = CheckpointEvent(
            stamp_ns=0, path=str(checkpoint.path), sha256=checkpoint.sha256, role="promoted"
        )
        self._endpoints.tell(POLICY_CHECKPOINT, event)

    def take_over(self):
        self.client.call("intervention/take_over")
        self.holds = True

    def release(self):
        self.client.call("intervention/release")
        self.holds = False

    def move_to(self, goal):
        """Lead the arm along the straight line from now on, and be there."""
        graphs.wait_until(lambda: self.is_still_for(0.1))
        line = plan_line(self.command, goal, ROBOT, COLLISION, speed=0.5, stamp_ns=0)
        self._endpoints.publish(TELEOP_TRAJECTORY, to_joint_trajectory(line))
        self.until(lambda: self.is_at(goal))

    def is_at(self, goal):
        return np.abs(self.command - goal).max() < 1e-6

    def is_still_for(self, duration_s):
        """Watch the command for a while of simulated time."""
        began_ns, before = self.now_ns, self.command
        self.until(lambda: self.now_ns >= began_ns + nanoseconds(duration_s))
        return np.abs(self.command - before).max() < 1e-5

    def close(self):
        self.client.close()
        self._spinner.close()
        self._node.destroy_node()
        self._context.try_shutdown()


def refuse_another_graph(domain, store):
    """Two simulated arms behind the same topics would be one arm that jumps."""
    second = graphs.RunningGraph("up", domain, {"state": True, "store": str(store)})
    refused = second.wait()
    second.end()
    assert refused.code == 2
    assert f"ROS domain {domain}" in refused.text


def refuse_a_broken_checkpoint(person, made, tmp_path):
    """What runs, runs on, and the policy says what is wrong with the newcomer."""
    person.until(lambda: person.policy and person.policy.checkpoint == made.sha256)
    record = TrainingRecord(algorithm="sft", step=1)
    broken = save_checkpoint(tmp_path, "broken", make_policy(seed=1), record)
    weights = bytearray((broken.path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken.path / "model.safetensors").write_bytes(weights)
    person.announce(broken)
    person.until(lambda: "model.safetensors" in person.policy.waiting_for)
    assert str(broken.path) in person.policy.waiting_for
    assert person.policy.checkpoint == made.sha256


def start_episode(person):
    """Start one by hand as soon as robot and policy are ready, and be there when it runs.

    The topic says whether it runs: an answer can be lost, and who asks again is then refused.
    """
    before = person.episode and person.episode.facts.id
    refusals = []

    def runs():
        now = person.episode
        is_another = now is not None and now.facts.id != before
        return is_another and now.state is EpisodeState.RUNNING

    def has_started():
        try:
            person.client.call("episode/start")
            person.until(runs)
        except SessionError as refusal:
            refusals.append(str(refusal))
        return person.hears(runs, 0.02)

    graphs.wait_until(has_started, graphs.PATIENCE_S, lambda: f"refused: {Counter(refusals)}")


@pytest.mark.case(18, 22, 42)
def test_a_silent_policy_a_person_in_between_and_a_way_home_around(tmp_path, monkeypatch):
    """One long story, because every graph takes seconds to start."""
    store = tmp_path / "run"
    record = TrainingRecord(algorithm="sft", step=0)
    free = {"lockstep": False}
    made = save_checkpoint(tmp_path, "made", make_policy(), record)
    options = {
        "seed": SEED,
        "start": START,
        "speed": 2.0,
        "checkpoint": str(made.path),
        "params_file": graphs.write_params(
            tmp_path / "params.yaml",
            simulation_node=free,
            intervention_node={**free, "teleop_device": "gamepad", "alive_timeout": SILENCE_S},
            reward_node={"time_limit": 600.0},
        ),
    }
    with graphs.running("up", store, **options) as graph:
        graphs.wait_until(lambda: graph.pids("policy_node.node") != [])
        refuse_another_graph(graph.domain, tmp_path / "other")
        person = Person(graph.domain, monkeypatch)
        refuse_a_broken_checkpoint(person, made, tmp_path)
        start_episode(person)
        person.until_control(ControlSource.POLICY)
        ask_the_doctor(made)
        silence(graph, person)
        intervene(person)
        assert person.client.call("episode/success") == "success"
        end_of_the_way(person)
        person.close()
        assert graph.interrupt() < 5.0
    check_bag(store, made)


def ask_the_doctor(made):
    """He hears who acts, how long its chunks are and how often it decides."""
    policy, latency = look_at_graph("")
    print(policy, latency, sep="\n")
    assert made.sha256[:12] in policy.text
    space = make_policy().spec.action_space
    assert latency.numbers["chunk_s"] == pytest.approx(space.horizon / space.rate_hz)
    assert latency.numbers["decision_s"] >= space.execute_steps / space.rate_hz - 1e-6


def silence(graph, person):
    """The process that hangs loses control, the arm stands, and gets it back when it acts."""
    (pid,) = graph.pids("policy_node.node")
    os.kill(pid, signal.SIGSTOP)
    try:
        held = person.until_control(ControlSource.HOLD, "policy was silent for")
        silent_s = float(held.reason.split()[-2])
        assert SILENCE_S < silent_s < SILENCE_S + 1.0  # later where the arbiter itself is held up
        person.until(lambda: person.now_ns >= held.stamp_ns + nanoseconds(0.5))
        assert person.is_still_for(0.5)
    finally:
        os.kill(pid, signal.SIGCONT)
    person.until_control(ControlSource.POLICY)


def intervene(person):
    """Take the arm from the policy, lead it, give it back; and once more."""
    person.take_over()
    person.until_control(ControlSource.HOLD, "takeover")
    person.move_to(HIGH)
    assert person.control.source is ControlSource.TELEOP
    assert person.is_still_for(0.2)  # the policy goes on planning, and is not let through
    person.release()
    person.until_control(ControlSource.POLICY)
    assert not person.is_still_for(0.5)
    person.take_over()
    person.until_control(ControlSource.HOLD, "takeover")
    person.move_to(HIGH)
    person.move_to(FOLDED)


def end_of_the_way(person):
    """While a person has the arm it does not go home; then it does, around what is in the way."""
    person.until(lambda: person.episode.state.is_end)
    with pytest.raises(CollidingLineError, match="shoulder and gripper would come within"):
        plan_line(person.command, ROBOT.home, ROBOT, COLLISION, stamp_ns=0)
    assert "moving home within" in person.client.call("motion/home")
    assert person.is_still_for(0.2)
    person.release()
    person.until_control(ControlSource.HOLD, "released")
    assert "moving home within" in person.client.call("motion/home")
    person.until_control(ControlSource.MOTION)
    person.until(lambda: person.is_at(ROBOT.home))
    assert person.client.call("motion/home") == "already home"


def check_bag(store, made):
    """Who acted when, what the person wished and what was executed are in the episode."""
    (episode,) = graphs.episodes_of(store).values()
    assert (episode.outcome, episode.facts.checkpoint) == (Outcome.SUCCESS, made.sha256)
    changes = np.flatnonzero(np.diff(episode.sources)) + 1
    acted = [int(episode.sources[at]) for at in (0, *changes)]
    policy, teleop, hold = (
        SOURCE_CODES[source]
        for source in (ControlSource.POLICY, ControlSource.TELEOP, ControlSource.HOLD)
    )
    acted = [one for one in acted if one != hold]
    assert acted == [policy, policy, teleop, policy, teleop]
    first, second = episode.interventions()
    follows_the_line(episode, *first, HIGH)
    for (begin, end), goal in ((first, HIGH), (second, FOLDED)):
        executed = episode.actions[begin:end]
        assert np.abs(executed - goal).max(axis=1).min() < 1e-5
    assert any(begin <= stamp_row(episode, stamp) for stamp in episode.planned)


def follows_the_line(episode, begin, end, goal):
    """What was executed is on the way that the person wished, however late it came."""
    wished = episode.wishes[begin:end]
    wished = wished[np.isfinite(wished).all(axis=1)]
    assert len(wished) > 10
    start, way = wished[0], goal - wished[0]
    executed = episode.actions[begin:end]
    shares = np.clip((executed - start) @ way / (way @ way), 0.0, 1.0)
    assert shares.max() > 0.99
    assert np.abs(executed - start - shares[:, None] * way).max() < OFF_LINE_RAD


def stamp_row(episode, stamp_ns):
    return int(np.searchsorted(episode.stamps_ns, stamp_ns))
