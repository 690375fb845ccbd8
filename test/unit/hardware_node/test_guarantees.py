"""What docs/safety.md promises, on the twin's physics and a clock that only waiting moves.

The same motion as in benchmarks/guarantees.py, which measures the processes in real time; here
nothing depends on how busy the machine is.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from virtual_twin import TwinRig

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from parts.guarantee_wave import CHUNK_TICKS, OFF_WAVE_RAD, WAVES

from intervention_node.intervention import Intervention
from intervention_node.params import InterventionParams
from so101.clock import CONTROL_GRID, seconds
from so101.control.arm_mode import ArmMode
from so101.episode import ControlSource

FAST, OTHER = WAVES["fast"], WAVES["other"]
ALIVE_TICKS = 2
LEAD_RAD = 0.3
PHASES = (0, 5, 8, 13, 31, 44)
"""Ticks from the begin of a chunk to a death: in three chunks, in their middles and between."""


class Graph:
    """A policy, the arbiter and the driver's arm, tick by tick."""

    def __init__(self, path):
        self.rig = TwinRig(path)
        self.intervention = Intervention(InterventionParams(lockstep=False))
        self.commands, self.holds = [], []
        self.others = ()
        self.run(120)
        self.holds.clear()  # the servos were being set up when it began
        assert max(FAST.off(*one) for one in self.commands[-30:]) < OFF_WAVE_RAD

    def run(self, ticks, *, is_policy_alive=True):
        for _ in range(ticks):
            index, now_ns = self.rig.index, CONTROL_GRID.stamp(self.rig.index)
            if is_policy_alive and index % ALIVE_TICKS == 0:
                self.intervention.on_alive(ControlSource.POLICY, now_ns, "")
            if is_policy_alive and (index % CHUNK_TICKS == 0 or not self.commands):
                self.offer(ControlSource.POLICY, FAST.chunk(now_ns))
            for source in self.others:
                self.offer(source, OTHER.chunk(now_ns))
            self.tick()

    def offer(self, source, trajectory):
        ruling = self.intervention.offer(source, trajectory)
        if ruling.trajectory is not None:
            self.rig.loop.follow(ruling.trajectory, self.rig.port.clock_ns)

    def tick(self):
        tick, stamp_ns = self.rig.tick(), CONTROL_GRID.stamp(self.rig.index)
        self.commands.append((stamp_ns, tick.command))
        for _, ruling in self.intervention.on_command(stamp_ns, tick.command):
            if ruling.event is not None and ruling.event.source is ControlSource.HOLD:
                self.holds.append(stamp_ns)
                self.rig.loop.hold(ruling.event.reason)

    def run_to_phase(self, phase):
        self.run(-self.rig.index % CHUNK_TICKS + phase)
        return CONTROL_GRID.stamp(self.rig.index)

    def stands_since(self):
        """Return from which stamp on the commands are what the last one is."""
        last = self.commands[-1][1]
        return min(
            stamp
            for at, (stamp, _) in enumerate(self.commands)
            if all((one == last).all() for _, one in self.commands[at:])
        )

    @property
    def speed(self):
        return np.abs(self.rig.port.bus.twin.plant.velocities).max()


@pytest.fixture
def graph(tmp_path):
    return Graph(tmp_path / "arm.json")


@pytest.mark.case(17, 18)
@pytest.mark.parametrize("phase", PHASES)
def test_a_dead_policy_means_standstill_within_400_ms_and_no_drift(graph, phase):
    died_ns = graph.run_to_phase(phase)
    assert graph.speed > 1.5
    graph.run(40, is_policy_alive=False)
    held = graph.rig.truth
    graph.run(60, is_policy_alive=False)
    assert len(graph.holds) == 1
    assert graph.rig.loop.mode is ArmMode.HOLDING
    assert seconds(graph.stands_since() - died_ns) <= 0.4
    assert np.abs(graph.rig.truth - held).max() <= math.radians(0.5)


@pytest.mark.case(23)
@pytest.mark.parametrize("phase", PHASES)
def test_an_estop_begins_with_the_next_tick_and_stands_within_250_ms(graph, phase):
    asked_ns = graph.run_to_phase(phase)
    graph.rig.loop.estop("pressed")
    graph.intervention.arbiter.estop(asked_ns, "pressed")
    graph.run(30)
    braking = next(at for at, one in graph.commands if at > asked_ns and FAST.off(at, one) > 1e-3)
    assert braking == CONTROL_GRID.stamp(CONTROL_GRID.floor(asked_ns) + 1)
    assert seconds(graph.stands_since() - asked_ns) <= 0.25
    assert graph.rig.loop.mode is ArmMode.ESTOPPED


@pytest.mark.case(46)
@pytest.mark.parametrize("phase", PHASES)
def test_a_dead_driver_leaves_no_goal_beyond_what_100_ms_of_full_speed_explain(graph, phase):
    graph.run_to_phase(phase)
    rig, pose = graph.rig, graph.rig.truth
    rig.port.advance(rig.port.clock_ns + 1_000_000_000)  # and nobody ticks
    assert np.abs(rig.calibration.to_rad(np.array(rig.state["goals"])) - pose).max() <= LEAD_RAD
    assert all(rig.state["torque"])
    assert np.abs(rig.truth - pose).max() <= LEAD_RAD


@pytest.mark.case(20)
def test_another_source_changes_no_bit_of_the_motion(graph, tmp_path):
    alone = graph
    beside = Graph(tmp_path / "other.json")
    beside.others = (ControlSource.TELEOP,)
    for each in (alone, beside):
        each.run(60)
    assert beside.intervention.arbiter.dropped[ControlSource.TELEOP, "not enabled"] == 60
    for (at, one), (also_at, other) in zip(alone.commands, beside.commands, strict=True):
        assert at == also_at
        np.testing.assert_array_equal(one, other)
