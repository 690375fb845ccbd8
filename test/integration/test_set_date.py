"""A date that is set by an hour moves no arm, stops no timer, and puts no stamp out of order.

The date is that of the processes under test alone: a small library stands in for the C library's
clock of the date. Steady time goes on as it is.
"""

import json
import signal
import subprocess

import numpy as np
import pytest

pytest.importorskip("rclpy")

from integration.test_hardware_node import Person
from rclpy.node import Node
from set_date import HOUR_S, SetDate
from twin_process import Program, Twin, hardware_node

from so101.clock import CONTROL_GRID, NS_PER_S, nanoseconds, seconds
from so101.events import WARN
from so101.robot import so101
from so101.topics import CLOCK

SPEC = so101()
WAY = np.array([0.6, 0.1, -0.2, -0.2, 0.6, 0.3])
WAY_S = 1.0
MOST_TRIES = 5
CLOCKS = "hardware_node: clocks"

TICKING = """
import json, sys, time
from rclpy.node import Node
from so101.ros.run import run
from so101.ros.timing import graph_clock, repeat

class Ticking(Node):
    def __init__(self):
        super().__init__("ticking")
        repeat(self, 0.02, self.tick)

    def tick(self):
        clocks = [time.time_ns(), self.get_clock().now().nanoseconds, graph_clock().now_ns()]
        print(json.dumps([*clocks, time.monotonic_ns()]), flush=True)

sys.exit(run(Ticking))
"""


@pytest.mark.chaos  # on a busy machine the middleware may crash as the node ends: docs/results.md
@pytest.mark.case(41)
def test_timers_and_signals_do_not_wait_for_a_date_that_is_set_back(date, ros_domain, monkeypatch):
    for name, value in date.environment.items():
        monkeypatch.setenv(name, value)
    with Program(["-c", TICKING], ros_domain, stdout=subprocess.PIPE) as program:
        before = None
        for off_s in (0, HOUR_S, -HOUR_S, 0, -HOUR_S):
            date.set(off_s)
            for _ in range(30):  # the date is set while it waits for the next one
                line = program.process.stdout.readline()
                assert line, "it has ended"
                system, ros, graph, steady = json.loads(line)
                if before is None:
                    before = (system - steady, graph - steady)
                assert abs(graph - steady - before[1]) < NS_PER_S
            assert seconds(system - steady - before[0]) == pytest.approx(off_s, abs=0.5)
            assert seconds(ros - system) == pytest.approx(0.0, abs=0.5)
        assert abs(before[0] - before[1]) < NS_PER_S // 10
        assert program.end(signal.SIGINT) == 0


@pytest.fixture
def date(tmp_path):
    return SetDate(tmp_path)


@pytest.fixture
def person(ros_context):
    node = Node("person", context=ros_context, use_global_arguments=False)
    person = Person(node)
    yield person
    person.spinner.close()
    node.destroy_node()


@pytest.mark.case(41)
@pytest.mark.timeout(200)
def test_an_arm_on_its_way_does_not_feel_that_the_date_is_set(
    date,
    tmp_path,
    ros_domain,
    monkeypatch,
    person,
):
    with Twin(tmp_path) as twin:
        with monkeypatch.context() as patch:
            for name, value in date.environment.items():
                patch.setenv(name, value)
            node = hardware_node(twin, ros_domain)
        with node:
            person.match()
            person.until(lambda: person.mode)  # disarmed; or at fault, by a busy machine
            assert person.node.count_subscribers(CLOCK.name) == 0  # nobody's to reset
            for _ in range(MOST_TRIES):
                person.arm()
                if go(person, date):
                    break
            assert person.mode != "fault"
            assert all(json.loads(twin.command("state"))["torque"])


def go(person, date):
    """Go a way on which the date is set forward, back and right; tell whether nothing else came.

    A busy machine may hold up the twin until the arm is at fault; that has nothing to do with it.
    """
    begin, first = person.commands[-1][1], len(person.commands) - 1
    goal = SPEC.home + WAY if begin[0] < 0.3 else SPEC.home
    person.follow(goal, WAY_S)
    parts, dates_s = (0.2, 0.5, 0.8, 1.0), (HOUR_S, -HOUR_S, 0, 0)
    for part, off_s in zip(parts, dates_s, strict=True):
        person.until(lambda part=part: person.mode == "fault" or gone(person, begin, goal) >= part)
        date.set(off_s)
        person.until(lambda: person.mode == "fault" or person.mode in ("armed", "holding"))
    check_commands(person.commands[first:], goal - begin)
    date.set(-HOUR_S)
    person.until(lambda: "ahead of the date" in told(person))  # it speaks though it is set back
    date.set(HOUR_S)
    person.until(lambda: "behind the date" in told(person))
    assert float(person.told[CLOCKS].values["behind the date [s]"]) == pytest.approx(HOUR_S, abs=1)
    assert person.told[CLOCKS].level == WARN
    return person.mode != "fault"


def told(person):
    return person.told[CLOCKS].message if CLOCKS in person.told else ""


def gone(person, begin, goal):
    """Return which part of the way was commanded so far."""
    return (person.commands[-1][1][0] - begin[0]) / (goal[0] - begin[0]) + 1e-9


def check_commands(commands, way):
    """The arm went its way, no tick faster than planned, and its stamps count every tick."""
    stamps = [stamp for stamp, _ in commands]
    ticks = np.array([CONTROL_GRID.floor(stamp) for stamp in stamps])
    assert [CONTROL_GRID.stamp(int(tick)) for tick in ticks] == stamps
    assert (np.diff(ticks) >= 1).all()
    assert stamps[-1] - stamps[0] < nanoseconds(120.0)  # no hour in it
    steps = np.diff([positions for _, positions in commands], axis=0) / np.diff(ticks)[:, None]
    fastest = 1.5 * np.abs(way) / (WAY_S * 60)  # of the cubic from rest to rest
    assert (np.abs(steps) <= 1.05 * fastest + 1e-9).all()
    assert (steps * np.sign(way) >= -1e-9).all()
