"""`so101 doctor --graph`: does the policy of a running graph keep up with its own chunks?"""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.clock import nanoseconds
from so101.status_events import PolicyInfo
from so101_bringup.doctor.finding import exit_code
from so101_bringup.doctor.latency import is_in_time
from so101_bringup.doctor.live import FEWEST_CHUNKS, Heard, check_live

CHUNK_S, DECISION_S = 16 / 30, 8 / 30
SHA = "0123456789abcdef"


def infos(latency_s, *, inference_s=None, decision_s=DECISION_S, count=6, refused=0, **values):
    """Return what a policy says that takes so long, in an episode of real time."""
    inference_s = latency_s if inference_s is None else inference_s
    return [
        PolicyInfo(
            stamp_ns=nanoseconds(number * max(decision_s, latency_s)),
            checkpoint=SHA,
            inference_ms=1e3 * inference_s,
            latency_ms=1e3 * latency_s,
            refused=refused * number,
            **{"schedule": "async", **values},
        )
        for number in range(count)
    ]


def heard(told, chunk_s=CHUNK_S, reports=9):
    return Heard(reports=reports, infos=told, chunk_s=[chunk_s] * len(told), waited_s=3.0)


def found(told, **options):
    return check_live(heard(told, **options), "domain 7")


def test_a_policy_that_keeps_up_is_fine_and_its_numbers_are_there():
    policy, latency = found(infos(0.1))
    assert policy.is_fine and "0123456789ab" in policy.text
    assert latency.text == (
        "an inference takes 100 ms at most; a chunk of 533 ms leaves 267 ms for it"
    )
    assert latency.is_fine and latency.numbers["decision_s"] == pytest.approx(DECISION_S)


def test_one_that_does_not_is_a_problem_with_what_to_do():
    findings = found(infos(0.3))
    assert exit_code(findings) == 1
    assert "takes 300 ms" in findings[1].text and "execute_steps" in findings[1].advice


@given(st.floats(0.01, 1.0), st.floats(0.05, 0.5), st.floats(0.1, 2.0))
def test_it_is_judged_by_whether_the_arm_would_ever_stand(takes_s, decision_s, chunk_s):
    """Chunk after chunk, played through: each begins to be planned when the last is there."""
    look_s, ends_s, stands = 0.0, chunk_s, False
    for _ in range(20):
        look_s = look_s + max(decision_s, takes_s)
        stands = stands or look_s + takes_s > ends_s + 1e-6
        ends_s = look_s + chunk_s
    is_close = abs(max(decision_s, takes_s) + takes_s - chunk_s) < 1e-5
    assert is_close or is_in_time(takes_s, decision_s, chunk_s) != stands


def test_the_slowest_of_all_counts():
    told = infos(0.1)
    told[2] = infos(0.4, count=3)[2]
    assert not found(told)[1].is_fine


def test_where_time_waits_nothing_is_late_and_an_arm_is_told_of():
    """Lock-step: the latency that is reckoned with is the declared one, whatever it took."""
    latency = found(infos(0.0, inference_s=0.4))[1]
    assert latency.is_fine and "its 400 ms would be too late on an arm" in latency.text
    assert "would be in time" in found(infos(0.0, inference_s=0.1))[1].text


def test_a_schedule_that_lets_the_arm_stand_is_nobodys_mistake():
    latency = found(infos(0.9, schedule="sync"))[1]
    assert latency.is_fine and "stands for 900 ms before each chunk" in latency.text


def test_chunks_that_may_not_be_followed_are_a_problem_of_their_own():
    policy, latency = found(infos(0.1, refused=1))
    assert "5 refused" in policy.text and policy.advice and latency.is_fine


def test_without_a_graph_or_a_policy_or_an_episode_it_says_what_to_start():
    nobody = found([], reports=0)
    assert "no graph was heard in domain 7" in nobody[0].text and nobody[0].advice
    silent = found([])
    assert "is silent" in silent[0].text and "episode/start" in silent[0].advice
    waits = PolicyInfo(stamp_ns=0, checkpoint=SHA, waiting_for="an episode")
    idle = found([waits] * 20)
    assert "runs 0123456789ab, waits for an episode; 0 chunks" in idle[0].text
    assert not found(infos(0.1, count=FEWEST_CHUNKS - 1))[0].is_fine
    assert [exit_code(one) for one in (nobody, silent, idle)] == [1, 1, 1]


@pytest.mark.ros
def test_it_listens_to_a_graph_and_to_no_other(ros_context, ros_domain):
    pytest.importorskip("rclpy")
    import numpy as np
    from rclpy.node import Node

    from so101.control.trajectory import JointTrajectory
    from so101.events import Event
    from so101.robot import JOINTS
    from so101.ros.convert import to_event
    from so101.ros.endpoints import Endpoints
    from so101.ros.spin import Spinner
    from so101.topics import DIAGNOSTICS, POLICY_INFO, POLICY_TRAJECTORY
    from so101_bringup.doctor.live_rounds import look_at_graph

    node = Node("policy", namespace="blue", context=ros_context, use_global_arguments=False)
    endpoints, told = Endpoints(node), infos(0.3, count=100)
    endpoints.offer(DIAGNOSTICS, POLICY_INFO, POLICY_TRAJECTORY)
    times_ns = tuple(nanoseconds((k + 1) / 30) for k in range(16))
    chunk = JointTrajectory(
        stamp_ns=1, joints=JOINTS, times_ns=times_ns, positions=np.zeros((16, 6))
    )

    def act():
        endpoints.publish(DIAGNOSTICS, to_event(Event(stamp_ns=1, name="policy_node")))
        if told:
            endpoints.tell(POLICY_INFO, told.pop(0))
            endpoints.command(POLICY_TRAJECTORY, chunk)

    node.create_timer(0.05, act)
    spinner = Spinner(node)
    thread = threading.Thread(target=spinner.spin)
    thread.start()
    try:
        assert "no graph" in look_at_graph("red", patience_s=0.5)[0].text
        policy, latency = look_at_graph("blue")
    finally:
        spinner.stop()
        thread.join()
        spinner.close()
        node.destroy_node()
    assert policy.is_fine, policy
    assert not latency.is_fine and latency.numbers["chunk_s"] == pytest.approx(CHUNK_S)
