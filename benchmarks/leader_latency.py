"""From the leader's bus to the follower's: how late a hand's motion is, and why. Writes JSON.

Two servo twins; the real hardware_node, intervention_node and teleop_node in free-running time.
The twin's hand moves three joints of the leader to and fro. A latency begins when the leader has
answered and ends when the first goal that rests on this reading has been written to the
follower's bus. A motion that begins just after a reading waits for the next one besides: that is
reported as well, from the reading before.

    python benchmarks/leader_latency.py [--seconds 30] [--small] [--out FILE]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from parts.children import Children
from parts.twin_robot import Robot, call, environment, ros_arguments

from so101.robot import JOINTS
from so101.ros.client import GraphClient

P99_MS = 30.0
"""What may pass from a reading to the goal, but for one in a hundred."""

STAGES = (
    ("read", "the leader's bus: asked and answered"),
    ("told", "guided, to message, published"),
    ("arbiter", "transported to the arbiter, taken and deserialised"),
    ("passed", "ruled on, to message, published"),
    ("followed", "transported to the driver, taken, followed"),
    ("tick", "waiting for the driver's tick: its reading, filters and gate included"),
    ("written", "the goal, to the bus"),
)
ROLES = ("drive", "arbitrate", "lead")
SETTLE_S = 2.0
"""After the leader was let go the follower is slow at first; that is not measured [s]."""


def measure(seconds: float, folder: Path, domain: int) -> dict[str, Any]:
    """Run the graph with a leader that is led for some time; return the notes of its nodes."""
    with Children() as children:
        robot = Robot(children, folder)
        params = {
            "drive": robot.driver_params,
            "arbitrate": {"lockstep": False, "teleop_device": "leader"},
            "lead": robot.teleop_params,
        }
        outs = {role: folder / f"{role}.json" for role in ROLES}
        script = str(Path(__file__).parent / "parts" / "leader_roles.py")
        for role in ROLES:
            children.start(
                [sys.executable, script, role, str(outs[role]), *ros_arguments(params[role])],
                environment=environment(domain),
            )
        os.environ.update(environment(domain))
        with GraphClient() as client:
            robot.arm(client)
            call(client, "intervention/take_over")
            robot.take_in_hand(client)
            robot.wave()
            time.sleep(SETTLE_S)
            began_ns = time.monotonic_ns()
            time.sleep(seconds)
            ended_ns = time.monotonic_ns()
        lost = {arm: robot.state(arm)["lost_steps"] for arm in ("follower", "leader")}
        children.end()
    rows = {role: json.loads(out.read_text(encoding="utf-8")) for role, out in outs.items()}
    return {"rows": rows, "span_ns": (began_ns, ended_ns), "lost_steps": lost}


def latencies(rows: dict[str, Any], span_ns: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Yield the moments of each reading of the leader that was passed on [ns].

    Args:
        rows: Notes by role.
        span_ns: Begin and end of what counts [ns].
    """
    passed = dict(rows["arbitrate"]["told"])
    heard = dict(rows["arbitrate"]["heard"])
    followed = dict(rows["drive"]["followed"])
    reads, written = rows["lead"]["read"], rows["drive"]["written"]
    begins = np.array([row[2] for row in written])
    ends = np.array([row[1] for row in reads])
    for stamp, told in rows["lead"]["told"]:
        if not span_ns[0] <= told <= span_ns[1]:
            continue
        index = int(np.searchsorted(ends, told)) - 1
        asked, answered, positions = reads[index]
        if stamp not in followed:
            yield {"stamp": stamp}
            continue
        first = written[int(np.searchsorted(begins, followed[stamp]))]
        yield {
            "stamp": stamp,
            "before": reads[index - 1][1],
            "asked": asked,
            "read": answered,
            "told": told,
            "arbiter": heard[stamp],
            "passed": passed[stamp],
            "followed": followed[stamp],
            "tick": first[2],
            "written": first[3],
            "is_newest": first[1] == stamp,
            "off": (np.array(first[4]) - np.array(positions)).tolist(),
        }


def spread(values: list[float]) -> dict[str, float]:
    """Return median, p99 and maximum."""
    at = (("median", 50), ("p95", 95), ("p99", 99), ("max", 100))
    return {name: round(float(np.percentile(values, part)), 3) for name, part in at}


def summary(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the spread of the latency and its stages [ms]."""
    every = list(latencies(measured["rows"], measured["span_ns"]))
    whole = [one for one in every if "written" in one]
    if not whole:
        raise SystemExit("no reading of the leader reached the follower")
    names = ["asked", *(name for name, _ in STAGES)]
    total = spread([(one["written"] - one["read"]) * 1e-6 for one in whole])
    return {
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "readings": len(every),
        "not_passed": len(every) - len(whole),
        "overtaken": sum(not one["is_newest"] for one in whole),
        "lost_steps": measured["lost_steps"],
        "total_ms": total,
        "after_the_reading_before_ms": spread(
            [(one["written"] - one["before"]) * 1e-6 for one in whole]
        ),
        "stages_ms": {
            after: spread([(one[after] - one[before]) * 1e-6 for one in whole])
            for before, after in pairwise(names)
        },
        "goal_off_the_reading_rad": {
            joint: spread([abs(one["off"][index]) for one in whole])
            for index, joint in enumerate(JOINTS)
        },
        "is_met": total["p99"] <= P99_MS,
    }


def table(result: dict[str, Any]) -> str:
    """Return where the time goes, for a person."""
    rows = [(f"  {doc}", result["stages_ms"][name]) for name, doc in STAGES]
    rows.append(("from the answer to the written goal", result["total_ms"]))
    rows.append(("from the reading before", result["after_the_reading_before_ms"]))
    keys = ("median", "p95", "p99", "max")
    head = f"{result['readings']} readings, {result['not_passed']} not passed on"
    lines = [f"{head:74}" + "".join(f"{key:>9}" for key in keys) + "  ms"]
    lines += [f"{doc:74}" + "".join(f"{row[key]:9.2f}" for key in keys) for doc, row in rows]
    for joint, off in result["goal_off_the_reading_rad"].items():
        lines.append(f"goal beside the reading, {joint}: p99 {off['p99']:.4f} rad")
    return "\n".join([*lines, f"within bounds: {result['is_met']}"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seconds = 3.0 if arguments.small else arguments.seconds
    with tempfile.TemporaryDirectory() as root:
        result = summary(measure(seconds, Path(root), 1 + os.getpid() % 90))
    print(table(result))
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
