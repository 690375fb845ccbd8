"""Whoever speaks FollowJointTrajectory moves the arm through the arbiter, as MoveIt and RViz do.

control_msgs and moveit_msgs come with a ROS distribution; elsewhere these tests are skipped.
"""

import numpy as np
import pytest

pytest.importorskip("control_msgs.action")
pytest.importorskip("rclpy.action")

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from contracts.policy_factories import make_policy
from control_msgs.action import FollowJointTrajectory
from control_msgs.msg import JointTolerance
from integration import graphs
from integration.watching import Watch
from rclpy.action.client import ActionClient
from trajectory_msgs.msg import JointTrajectory as TrajectoryMessage
from trajectory_msgs.msg import JointTrajectoryPoint

from so101.control.trajectory_goal import GoalCode
from so101.episode import ControlSource, EpisodeState
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.robot import JOINTS, so101
from so101.services import FOLLOW_TRAJECTORY

SPEC = so101()
NEAR_RAD = 0.02
SLOW_S = 6.0
"""Long enough for somebody to step in on the way, also on a busy machine [s]."""
FREE = {"lockstep": False}


class Client(Watch):
    """Sends goals as MoveIt's controller manager does."""

    def __init__(self, domain, monkeypatch):
        super().__init__(domain, monkeypatch)
        self._action = ActionClient(self._node, FollowJointTrajectory, FOLLOW_TRAJECTORY.name)
        self.heard = []

    def wait(self):
        self.until(self._action.server_is_ready)
        self.until(lambda: self.changes)

    def send(self, positions, end_s, joints=JOINTS, **values):
        """Send a goal of one point and return its handle.

        It may lag as it likes: where time waits for nobody, a busy machine is late.
        """
        values.setdefault(
            "path_tolerance", [JointTolerance(name=joint, position=-1.0) for joint in joints]
        )
        point = JointTrajectoryPoint(
            positions=[float(value) for value in positions],
            time_from_start=Duration(sec=int(end_s), nanosec=round(end_s % 1 * 1e9)),
        )
        trajectory = TrajectoryMessage(joint_names=list(joints), points=[point])
        goal = FollowJointTrajectory.Goal(trajectory=trajectory, **values)
        self.heard = []
        sent = self._action.send_goal_async(
            goal, feedback_callback=lambda message: self.heard.append(message.feedback)
        )
        self.until(sent.done)
        assert sent.result().accepted
        return sent.result()

    def result(self, handle):
        future = handle.get_result_async()
        self.until(future.done)
        return future.result()

    def ends(self, handle, status, code, words=""):
        found = self.result(handle)
        assert (found.status, found.result.error_code) == (status, code), found.result
        assert words in found.result.error_string
        return found.result

    def is_at(self, joint, position):
        return abs(self.commands[-1][JOINTS.index(joint)] - position) < NEAR_RAD


@pytest.fixture(params=["waiting", "free"])
def options(request, tmp_path):
    """Simulated time that waits for everybody, and time that waits for nobody."""
    record = TrainingRecord(algorithm="sft", step=0)
    made = save_checkpoint(tmp_path, "made", make_policy(), record)
    options = {"speed": 1.0, "checkpoint": str(made.path)}
    if request.param == "waiting":
        return options
    params = graphs.write_params(
        tmp_path / "params.yaml",
        simulation_node=FREE,
        intervention_node={**FREE, "alive_timeout": 0.8},
    )
    return {**options, "params_file": params}


@pytest.mark.timeout(300)  # it starts a graph, and every goal takes its time
def test_a_goal_goes_its_way_to_whatever_end(options, tmp_path, monkeypatch):
    """One long story, because every graph takes seconds to start."""
    with graphs.running("up", tmp_path / "run", **options) as graph:
        client = Client(graph.domain, monkeypatch)
        client.wait()
        not_in_an_episode(client)  # it tells everybody where the arm is, also who came late
        disarmed_is_refused(client)
        client.call("arm/arm", True)
        carried_out(client)
        refused_in_words(client)
        cancelled(client, graph)
        replaced(client)
        taken_over(client)
        stopped(client)
        client.close()
        graph.interrupt()


def disarmed_is_refused(client):
    client.call("arm/arm", False)
    handle = client.send([0.3], 1.0, ["shoulder_pan"])
    client.ends(handle, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "disarmed")


def carried_out(client):
    """In any order, some of the joints; the others stay where they are commanded."""
    handle = client.send([0.0], 3.0, ["shoulder_pan"])
    client.ends(handle, GoalStatus.STATUS_SUCCEEDED, GoalCode.SUCCESSFUL)
    client.until(lambda: client.is_at("shoulder_pan", 0.0))
    before = client.commands[-1]
    handle = client.send([0.4, 0.3], 4.0, ["wrist_flex", "shoulder_pan"])
    client.ends(handle, GoalStatus.STATUS_SUCCEEDED, GoalCode.SUCCESSFUL)
    client.until(lambda: client.is_at("wrist_flex", 0.4) and client.is_at("shoulder_pan", 0.3))
    others = [JOINTS.index(joint) for joint in ("shoulder_lift", "elbow_flex", "wrist_roll")]
    assert np.abs(client.commands[-1] - before)[others].max() < NEAR_RAD
    assert len(client.heard) > 10
    for one in client.heard:
        assert tuple(one.joint_names) == JOINTS
        error = np.array(one.desired.positions) - np.array(one.actual.positions)
        np.testing.assert_allclose(one.error.positions, error)
    pans = [one.desired.positions[0] for one in client.heard]
    assert pans == sorted(pans) and pans[-1] > pans[0]


def refused_in_words(client):
    for positions, joints, values, code, words in (
        ([0.1], ["elbow"], {}, GoalCode.INVALID_JOINTS, "unknown: elbow"),
        ([9.0], ["shoulder_pan"], {}, GoalCode.INVALID_GOAL, "outside"),
        ([float("nan")], ["shoulder_pan"], {}, GoalCode.INVALID_GOAL, "finite"),
        (
            [0.2],
            ["shoulder_pan"],
            {"path_tolerance": [JointTolerance(name="shoulder_pan", velocity=1.0)]},
            GoalCode.INVALID_GOAL,
            "velocities",
        ),
    ):
        handle = client.send(positions, 2.0, joints, **values)
        client.ends(handle, GoalStatus.STATUS_ABORTED, code, words)


def cancelled(client, graph):
    """The arm comes to rest on its way, and somebody else may move it at once."""
    handle = client.send([-0.8], SLOW_S, ["shoulder_pan"])
    client.until(lambda: len(client.heard) > 5)
    handle.cancel_goal_async()
    client.ends(handle, GoalStatus.STATUS_CANCELED, GoalCode.SUCCESSFUL, "cancelled")
    resting = client.commands[-1]
    assert not client.is_at("shoulder_pan", -0.8)
    graph.spend(0.5)
    client.hears(0.1)
    assert np.abs(client.commands[-1] - resting).max() < NEAR_RAD


def replaced(client):
    first = client.send([-0.8], SLOW_S, ["shoulder_pan"])
    client.until(lambda: len(client.heard) > 5)
    second = client.send([0.0], 4.0, ["shoulder_pan"])
    client.ends(first, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "another goal")
    client.ends(second, GoalStatus.STATUS_SUCCEEDED, GoalCode.SUCCESSFUL)
    third = client.send([0.8], SLOW_S, ["shoulder_pan"])
    client.until(lambda: len(client.heard) > 5)
    assert "moving home" in client.client.call("motion/home")
    client.ends(third, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "goes home")
    client.until(lambda: np.abs(client.commands[-1] - SPEC.home).max() < 1e-3)


def taken_over(client):
    handle = client.send([0.8], SLOW_S, ["shoulder_pan"])
    client.until(lambda: len(client.heard) > 5)
    client.client.call("intervention/take_over")
    client.ends(handle, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "takeover")
    handle = client.send([0.0], 2.0, ["shoulder_pan"])
    client.ends(handle, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "taken over")
    client.client.call("intervention/release")
    client.until_control(ControlSource.HOLD, "released")


def stopped(client):
    """By e-stop; and after it the arm has to be armed."""
    handle = client.send([0.8], SLOW_S, ["shoulder_pan"])
    client.until(lambda: len(client.heard) > 5)
    client.client.call("arm/estop", True)
    client.ends(handle, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "estop")
    client.call("arm/recover")
    handle = client.send([0.0], 2.0, ["shoulder_pan"])
    client.ends(handle, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "disarmed")
    client.call("arm/arm", True)
    handle = client.send([0.0], 2.0, ["shoulder_pan"])
    client.ends(handle, GoalStatus.STATUS_SUCCEEDED, GoalCode.SUCCESSFUL)


def not_in_an_episode(client):
    """Its actions are its source's."""
    client.start_episode()
    handle = client.send([0.0], 2.0, ["shoulder_pan"])
    client.ends(handle, GoalStatus.STATUS_ABORTED, GoalCode.INVALID_GOAL, "is running")
    client.call("episode/success")
    client.until_episode(EpisodeState.SUCCEEDED)
