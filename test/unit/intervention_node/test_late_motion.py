"""A motion that arrives after its time is over gets no control."""

import numpy as np

from intervention_node.intervention import Intervention
from intervention_node.params import InterventionParams
from so101.clock import NS_PER_S, POLICY_GRID
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource, EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent
from so101.robot import JOINTS, so101

HOME = so101().home


def trajectory(stamp_ns):
    return JointTrajectory(
        stamp_ns=stamp_ns,
        joints=JOINTS,
        times_ns=(NS_PER_S // 2,),
        positions=np.array([HOME]),
    )


def test_a_motion_asked_for_before_the_scene_was_reset_does_not_keep_the_policy_out():
    """Home was asked for at 2 s; the scene was reset and stands at 10 s when it arrives."""
    node = Intervention(InterventionParams())
    list(node.on_command(2 * NS_PER_S, HOME))
    start_ns = POLICY_GRID.stamp(300)
    list(node.on_command(start_ns, HOME))
    assert node.offer(ControlSource.MOTION, trajectory(2 * NS_PER_S)).trajectory is None
    facts = EpisodeFacts(id="eval-1", source="policy")
    event = EpisodeEvent(stamp_ns=start_ns, state=EpisodeState.RUNNING, facts=facts)
    list(node.on_episode(event))
    assert node.offer(ControlSource.POLICY, trajectory(start_ns)).trajectory is not None


def test_a_motion_in_time_has_control():
    node = Intervention(InterventionParams())
    list(node.on_command(2 * NS_PER_S, HOME))
    ruling = node.offer(ControlSource.MOTION, trajectory(2 * NS_PER_S))
    assert ruling.trajectory is not None
