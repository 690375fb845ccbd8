"""What is drawn follows from what was said."""

import numpy as np
import pytest

from marker_node.scene import COLOURS, MOST_PLANNED, PLAN, STEP_M, Kind, Scene
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource, EpisodeFacts, EpisodeState
from so101.errors import ObservationError
from so101.events import ControlEvent, EpisodeEvent
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.robot import JOINTS

SECOND = 10**9
REST = np.zeros(6)


def scene(trail_s=10.0):
    return Scene(so101_chain(), trail_s)


def drawn(one, name):
    (found,) = (each for each in one.drawings() if each.name == name)
    return found


def turn(one, count, begin_ns=SECOND, step_rad=0.1):
    """Turn the base, a step every 0.1 s."""
    for k in range(count):
        positions = REST.copy()
        positions[0] = k * step_rad
        one.on_state(begin_ns + k * SECOND // 10, positions)


def plan(positions, stamp_ns=SECOND, joints=JOINTS):
    times = tuple((k + 1) * SECOND // 10 for k in range(len(positions)))
    return JointTrajectory(
        stamp_ns=stamp_ns, joints=joints, times_ns=times, positions=np.asarray(positions)
    )


def control(source):
    return ControlEvent(stamp_ns=0, source=source)


def episode(state):
    return EpisodeEvent(stamp_ns=0, state=state, facts=EpisodeFacts(id="demo-0003"))


def test_the_way_is_where_the_gripper_was():
    one = scene()
    turn(one, 5)
    way = drawn(one, "executed")
    expected = so101_chain().pose(np.array([0.4, 0, 0, 0, 0, 0]), GRASP_FRAME)[:3, 3]
    assert len(way.points) == len(way.colours) == 5
    np.testing.assert_allclose(way.points[-1], expected)


def test_who_stands_still_leaves_one_point_and_nothing_to_see():
    one = scene()
    turn(one, 50, step_rad=0.0)
    way = drawn(one, "executed")
    assert len(way.points) == 1 and not way.is_visible


def test_points_of_the_way_keep_their_distance():
    one = scene()
    turn(one, 400, step_rad=0.001)
    points = drawn(one, "executed").points
    assert 10 < len(points) < 400
    assert (np.linalg.norm(np.diff(points, axis=0), axis=1) >= STEP_M).all()


def test_the_way_is_as_long_as_was_asked():
    one = scene(trail_s=1.0)
    turn(one, 31)
    assert len(drawn(one, "executed").points) == 11


def test_a_takeover_has_another_colour():
    one = scene()
    one.on_control(control(ControlSource.POLICY))
    turn(one, 3)
    one.on_control(control(ControlSource.TELEOP))
    turn(one, 3, begin_ns=3 * SECOND, step_rad=-0.1)
    colours = drawn(one, "executed").colours
    assert colours[0] == COLOURS[ControlSource.POLICY]
    assert colours[-1] == COLOURS[ControlSource.TELEOP]
    assert len(set(COLOURS.values())) == len(ControlSource)


def test_an_episode_begins_with_a_clean_picture():
    one = scene()
    turn(one, 5)
    one.on_plan(plan(np.zeros((3, 6)), stamp_ns=2 * SECOND))
    one.on_episode(episode(EpisodeState.RUNNING))
    assert not drawn(one, "executed").is_visible and not drawn(one, "planned").is_visible


def test_time_that_goes_back_begins_anew():
    one = scene()
    turn(one, 5)
    one.on_state(1, REST)
    assert len(drawn(one, "executed").points) == 1


@pytest.mark.parametrize("count", [2, MOST_PLANNED, 50])
def test_a_plan_is_drawn_from_its_first_to_its_last_point(count):
    one = scene()
    one.on_state(SECOND, REST)
    positions = np.linspace(0, 0.5, count)[:, None] * np.ones(6)
    one.on_plan(plan(positions))
    line = drawn(one, "planned")
    assert len(line.points) == min(count, MOST_PLANNED)
    for place in (0, -1):
        expected = so101_chain().pose(positions[place], GRASP_FRAME)[:3, 3]
        np.testing.assert_allclose(line.points[place], expected)
    assert set(line.colours) == {PLAN}


@pytest.mark.parametrize("stamp_ns", [SECOND, 0])
def test_a_plan_that_is_over_is_taken_away(stamp_ns):
    one = scene()
    one.on_state(SECOND, REST)
    one.on_plan(plan(np.random.default_rng(0).uniform(-1, 1, (5, 6)), stamp_ns))
    one.on_state(SECOND + SECOND // 2, REST)
    assert drawn(one, "planned").is_visible
    one.on_state(SECOND + SECOND // 2 + 1, REST)
    assert not drawn(one, "planned").is_visible


@pytest.mark.parametrize(
    "bad",
    [
        plan(np.full((2, 6), np.nan)),
        plan(np.zeros((0, 6))),
        plan(np.zeros((2, 5)), joints=JOINTS[:5]),
        plan(np.zeros((2, 6)), joints=JOINTS[::-1]),
    ],
    ids=["nan", "empty", "five joints", "shuffled"],
)
def test_what_is_no_plan_is_refused_and_the_last_one_stays(bad):
    one = scene()
    one.on_state(SECOND, REST)
    one.on_plan(plan(np.random.default_rng(0).uniform(-1, 1, (5, 6))))
    before = drawn(one, "planned").points
    with pytest.raises(ObservationError, match="plan"):
        one.on_plan(bad)
    np.testing.assert_array_equal(drawn(one, "planned").points, before)


def test_a_reading_that_is_not_finite_is_no_point():
    one = scene()
    one.on_state(SECOND, np.full(6, np.nan))
    assert len(drawn(one, "executed").points) == 0


def test_words_name_episode_control_and_wait():
    one = scene()
    assert drawn(one, "words").text == "control: hold"
    one.on_episode(episode(EpisodeState.RUNNING))
    one.on_control(control(ControlSource.POLICY))
    assert drawn(one, "words").text == "demo-0003 running\ncontrol: policy"
    one.on_waiting("for 12 s: the recorder")
    words = drawn(one, "words")
    assert words.text.endswith("waiting for 12 s: the recorder")
    assert words.kind is Kind.TEXT and words.is_visible
    assert words.colours == (COLOURS[ControlSource.POLICY],)  # the key to the way's colours
