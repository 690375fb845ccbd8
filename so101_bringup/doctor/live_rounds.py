"""Listens to a running graph for as long as a dozen chunks take."""

import os
import time
from typing import Any

from so101.clock import seconds
from so101.ros.client import GraphClient
from so101.ros.convert import from_joint_trajectory
from so101.status_events import PolicyInfo
from so101.topics import DIAGNOSTICS, POLICY_INFO, POLICY_TRAJECTORY
from so101_bringup.doctor.finding import Finding
from so101_bringup.doctor.live import Heard, check_live

CHUNKS = 12
PATIENCE_S = 10.0
"""Longest time to wait for them: a policy decides some times a second."""


def look_at_graph(namespace: str, patience_s: float = PATIENCE_S) -> list[Finding]:
    """Return what is found about the policy of a running graph.

    Args:
        namespace: Of the robot; empty for none.
        patience_s: Longest time to listen [s].
    """
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    where = f"domain {domain}" + (f", namespace {namespace}" if namespace else "")
    return check_live(listen(namespace, patience_s), where)


def listen(namespace: str, patience_s: float) -> Heard:
    """Listen to a graph; nothing is asked of it."""
    infos: list[PolicyInfo] = []
    chunk_s: list[float] = []
    reports: list[Any] = []

    def on_chunk(message: Any) -> None:
        times_ns = from_joint_trajectory(message).times_ns
        if times_ns:
            chunk_s.append(seconds(times_ns[-1]))

    with GraphClient("so101_doctor", namespace) as client:
        client.follow(POLICY_INFO, PolicyInfo, infos.append)
        client.listen(POLICY_TRAJECTORY, on_chunk)
        client.listen(DIAGNOSTICS, reports.append)
        began_s = time.monotonic()

        def is_over() -> bool:
            planned = sum(not info.waiting_for for info in infos)
            return min(planned, len(chunk_s)) >= CHUNKS

        client.spinner.spin_until(is_over, patience_s)
        waited_s = time.monotonic() - began_s
    return Heard(reports=len(reports), infos=infos, chunk_s=chunk_s, waited_s=waited_s)
