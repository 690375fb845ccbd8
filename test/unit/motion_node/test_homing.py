"""Home is planned by who is chosen, and a plan that took its time must still fit."""

import numpy as np
import pytest

from motion_node.homing import Homing
from motion_node.judging import Judge
from motion_node.planning import OwnPlanner, Planners
from so101.clock import CONTROL_GRID, nanoseconds
from so101.control.trajectory import JointTrajectory
from so101.errors import MotionError
from so101.kinematics.planner import plan_motion
from so101.robot import JOINTS, so101

SPEC = so101()
NOW_NS = CONTROL_GRID.stamp(600)
AWAY = SPEC.home + 0.2
OWN = OwnPlanner(spec=SPEC, collision=None, seed=3)
JUDGE = Judge(spec=SPEC, start_rad=0.1)


class MoveIt:
    """Keeps its answer until it is told to give it."""

    name = "move_group"

    def __init__(self, *, is_there=True):
        self.runs = is_there
        self.asked, self.answers = [], []

    def is_there(self):
        return self.runs

    def plan(self, request, answer):
        self.asked.append(request)
        self.answers.append(answer)

    def answer(self, number=-1, begin=AWAY):
        plan = JointTrajectory(
            stamp_ns=0,
            joints=JOINTS[::-1],
            times_ns=(0, nanoseconds(2.0)),
            positions=np.array([begin, SPEC.home])[:, ::-1],
        )
        self.answers[number](plan)


class Scene:
    def __init__(self, choice="auto", moveit=None):
        self.sent, self.told, self.words = [], [], ""
        planners = Planners(choice=choice, own=OWN, moveit=moveit)
        self.homing = Homing(SPEC.home, 0.5, planners, JUDGE, self.sent.append)
        self.homing.on_command(NOW_NS, AWAY)

    def go(self):
        told = []
        self.told.append(told)
        self.homing.go(told.append, lambda: self.words)
        return told


def fails(told, words):
    (outcome,) = told
    assert isinstance(outcome, MotionError) and words in str(outcome)


@pytest.mark.parametrize("choice", ["auto", "own"])
def test_where_moveit_does_not_run_our_own_planner_answers_at_once(choice):
    scene = Scene(choice, MoveIt(is_there=choice == "own"))
    scene.words = "never asked: it did not take its time"
    (told,) = scene.go()
    expected = plan_motion(
        AWAY, SPEC.home, SPEC, None, rng=np.random.default_rng(3), speed=0.5, stamp_ns=NOW_NS
    )
    (sent,) = scene.sent
    assert told.startswith("moving home within") and told.endswith("by own planner")
    assert sent.times_ns == expected.times_ns
    np.testing.assert_array_equal(sent.positions, expected.positions)


def test_where_it_runs_moveit_plans_and_its_plan_begins_when_it_comes():
    moveit = MoveIt()
    scene = Scene("auto", moveit)
    told = scene.go()
    assert (told, scene.sent) == ([], [])
    (request,) = moveit.asked
    np.testing.assert_array_equal(request.start, AWAY)
    scene.homing.on_command(NOW_NS + nanoseconds(1.0), AWAY)
    moveit.answer()
    (sent,) = scene.sent
    assert sent.stamp_ns == NOW_NS + nanoseconds(1.0) and sent.joints == JOINTS
    np.testing.assert_allclose(sent.positions[-1], SPEC.home)
    assert told == ["moving home within 2.0 s, by move_group"]
    assert scene.homing.planner == "move_group"


def test_who_wants_moveit_is_told_that_it_does_not_run():
    fails(Scene("moveit", MoveIt(is_there=False)).go(), "move_group does not run")
    fails(Scene("moveit").go(), "not installed")


def test_a_plan_that_failed_is_an_error_and_nobody_elses_turn():
    moveit = MoveIt()
    scene = Scene("auto", moveit)
    told = scene.go()
    moveit.answers[0](MotionError("move_group: PLANNING_FAILED (-1)"))
    fails(told, "PLANNING_FAILED")
    assert scene.sent == []


def test_a_plan_for_where_the_arm_no_longer_is_is_not_followed():
    moveit = MoveIt()
    scene = Scene("auto", moveit)
    told = scene.go()
    scene.homing.on_command(NOW_NS + nanoseconds(2.0), AWAY + 0.3)
    moveit.answer()
    fails(told, "not followed: it begins elsewhere")
    assert scene.sent == []


def test_a_plan_that_comes_into_an_episode_is_not_followed():
    moveit = MoveIt()
    scene = Scene("auto", moveit)
    told = scene.go()
    scene.words = "episode ep-1 has begun meanwhile"
    moveit.answer()
    fails(told, "move_group planned, but episode ep-1 has begun")
    assert scene.sent == []


def test_everybody_who_asks_is_answered_once():
    moveit = MoveIt()
    scene = Scene("auto", moveit)
    first, second = scene.go(), scene.go()
    fails(first, "another way home")
    moveit.answer(0)
    assert scene.sent == [] and second == []
    moveit.answer(1)
    assert len(scene.sent) == len(second) == 1
    moveit.answer(1)
    assert len(scene.sent) == len(second) == 1


def test_at_home_nobody_is_asked():
    moveit = MoveIt()
    scene = Scene("moveit", moveit)
    scene.homing.on_command(NOW_NS, SPEC.home)
    assert scene.go() == ["already home"] and moveit.asked == []
    deaf = Homing(SPEC.home, 0.5, Planners(choice="own", own=OWN), JUDGE, pytest.fail)
    told = []
    deaf.go(told.append, str)
    fails(told, "joint_commands: nothing has arrived yet")
