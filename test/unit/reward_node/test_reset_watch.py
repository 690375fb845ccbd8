"""A simulated reset is done when the scene stands at the very start, brought there after it was
asked; a real one when a person says so of an arm that stands.
"""

from dataclasses import replace

import numpy as np
import pytest

from reward_node.reset_watch import MATCH, SETTLE_NS, STILL, PersonResets, ResetWatch
from so101.clock import NS_PER_S
from so101.errors import SessionError
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


def test_nobody_has_a_say_in_a_simulated_reset(watch):
    with pytest.raises(SessionError, match="resets itself"):
        watch.confirm()
    assert not watch.look(at(ELSEWHERE, ASKED_NS + 1))


TICK_NS = NS_PER_S // 30


def seen_by_a_person(*moves):
    """Ask for a reset and let the arm be commanded so far from tick to tick [rad]."""
    resets, command = PersonResets(), np.zeros(6)
    assert not resets.look(replace(at(ELSEWHERE, ASKED_NS - NS_PER_S), command=command))
    resets.ask(START, ASKED_NS)
    for number, move in enumerate(moves):
        command = command + move
        seen = at(ELSEWHERE, ASKED_NS + number * TICK_NS)
        assert not resets.look(replace(seen, command=command, objects=None))
    return resets


def test_a_real_scene_is_ready_when_a_person_says_so_and_not_before():
    resets = seen_by_a_person(0.1, *[0.0] * 100)
    resets.confirm()
    assert resets.look(at(ELSEWHERE, ASKED_NS + NS_PER_S * 5))


def test_a_persons_word_is_for_one_reset():
    resets = seen_by_a_person(*[0.0] * 20)
    resets.confirm()
    resets.ask(START, ASKED_NS + NS_PER_S)
    assert not resets.look(at(ELSEWHERE, ASKED_NS + 2 * NS_PER_S))


@pytest.mark.parametrize(
    "moves",
    [(), (0.0,), (0.0,) * 15, (*(0.0,) * 100, 2 * STILL), (-2 * STILL, *(0.0,) * 15)],
    ids=["unseen", "just asked", "a moment ago", "moves", "moved"],
)
def test_a_real_episode_begins_with_no_arm_that_moves_or_is_about_to(moves):
    with pytest.raises(SessionError, match="wait until it stands"):
        seen_by_a_person(*moves).confirm()
