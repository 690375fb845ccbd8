"""A reset is done when the scene stands at the very start, brought there after it was asked."""

import numpy as np
import pytest

from reward_node.reset_watch import MATCH, SETTLE_NS, ResetWatch
from so101.clock import NS_PER_S
from so101.observation import Observation
from so101.simulation.tasks.task import Start

START = Start(positions=np.full(6, 0.1), objects=np.full((1, 7), 0.2))
ELSEWHERE = Start(positions=np.zeros(6), objects=np.zeros((1, 7)))
ASKED_NS = 5 * NS_PER_S


def at(start, stamp_ns, *, off_rad=0.0, off_m=0.0):
    return Observation(
        stamp_ns=stamp_ns,
        positions=start.positions + off_rad,
        velocities=np.zeros(6),
        effort=np.zeros(6),
        command=start.positions,
        objects=start.objects + off_m,
    )


@pytest.fixture
def watch():
    watch = ResetWatch()
    assert not watch.look(at(ELSEWHERE, ASKED_NS - 1))
    watch.ask(START, ASKED_NS)
    return watch


@pytest.mark.parametrize("where", ["off_rad", "off_m"])
@pytest.mark.parametrize("off", [0.01, -2 * MATCH])
def test_arm_and_objects_must_be_at_the_very_start(watch, where, off):
    assert not watch.look(at(START, ASKED_NS + 1, **{where: off}))
    assert watch.look(at(START, ASKED_NS + 2))


def test_what_was_seen_before_is_no_reset(watch):
    assert not watch.look(at(START, ASKED_NS))
    assert watch.look(at(START, ASKED_NS + 1))


def test_a_scene_that_stood_there_before_it_was_asked_must_have_had_time_to_be_reset(watch):
    assert watch.look(at(START, ASKED_NS + 1))
    watch.ask(START, ASKED_NS + 2)
    assert not watch.look(at(START, ASKED_NS + 3))
    assert not watch.look(at(START, ASKED_NS + 2 + SETTLE_NS))
    assert watch.look(at(START, ASKED_NS + 3 + SETTLE_NS))


def test_nothing_is_done_that_nobody_asked_for():
    assert not ResetWatch().look(at(START, 1))
