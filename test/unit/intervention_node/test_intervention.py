"""Laws of the arbiter in its graph: what passes never depends on which topic was faster."""

from collections import deque
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intervention_node.intervention import Intervention
from intervention_node.params import InterventionParams
from so101.clock import NS_PER_S, POLICY_GRID
from so101.control.trajectory import JointTrajectory
from so101.decisions import after
from so101.episode import ControlSource, EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent
from so101.robot import JOINTS

ESTOP, TELEOP, MOTION, POLICY, HOLD = ControlSource
RESETTING, RUNNING, SUCCEEDED = (
    EpisodeState.RESETTING,
    EpisodeState.RUNNING,
    EpisodeState.SUCCEEDED,
)
TICKS = 8
POSE = np.zeros(len(JOINTS))
LONGEST_LATENCY_NS = NS_PER_S // 4


def trajectory(stamp_ns, ticks=16):
    times = [POLICY_GRID.stamp(POLICY_GRID.floor(stamp_ns) + k + 1) for k in range(ticks)]
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=JOINTS,
        times_ns=tuple(t - stamp_ns for t in times),
        positions=np.zeros((ticks, len(JOINTS))),
    )


def event(state, stamp_ns, source="teleop", name="demo-0000"):
    return EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=EpisodeFacts(id=name, source=source))


class Graph:
    """Everybody around the arbiter in lock-step; a topic keeps its order, topics race each other.

    Episodes are (source, policy ticks, whether a late chunk is under way, length of the motion
    home or 0).
    """

    def __init__(self, episodes, random):
        self.intervention = Intervention(InterventionParams())
        self.episodes = deque(episodes)
        self.random = random
        self.queues = {name: deque() for name in ("episode", "command", *ControlSource)}
        self.sim_ns = POLICY_GRID.stamp(3)
        self.number = -1
        self.expected, self.passed, self.late = [], [], []
        self.ended_at = None  # delivered end of the present episode
        self.begin_reset()

    def play(self):
        while any(self.queues.values()):
            self.deliver(self.random.choice([name for name, q in self.queues.items() if q]))
        return self

    def deliver(self, name):
        item = self.queues[name].popleft()
        if name == "episode":
            decisions = self.intervention.on_episode(item)
        elif name == "command":
            decisions = self.intervention.on_command(item, POSE)
        else:
            decisions = [(name, self.intervention.offer(name, item))]
        for source, ruling in decisions:
            if ruling.trajectory is not None:
                assert ruling.trajectory.source == source.value
                self.on_passed(source, ruling.trajectory)

    def on_passed(self, source, passed):
        """Let simulated time run as far as this trajectory grants it."""
        key = (source, passed.stamp_ns)
        if key in self.late:
            return
        self.passed.append(key)
        if source is MOTION:
            self.run_to(passed.stamp_ns + passed.times_ns[-1])
            self.begin_episode()
            return
        until_ns = after(passed.stamp_ns, TICKS)
        self.run_to(until_ns)
        if self.end_ns <= until_ns:
            self.end_episode(source, until_ns)
        else:
            self.plan(source, until_ns)

    def run_to(self, stamp_ns):
        while self.sim_ns < stamp_ns:
            self.sim_ns = after(self.sim_ns, 1)
            self.queues["command"].append(self.sim_ns)

    def plan(self, source, stamp_ns):
        self.expected.append((source, stamp_ns))
        self.queues[source].append(trajectory(stamp_ns))

    def begin_reset(self):
        self.number += 1
        source, _, _, motion = self.episodes[0]
        self.queues["episode"].append(
            event(RESETTING, self.sim_ns, source.value, f"e-{self.number}")
        )
        if motion:
            self.expected.append((MOTION, self.sim_ns))
            self.queues[MOTION].append(trajectory(self.sim_ns, motion))
        else:
            self.begin_episode()

    def begin_episode(self):
        source, ticks, _, _ = self.episodes[0]
        self.sim_ns = start_ns = self.sim_ns + 10 * NS_PER_S
        self.sim_ns = start_ns = POLICY_GRID.stamp(POLICY_GRID.ceil(start_ns))
        self.end_ns = after(start_ns, ticks)
        self.queues["command"].append(start_ns)
        self.queues["episode"].append(event(RUNNING, start_ns, source.value, f"e-{self.number}"))
        self.plan(source, start_ns)

    def end_episode(self, source, decision_ns):
        _, _, is_late, _ = self.episodes.popleft()
        if is_late:  # planned before its source heard of the end
            self.late.append((source, decision_ns))
            self.queues[source].append(trajectory(decision_ns))
        self.queues["episode"].append(
            event(SUCCEEDED, self.end_ns, source.value, f"e-{self.number}")
        )
        if self.episodes:
            self.begin_reset()


episodes = st.lists(
    st.tuples(
        st.sampled_from([TELEOP, POLICY]),
        st.integers(1, 30),
        st.booleans(),
        st.sampled_from([0, 1, 20]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=300)
@given(episodes=episodes, seed=st.integers(0, 2**32))
def test_the_same_trajectories_pass_in_every_order(episodes, seed):
    graph = Graph(episodes, Random(seed)).play()
    assert not graph.episodes  # nobody waits for somebody
    assert graph.passed == graph.expected


@pytest.fixture
def intervention():
    return Intervention(InterventionParams())


def rulings(decisions):
    return [(source, ruling) for source, ruling in decisions if ruling.trajectory is not None]


def running(intervention, source, stamp_ns=NS_PER_S):
    """Begin an episode and let the source's first chunk pass."""
    list(intervention.on_episode(event(RUNNING, stamp_ns, source.value)))
    list(intervention.on_command(stamp_ns, POSE))
    assert intervention.offer(source, trajectory(stamp_ns)).trajectory is not None
    return stamp_ns


@pytest.mark.parametrize("source", [TELEOP, POLICY])
@pytest.mark.parametrize("delay_ticks", [-8, 0, 8, 16])
def test_a_late_chunk_of_an_ended_episode_never_passes(intervention, source, delay_ticks):
    begun_ns = running(intervention, source)
    end_ns = after(begun_ns, 8)
    list(intervention.on_episode(event(SUCCEEDED, end_ns, source.value)))
    late = trajectory(after(end_ns, delay_ticks))
    assert intervention.offer(source, late).trajectory is None
    assert rulings(intervention.on_episode(event(RESETTING, end_ns, source.value))) == []
    assert intervention.offer(MOTION, trajectory(end_ns)).trajectory is not None
    next_ns = after(end_ns, 300)
    assert rulings(intervention.on_episode(event(RUNNING, next_ns, source.value))) == []
    assert intervention.offer(source, late).trajectory is None


@pytest.mark.parametrize("source", [TELEOP, POLICY])
def test_a_chunk_that_overtook_its_episode_passes_when_the_episode_arrives(intervention, source):
    begun_ns = running(intervention, source)
    list(intervention.on_episode(event(SUCCEEDED, after(begun_ns, 8), source.value)))
    next_ns = after(begun_ns, 300)
    assert intervention.offer(source, trajectory(next_ns)).trajectory is None
    passed = rulings(intervention.on_episode(event(RUNNING, next_ns, source.value)))
    assert [(who, ruling.trajectory.stamp_ns) for who, ruling in passed] == [(source, next_ns)]
    assert intervention.arbiter.source is source


def test_a_chunk_that_overtook_the_end_of_a_motion_passes_at_that_end(intervention):
    begun_ns = NS_PER_S
    intervention.offer(MOTION, trajectory(begun_ns, ticks=4))
    list(intervention.on_command(begun_ns, POSE))
    next_ns = after(begun_ns, 6)
    list(intervention.on_episode(event(RUNNING, next_ns, "policy")))
    ruling = intervention.offer(POLICY, trajectory(next_ns))
    assert (ruling.trajectory, ruling.reason) == (None, "motion has control")
    decisions = list(intervention.on_command(next_ns, POSE))
    assert [ruling.event.source for _, ruling in decisions] == [HOLD, POLICY]
    assert decisions[-1][1].trajectory.stamp_ns == next_ns


def test_the_script_releases_control_with_its_episode(intervention):
    begun_ns = running(intervention, TELEOP)
    assert intervention.arbiter.has_taken_over
    assert intervention.offer(MOTION, trajectory(begun_ns)).trajectory is None
    decisions = list(intervention.on_episode(event(SUCCEEDED, after(begun_ns, 8))))
    assert [r.event.source for _, r in decisions if r.event] == [HOLD, MOTION]
    assert [source for source, _ in rulings(decisions)] == [MOTION]
    assert not intervention.arbiter.has_taken_over


def test_the_script_never_acts_in_an_episode_of_the_policy(intervention):
    list(intervention.on_episode(event(RUNNING, NS_PER_S, "policy")))
    assert intervention.offer(TELEOP, trajectory(NS_PER_S)).reason == "not enabled"
    assert intervention.arbiter.source is HOLD


def test_a_person_takes_over_between_episodes_too_and_keeps_control():
    person = Intervention(InterventionParams(teleop_device="gamepad"))
    list(person.on_command(NS_PER_S, POSE))
    person.take_over()
    assert person.offer(TELEOP, trajectory(NS_PER_S)).trajectory is not None
    list(person.on_episode(event(SUCCEEDED, NS_PER_S, "policy")))
    assert person.arbiter.source is TELEOP
    assert person.offer(POLICY, trajectory(2 * NS_PER_S)).trajectory is None


@pytest.mark.parametrize("source", [TELEOP, POLICY])
def test_an_emergency_stop_silences_everybody_until_a_new_episode(intervention, source):
    begun_ns = running(intervention, source)
    assert intervention.arbiter.estop(begun_ns, "button").source is ESTOP
    for other in (TELEOP, MOTION, POLICY):
        assert intervention.offer(other, trajectory(after(begun_ns, 8))).trajectory is None
    list(intervention.on_episode(event(EpisodeState.TRUNCATED, after(begun_ns, 4))))
    list(intervention.on_episode(event(RESETTING, after(begun_ns, 4), source.value)))
    assert intervention.offer(MOTION, trajectory(after(begun_ns, 9))).trajectory is None
    intervention.arbiter.recover(after(begun_ns, 9))
    assert intervention.arbiter.source is HOLD
    running(intervention, source, after(begun_ns, 300))
    assert intervention.arbiter.source is source


def test_a_motion_that_is_over_is_not_brought_back(intervention):
    begun_ns = running(intervention, TELEOP)
    assert intervention.offer(MOTION, trajectory(begun_ns, ticks=2)).trajectory is None
    list(intervention.on_command(after(begun_ns, 8), POSE))
    assert rulings(intervention.on_episode(event(SUCCEEDED, after(begun_ns, 8)))) == []


@pytest.mark.parametrize("source", [TELEOP, POLICY])
def test_in_lock_step_nobody_is_silent(intervention, source):
    """Time waits for the next chunk, by the simulated latency longer than for its decision."""
    begun_ns = running(intervention, source)
    due_ns = after(begun_ns, TICKS)
    for stamp_ns in range(begun_ns, due_ns + LONGEST_LATENCY_NS, NS_PER_S // 100):
        assert list(intervention.on_command(stamp_ns, POSE)) == []
    ruling = intervention.offer(source, trajectory(due_ns))
    assert (ruling.trajectory is not None, ruling.event) == (True, None)


def test_with_free_running_time_a_source_is_alive_while_it_says_so():
    free = Intervention(InterventionParams(lockstep=False))
    begun_ns = running(free, POLICY)
    free.on_alive(POLICY, after(begun_ns, 30), "")
    assert list(free.on_command(after(begun_ns, 32), POSE)) == []
    decisions = list(free.on_command(after(begun_ns, 34), POSE))
    (lost,) = (ruling.event for _, ruling in decisions)
    assert lost.source is HOLD and "silent" in lost.reason


@pytest.fixture
def person():
    intervention = Intervention(InterventionParams(teleop_device="gamepad", lockstep=False))
    list(intervention.on_command(NS_PER_S, POSE))
    return intervention


def now(stamp_ns):
    """Return a trajectory of a person: where the arm is, from now on."""
    return trajectory(stamp_ns, ticks=2)


def test_in_a_demonstration_a_person_acts_without_asking_and_lets_go_at_its_end(person):
    list(person.on_episode(event(RUNNING, NS_PER_S)))
    assert person.offer(TELEOP, now(NS_PER_S)).event.source is TELEOP
    decisions = list(person.on_episode(event(SUCCEEDED, 2 * NS_PER_S)))
    assert [r.event.reason for _, r in decisions if r.event] == ["released"]
    assert not person.arbiter.has_taken_over


def test_what_a_person_asked_for_outlives_a_demonstration(person):
    list(person.on_episode(event(RUNNING, NS_PER_S)))
    person.take_over()
    assert person.offer(TELEOP, now(NS_PER_S)).trajectory is not None
    list(person.on_episode(event(SUCCEEDED, 2 * NS_PER_S)))
    assert person.arbiter.source is TELEOP
    person.release()
    assert person.arbiter.source is HOLD


def test_a_person_never_acts_unasked_in_an_episode_of_the_policy(person):
    list(person.on_episode(event(RUNNING, NS_PER_S, "policy")))
    assert person.offer(TELEOP, now(NS_PER_S)).reason == "not enabled"


@pytest.mark.parametrize("device", ["leader", "gamepad", "joy", "keyboard"])
def test_every_person_begins_where_the_arm_is(device):
    person = Intervention(InterventionParams(teleop_device=device, lockstep=False))
    list(person.on_command(NS_PER_S, POSE + 0.03))
    person.take_over()
    assert person.offer(TELEOP, now(NS_PER_S)).reason.startswith("not aligned")


def test_a_lost_device_is_hold_with_its_word_and_a_present_one_a_sign_of_life(person):
    person.take_over()
    assert person.offer(TELEOP, now(NS_PER_S)).trajectory is not None
    assert person.on_alive(TELEOP, NS_PER_S, "").event is None
    lost = person.on_alive(TELEOP, NS_PER_S, "/dev/input/js0: gone").event
    assert (lost.source, lost.reason) == (HOLD, "teleop: /dev/input/js0: gone")
    assert lost.is_taken_over
    assert person.offer(POLICY, trajectory(NS_PER_S)).trajectory is None
