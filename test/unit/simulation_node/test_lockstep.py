"""Laws of lock-step: what happens on which tick never depends on when messages arrive."""

from collections import deque
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation_node.lockstep import SETTLE_NS, Granted, LockStep, source_named
from so101.clock import CONTROL_GRID, NS_PER_S, POLICY_GRID
from so101.decisions import DecisionClock
from so101.episode import ControlSource
from so101.errors import TrajectoryError
from so101.events import ControlEvent

POLICY, TELEOP = ControlSource.POLICY, ControlSource.TELEOP
MOTION, HOLD, ESTOP = ControlSource.MOTION, ControlSource.HOLD, ControlSource.ESTOP
INERTIA_NS = 50_000_000
"""How long the fake arm swings on after the last point of a trajectory [ns]."""


@dataclass(frozen=True)
class Part:
    """Something that happens in a run.

    ``chunks`` times a source answers every ``ticks`` policy ticks; a motion lasts ``motion_ns``.
    """

    source: ControlSource
    chunks: int = 0
    ticks: int = 0
    spare: int = 0
    motion_ns: int = 0


class Actors:
    """Every node but the simulation: acts on the ticks it is shown, in their order."""

    def __init__(self, parts):
        self.parts = deque(parts)
        self.part = None
        self.clock = DecisionClock()
        self.left = 0
        self.ends_ns = None
        self.controls, self.trajectories = deque(), deque()
        self.all_granted = []

    def start_next(self, stamp_ns):
        """Hand control over; the tick is one on which the simulation stands or will stand."""
        part = self.part = self.parts.popleft()
        self.controls.append(
            ControlEvent(stamp_ns=stamp_ns, source=part.source, decision_ticks=part.ticks)
        )
        if part.source is MOTION:
            self.ends_ns = stamp_ns + part.motion_ns
            self.grant(stamp_ns, self.ends_ns)
        elif part.source is not HOLD:
            self.clock.start(stamp_ns, part.ticks)
            self.left = part.chunks
            self.on_tick(stamp_ns)

    def grant(self, stamp_ns, ends_ns):
        granted = Granted(source=self.part.source, stamp_ns=stamp_ns, ends_ns=ends_ns)
        self.trajectories.append(granted)
        self.all_granted.append(granted)

    def on_tick(self, stamp_ns):
        if self.ends_ns is not None and stamp_ns >= self.ends_ns:  # the motion is over: nobody
            self.ends_ns = None
            self.controls.append(ControlEvent(stamp_ns=stamp_ns, source=HOLD))
        if self.clock.due_ns is None or stamp_ns < self.clock.due_ns:
            return
        if self.left == 0:
            self.clock.stop()
            if self.parts:
                self.start_next(stamp_ns)
            return
        points = self.part.ticks + self.part.spare
        end = POLICY_GRID.stamp(POLICY_GRID.floor(stamp_ns) + points)
        self.grant(stamp_ns, end)
        self.left -= 1
        self.clock.decided(stamp_ns)


class Run:
    """The simulation's loop and the messages on their way, in an order drawn by chance."""

    def __init__(self, parts, latency_ns, order):
        self.actors = Actors(parts)
        self.lockstep = LockStep(latency_ns)
        self.order = order
        self.tick = 0
        self.active = None
        self.pending = deque()
        self.shown = deque([0])
        self.trace = []
        self.stood = []

    @property
    def stamp_ns(self):
        return CONTROL_GRID.stamp(self.tick)

    @property
    def is_still(self):
        return self.active is None or self.stamp_ns >= self.active.ends_ns + INERTIA_NS

    def may_pass(self):
        latency_ns = self.lockstep.latency_ns
        while self.pending and self.pending[0].stamp_ns + latency_ns <= self.stamp_ns:
            self.active = self.pending.popleft()
            self.lockstep.on_trajectory(self.active)
        return self.lockstep.may_pass(
            self.stamp_ns, is_still=self.is_still, is_pending=bool(self.pending)
        )

    def advance(self):
        self.trace.append((self.stamp_ns, self.active))
        self.tick += 1
        self.shown.append(self.stamp_ns)

    def steps(self):
        """Return everything that could happen next."""
        actors = self.actors
        found = []
        if self.may_pass():
            found.append(self.advance)
        if self.shown:
            found.append(lambda: actors.on_tick(self.shown.popleft()))
        if actors.controls:
            found.append(lambda: self.lockstep.on_control(actors.controls.popleft()))
        if actors.trajectories:
            found.append(lambda: self.pending.append(actors.trajectories.popleft()))
        return found

    def go(self):
        for _ in range(20_000):
            found = self.steps()
            if found:
                self.order(found)()
                continue
            self.stood.append((self.stamp_ns, self.is_still))  # nothing moves, nothing is said
            if not self.actors.parts:
                return self
            self.actors.start_next(POLICY_GRID.stamp(POLICY_GRID.ceil(self.stamp_ns)))
            self.wait_for_policy_tick()
        raise AssertionError("the run does not come to an end")

    def wait_for_policy_tick(self):
        """Stand on a policy tick, as a reset does."""
        while not POLICY_GRID.is_tick(self.stamp_ns):
            self.advance()
            self.shown.popleft()


def by_chance(seed):
    """Prefer one kind of step for a while, so that others are delayed long."""
    random = Random(seed)
    state = {"favourite": 0, "left": 0}

    def choose(found):
        if state["left"] == 0:
            state["favourite"], state["left"] = random.randrange(4), random.randrange(1, 40)
        state["left"] -= 1
        return found[state["favourite"] % len(found)]

    return choose


def first(found):
    """Let time run as far as it may before anybody hears of it."""
    return found[0]


def last(found):
    """Deliver everything before time runs on."""
    return found[-1]


# longer than any latency: who moves the arm does not say that it is done before it has begun
motions = st.builds(Part, source=st.just(MOTION), motion_ns=st.integers(300_000_000, NS_PER_S))


@st.composite
def runs(draw):
    """Draw parts and a latency that is over before the next decision.

    A source is heard with other decision ticks only after a hold.
    """
    latency_ns = draw(latencies)
    fewest = CONTROL_GRID.ceil(latency_ns) // 2 + 1
    chunks = st.builds(
        Part,
        source=st.sampled_from([POLICY, TELEOP]),
        chunks=st.integers(1, 4),
        ticks=st.integers(fewest, 8),
        spare=st.integers(0, 8),
    )
    parts = []
    for part in draw(st.lists(st.one_of(chunks, motions), min_size=1, max_size=4)):
        is_same = bool(parts) and parts[-1].source is part.source
        if parts and parts[-1].source is not MOTION and (is_same or draw(st.booleans())):
            parts.append(Part(source=HOLD))
        parts.append(part)
    if parts[-1].source is not MOTION:
        parts.append(Part(source=HOLD))
    return parts, latency_ns


latencies = st.sampled_from([0, 1, 16_666_667, 60_000_000, 250_000_000])


@settings(max_examples=40, deadline=None)
@given(drawn=runs(), seed=st.integers(0, 2**32))
def test_what_happens_on_which_tick_is_the_same_in_every_order(drawn, seed):
    parts, latency_ns = drawn
    prompt = Run(parts, latency_ns, last).go()
    for order in (first, by_chance(seed), by_chance(seed + 1)):
        other = Run(parts, latency_ns, order).go()
        assert other.trace == prompt.trace
        assert other.stood == prompt.stood


@settings(max_examples=30, deadline=None)
@given(drawn=runs(), seed=st.integers(0, 2**32))
def test_time_never_passes_a_decision_without_its_chunk(drawn, seed):
    parts, latency_ns = drawn
    run = Run(parts, latency_ns, by_chance(seed)).go()
    granted = run.actors.all_granted
    for stamp_ns, active in run.trace:
        due = [g for g in granted if g.stamp_ns + latency_ns <= stamp_ns]
        assert active == (due[-1] if due else None)
    followed = {active for _, active in run.trace}
    assert followed >= set(granted)


@settings(max_examples=30, deadline=None)
@given(drawn=runs(), seed=st.integers(0, 2**32))
def test_time_stands_still_only_with_the_arm(drawn, seed):
    parts, latency_ns = drawn
    run = Run(parts, latency_ns, by_chance(seed)).go()
    assert all(is_still for _, is_still in run.stood)


@given(
    motion_ns=st.integers(300_000_000, 3 * NS_PER_S),
    latency_ns=latencies,
    seed=st.integers(0, 2**32),
)
def test_a_motion_runs_to_its_end_and_settles(motion_ns, latency_ns, seed):
    run = Run([Part(source=MOTION, motion_ns=motion_ns)], latency_ns, by_chance(seed)).go()
    assert run.stamp_ns == CONTROL_GRID.stamp(CONTROL_GRID.ceil(motion_ns + SETTLE_NS))


def lockstep_with(source, ticks, *, stamp_ns=0, ends_ns=NS_PER_S, latency_ns=0):
    lockstep = LockStep(latency_ns)
    lockstep.on_control(ControlEvent(stamp_ns=stamp_ns, source=source, decision_ticks=ticks))
    lockstep.on_trajectory(Granted(source=source, stamp_ns=stamp_ns, ends_ns=ends_ns))
    return lockstep


def passes_until(lockstep, *, is_still=False):
    """Return the first policy tick that time may not pass."""
    return next(
        tick
        for tick in range(1000)
        if not lockstep.may_pass(POLICY_GRID.stamp(tick), is_still=is_still)
    )


def test_nobody_in_control_lets_a_moving_arm_come_to_rest():
    lockstep = LockStep()
    assert lockstep.may_pass(0, is_still=False)
    assert not lockstep.may_pass(0, is_still=True)
    assert lockstep.source is HOLD


@pytest.mark.parametrize("latency_ticks", [0, 2])
def test_a_chunk_grants_time_up_to_the_next_decision(latency_ticks):
    latency_ns = POLICY_GRID.stamp(latency_ticks)
    assert passes_until(lockstep_with(POLICY, 8, latency_ns=latency_ns)) == 8 + latency_ticks


def test_a_chunk_whose_decision_ticks_are_unknown_grants_nothing():
    lockstep = LockStep()
    lockstep.on_trajectory(Granted(source=POLICY, stamp_ns=0, ends_ns=NS_PER_S))
    assert not lockstep.may_pass(0, is_still=False)
    lockstep.on_control(ControlEvent(stamp_ns=0, source=POLICY, decision_ticks=4))
    assert passes_until(lockstep) == 4


def test_decision_ticks_from_before_a_hold_do_not_count():
    lockstep = lockstep_with(POLICY, 8)
    lockstep.on_control(ControlEvent(stamp_ns=POLICY_GRID.stamp(8), source=HOLD))
    resumed_ns = POLICY_GRID.stamp(20)
    lockstep.on_trajectory(Granted(source=POLICY, stamp_ns=resumed_ns, ends_ns=NS_PER_S))
    assert not lockstep.may_pass(resumed_ns, is_still=True)
    lockstep.on_control(ControlEvent(stamp_ns=resumed_ns, source=POLICY, decision_ticks=2))
    assert passes_until(lockstep) == 22


def test_a_late_control_event_of_the_same_source_corrects_what_was_granted():
    lockstep = lockstep_with(POLICY, 8, stamp_ns=POLICY_GRID.stamp(8))
    lockstep.on_control(
        ControlEvent(stamp_ns=POLICY_GRID.stamp(8), source=POLICY, decision_ticks=4)
    )
    assert passes_until(lockstep) == 12


def test_a_trajectory_from_before_a_reset_grants_nothing():
    """Whether it arrives before the reset or, still on its way, after it."""
    old = Granted(source=POLICY, stamp_ns=POLICY_GRID.stamp(5), ends_ns=NS_PER_S)
    reset_ns = POLICY_GRID.stamp(7)
    for is_late in (False, True):
        lockstep = lockstep_with(POLICY, 8)
        if not is_late:
            lockstep.on_trajectory(old)
        lockstep.on_reset(reset_ns)
        if is_late:
            lockstep.on_trajectory(old)
        assert not lockstep.may_pass(reset_ns, is_still=True)
        lockstep.on_trajectory(Granted(source=POLICY, stamp_ns=reset_ns, ends_ns=NS_PER_S))
        assert passes_until(lockstep) == 15


def test_an_arrived_chunk_grants_the_time_until_it_starts():
    lockstep = LockStep(POLICY_GRID.stamp(2))
    assert not lockstep.may_pass(0, is_still=True)
    assert lockstep.may_pass(0, is_still=True, is_pending=True)


def test_an_emergency_stop_grants_only_what_the_arm_needs():
    lockstep = lockstep_with(MOTION, 0)
    lockstep.on_control(ControlEvent(stamp_ns=1, source=ESTOP))
    assert lockstep.source is ESTOP
    assert lockstep.may_pass(2, is_still=False, is_pending=True)
    assert not lockstep.may_pass(2, is_still=True, is_pending=True)


def test_an_interrupted_motion_grants_only_what_the_arm_needs():
    lockstep = lockstep_with(MOTION, 0, ends_ns=NS_PER_S)
    lockstep.on_control(ControlEvent(stamp_ns=NS_PER_S // 2, source=HOLD))
    assert lockstep.may_pass(NS_PER_S // 2, is_still=False)
    assert not lockstep.may_pass(NS_PER_S // 2, is_still=True)


def test_holding_uses_up_what_was_granted_before():
    lockstep = lockstep_with(POLICY, 8)
    lockstep.on_control(ControlEvent(stamp_ns=POLICY_GRID.stamp(3), source=HOLD))
    assert passes_until(lockstep, is_still=True) == 8


def test_the_trajectory_of_a_hold_changes_nothing():
    lockstep = lockstep_with(POLICY, 8)
    hold_ns = POLICY_GRID.stamp(8)
    lockstep.on_trajectory(Granted(source=HOLD, stamp_ns=hold_ns, ends_ns=hold_ns))
    assert lockstep.source is POLICY
    lockstep.on_control(ControlEvent(stamp_ns=hold_ns, source=HOLD))
    assert lockstep.source is HOLD


@pytest.mark.parametrize("name", ["", "/policy_node 7", "nobody"])
def test_a_trajectory_that_did_not_come_through_the_arbiter_is_refused_and_ends_nothing(name):
    with pytest.raises(TrajectoryError, match="did not come through the arbiter"):
        source_named(name)
    assert source_named("motion") is MOTION
