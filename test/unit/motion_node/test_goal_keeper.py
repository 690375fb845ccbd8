"""A goal ends once, in words, and the arm comes to rest where nobody else says what it does."""

import numpy as np
import pytest

from motion_node.following import GRANT_NS, SILENCE_NS
from motion_node.goal_keeper import GoalKeeper
from motion_node.judging import Judge
from motion_node.params import MotionParams
from so101.arm import ArmState
from so101.clock import CONTROL_GRID, nanoseconds, seconds
from so101.control.arbiter import Arbiter
from so101.control.arbitration import ArbiterConfig, SourceConfig
from so101.control.arm_mode import ArmMode
from so101.control.follower import TrajectoryFollower, Waypoint
from so101.control.trajectory import JointTrajectory
from so101.control.trajectory_goal import Ending, GoalCode, TrajectoryGoal
from so101.episode import ControlSource, EpisodeFacts, EpisodeState
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import GRIPPER, JOINTS, so101

SPEC = so101()
PARAMS = MotionParams()
END_S = 1.0


class Scene:
    """An arm that does as it is told by the real arbiter, one tick after the other."""

    def __init__(self, params=PARAMS):
        judge = Judge(spec=SPEC, start_rad=params.start_tolerance)
        self.keeper = GoalKeeper(params, SPEC, judge, self._offer)
        sources = {source: SourceConfig(device=source.value) for source in ControlSource}
        self.arbiter = Arbiter(ArbiterConfig(sources=sources, alive_timeout_ns=None))
        self.follower = TrajectoryFollower(JOINTS)
        self.tick_number, self.steady_ns = 6000, 0
        self.command = SPEC.home.copy()
        self.off = np.zeros(6)
        self.sent, self.reports, self.results = [], [], []
        self.is_heard = True
        self.keeper.on_control(ControlEvent(stamp_ns=0, source=ControlSource.HOLD))
        self.keeper.on_arm(ArmMode.HOLDING, "")
        self.run(0.1)

    @property
    def now_ns(self):
        return CONTROL_GRID.stamp(self.tick_number)

    def _offer(self, motion):
        self.sent.append(motion)
        if self.is_heard:
            self.pass_on(self.arbiter.offer(ControlSource.MOTION, motion, self.now_ns))

    def pass_on(self, ruling):
        if ruling.event is not None:
            self.keeper.on_control(ruling.event)
        if ruling.trajectory is not None:
            rests = Waypoint(stamp_ns=self.now_ns, positions=self.command, velocities=np.zeros(6))
            start = None if self.follower.ends_ns else rests
            self.follower.replace(ruling.trajectory, self.now_ns, start)
            self.keeper.on_passed(ruling.trajectory)

    def control(self, event):
        if event is not None:
            self.keeper.on_control(event)

    def run(self, duration_s):
        for _ in range(round(duration_s * 60)):
            self.tick_number += 1
            self.steady_ns += nanoseconds(1 / 60)
            goal = self.follower.sample(self.now_ns)
            self.command = self.command if goal is None else goal
            state = ArmState(
                positions=self.command + self.off, velocities=np.zeros(6), effort=np.zeros(6)
            )
            self.keeper.on_command(self.now_ns, self.command)
            self.control(self.arbiter.tick(self.now_ns))
            self.keeper.on_state(self.now_ns, state, self.steady_ns)
            self.keeper.tick(self.steady_ns)

    def begin(self, away=0.5, joint="shoulder_pan", end_s=END_S, **values):
        position = self.command[JOINTS.index(joint)] + away
        trajectory = JointTrajectory(
            stamp_ns=0,
            joints=(joint,),
            times_ns=(nanoseconds(end_s),),
            positions=np.array([[position]]),
        )
        results = []
        self.keeper.begin(
            TrajectoryGoal(trajectory=trajectory, **values),
            self.reports.append,
            results.append,
            self.steady_ns,
        )
        self.results.append(results)
        return results


@pytest.fixture
def scene():
    return Scene()


def only(results, ending, code=GoalCode.INVALID_GOAL, words=""):
    (result,) = results
    assert (result.ending, result.code) == (ending, code), result
    assert words in result.words
    return result


def test_a_goal_is_followed_and_told_of(scene):
    goal = scene.command[0] + 0.5
    results = scene.begin()
    scene.run(END_S - 0.1)
    assert results == [] and scene.keeper.is_busy
    scene.run(0.2)
    only(results, Ending.SUCCEEDED, GoalCode.SUCCESSFUL)
    assert scene.command[0] == pytest.approx(goal) and not scene.keeper.is_busy
    assert 15 <= len(scene.reports) <= 21  # twenty times a second
    last = scene.reports[-1]
    assert last.desired[0] == pytest.approx(last.actual[0])
    elapsed = [one.elapsed_ns for one in scene.reports]
    assert elapsed == sorted(set(elapsed))
    assert len(scene.sent) == 1


def test_who_is_off_the_way_comes_to_rest(scene):
    results = scene.begin()
    scene.run(0.4)
    scene.off[0] = PARAMS.path_tolerance + 0.05
    scene.run(0.3)
    only(results, Ending.ABORTED, GoalCode.PATH_TOLERANCE_VIOLATED, "shoulder_pan by 0.350")
    rests = scene.command.copy()
    scene.run(1.0)
    assert len(scene.sent) == 2 and rests[0] < SPEC.home[0] + 0.45
    np.testing.assert_allclose(scene.command, rests, atol=1e-6)


def test_who_does_not_get_there_has_the_time_to(scene):
    scene.off[0] = PARAMS.goal_tolerance + 0.02
    late = scene.begin(goal_time_ns=nanoseconds(0.5))
    scene.run(END_S + 0.4)
    assert late == []
    scene.run(0.2)
    only(late, Ending.ABORTED, GoalCode.GOAL_TOLERANCE_VIOLATED, "at most 0.1")
    there = scene.begin(away=-0.5)
    scene.run(END_S + 0.5)
    scene.off[0] = 0.0
    scene.run(0.1)
    only(there, Ending.SUCCEEDED, GoalCode.SUCCESSFUL)


@pytest.mark.parametrize(
    ("off", "path", "goal", "code"),
    [
        (0.05, {}, {}, GoalCode.SUCCESSFUL),
        (0.05, {}, {"shoulder_pan": 0.02}, GoalCode.GOAL_TOLERANCE_VIOLATED),
        (0.05, {"shoulder_pan": 0.02}, {}, GoalCode.PATH_TOLERANCE_VIOLATED),
        (0.5, {"shoulder_pan": -1.0}, {"shoulder_pan": -1.0}, GoalCode.SUCCESSFUL),
        (0.2, {"shoulder_pan": 0.0}, {"shoulder_pan": 0.25}, GoalCode.SUCCESSFUL),
    ],
)
def test_tolerances_are_what_the_action_says(scene, off, path, goal, code):
    scene.off[0] = off
    results = scene.begin(path=path, goal=goal)
    scene.run(END_S + PARAMS.goal_time + 0.5)
    assert results[0].code is code and len(results) == 1


def test_a_gripper_that_holds_something_has_succeeded(scene):
    scene.off[GRIPPER] = 0.9
    results = scene.begin(away=-0.2, joint="gripper")
    scene.run(END_S + 0.1)
    only(results, Ending.SUCCEEDED, GoalCode.SUCCESSFUL)


def test_cancelled_is_said_when_the_arm_rests(scene):
    results = scene.begin()
    scene.run(0.5)
    scene.keeper.cancel()
    assert results == []
    before = scene.command.copy()
    scene.run(0.2)
    only(results, Ending.CANCELED, GoalCode.SUCCESSFUL, "came to rest")
    rests = scene.command.copy()
    assert 0.0 < abs(rests - before).max() < 0.2
    scene.run(1.0)
    np.testing.assert_allclose(scene.command, rests, atol=1e-6)


def test_another_goal_takes_its_place_and_a_refused_one_does_not(scene):
    first = scene.begin()
    scene.run(0.3)
    refused = scene.begin(away=9.0)
    only(refused, Ending.ABORTED, words="outside")
    assert first == []
    second = scene.begin(away=-0.3)
    only(first, Ending.ABORTED, words="another goal")
    scene.run(END_S + 0.1)
    only(second, Ending.SUCCEEDED, GoalCode.SUCCESSFUL)
    third = scene.begin(away=0.4)
    scene.run(0.3)
    scene.keeper.give_way("the arm goes home")
    only(third, Ending.ABORTED, words="goes home")
    assert len(scene.sent) == 3  # what replaced them was somebody else's to send


def test_goals_one_after_the_other_are_each_whole(scene):
    """The end of a motion may be heard after the next one was sent."""
    for number in range(4):
        results = scene.begin(away=0.3 if number % 2 else -0.3)
        scene.run(END_S + 0.1)
        only(results, Ending.SUCCEEDED, GoalCode.SUCCESSFUL)


def test_the_end_of_the_motion_before_says_nothing_of_this_one(scene):
    scene.begin()
    scene.run(0.5)
    second = scene.begin(away=-0.2)
    stamp_ns = scene.now_ns
    scene.control(
        ControlEvent(stamp_ns=stamp_ns, source=ControlSource.HOLD, reason="motion finished")
    )
    scene.control(ControlEvent(stamp_ns=stamp_ns, source=ControlSource.MOTION))
    scene.run(END_S + 0.1)
    only(second, Ending.SUCCEEDED, GoalCode.SUCCESSFUL)


def test_a_person_takes_the_arm_and_nothing_else_is_sent(scene):
    results = scene.begin()
    scene.run(0.3)
    scene.control(scene.arbiter.take_over(scene.now_ns))
    only(results, Ending.ABORTED, words="takeover")
    scene.run(END_S)
    assert len(scene.sent) == 1
    only(scene.begin(), Ending.ABORTED, words="a person has taken over")


@pytest.mark.parametrize("mode", [ArmMode.DISARMED, ArmMode.ESTOPPED, ArmMode.FAULT])
def test_an_arm_that_may_not_move_ends_the_goal(scene, mode):
    results = scene.begin()
    scene.run(0.3)
    scene.keeper.on_arm(mode, "because")
    only(results, Ending.ABORTED, words=f"{mode.value}: because")
    assert len(scene.sent) == 1


def test_an_estop_ends_the_goal(scene):
    results = scene.begin()
    scene.run(0.3)
    scene.control(scene.arbiter.estop(scene.now_ns, "pressed"))
    only(results, Ending.ABORTED, words="estop has control: pressed")


@pytest.mark.parametrize("state", [EpisodeState.RESETTING, EpisodeState.RUNNING])
def test_an_episode_ends_the_goal_at_rest(scene, state):
    results = scene.begin()
    scene.run(0.3)
    facts = EpisodeFacts(id="ep-7", task="pick")
    scene.keeper.on_episode(EpisodeEvent(stamp_ns=scene.now_ns, state=state, facts=facts))
    scene.run(0.3)
    only(results, Ending.ABORTED, words="episode ep-7")
    assert len(scene.sent) == 2


def test_what_the_arbiter_does_not_pass_is_over_and_cannot_pass_later(scene):
    scene.is_heard = False
    results = scene.begin()
    scene.run(seconds(GRANT_NS) - 0.1)
    assert results == []
    scene.run(0.4)
    only(results, Ending.ABORTED, words="did not let it pass: hold has control")
    motion, rest = scene.sent
    assert rest.stamp_ns >= motion.stamp_ns  # newer, so the arbiter keeps it in the other's place
    np.testing.assert_allclose(rest.positions[-1], scene.command)


def test_a_silent_arm_ends_the_goal(scene):
    results = scene.begin()
    scene.run(0.3)
    scene.keeper.tick(scene.steady_ns + SILENCE_NS)
    assert results == []
    scene.keeper.tick(scene.steady_ns + SILENCE_NS + 1)
    scene.keeper.tick(scene.steady_ns + 2 * SILENCE_NS + 2)
    only(results, Ending.ABORTED, words="joint_states: nothing for 5 s")


def test_where_time_stands_still_at_the_end_the_last_measurement_is_judged(scene):
    scene.off[0] = 0.2
    results = scene.begin()
    scene.run(END_S + 0.1)
    assert results == []
    scene.keeper.tick(scene.steady_ns + SILENCE_NS + 1)
    only(results, Ending.ABORTED, GoalCode.GOAL_TOLERANCE_VIOLATED, "shoulder_pan by 0.2")


def test_tolerances_of_joints_that_do_not_move_are_refused(scene):
    only(
        scene.begin(goal={"elbow_flex": 0.1}),
        Ending.ABORTED,
        GoalCode.INVALID_JOINTS,
        "elbow_flex",
    )


def test_before_anything_was_heard_nothing_is_begun():
    keeper = GoalKeeper(PARAMS, SPEC, Judge(spec=SPEC, start_rad=0.1), pytest.fail)
    results = []
    goal = TrajectoryGoal(
        trajectory=JointTrajectory(
            stamp_ns=0, joints=JOINTS, times_ns=(1,), positions=SPEC.home[None]
        )
    )
    keeper.begin(goal, pytest.fail, results.append, 0)
    only(results, Ending.ABORTED, words="nothing has arrived")
    keeper.cancel()
    keeper.tick(10 * SILENCE_NS)
