"""What the loop costs beside the model: from a frame's publication to the controller. Writes JSON.

A process plays two 640x480 JPEG cameras at 30 Hz and joints at 60 Hz, on the grid and in real
time; the real policy_node answers with a policy that only looks at its images and holds; the real
intervention_node passes its trajectories on; a fourth process listens where the controller would.
A decision begins with the publication of the last message that its observation uses and ends
when the controller's callback has the trajectory. The holding policy's own time is counted, too.

Two ways to wait, because the frame that counts differs: ``frames_last`` waits for the frames of
the decision's own tick, which are published last (the simulation in lock-step); ``free`` decides
with the joint states and the newest frames that are there (a robot).

Beside them in the same run, in turn: ``bare``, the same bytes and as many processes in plain
rclpy with its default executor, which does nothing but answer. Ratios are to that.

    python benchmarks/loop_overhead.py [--decisions 500] [--rounds 2] [--small] [--out FILE]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from parts.children import Children
from parts.loop_notes import ROLES, Setting, command_of, decisions

DECISION_TICKS = 2
IMAGE_SIZE = (224, 224)
WARM_UP = 8
"""Decisions at the begin that are left out: the first ones meet cold caches."""

MEDIAN_MS, P99_MS = 5.0, 15.0
"""What the loop may cost."""

STAGES = (
    ("entered", "last message published, transported, taken and deserialised"),
    ("joined", "converted and joined"),
    ("began", "handed to the policy"),
    ("decoded", "images, as far as they have to be waited for"),
    ("planned", "the policy that holds"),
    ("told", "chunk to message"),
    ("arbiter entered", "published, transported to the arbiter, taken and deserialised"),
    ("arbiter told", "ruled on, to message"),
    ("controller", "published, transported to the controller, taken and deserialised"),
)


def make_checkpoint(root: Path) -> str:
    """Write a checkpoint whose policy is small; only its spec matters."""
    import torch

    from so101.action import ActionSpace
    from so101.policies.checkpoints.checkpoint import save_checkpoint
    from so101.policies.checkpoints.files import TrainingRecord
    from so101.policies.flow.config import FlowConfig, FlowNorms
    from so101.policies.flow.policy import FlowPolicy
    from so101.policies.transforms import Normalizer
    from so101.robot import CAMERAS, so101
    from so101.spec import PolicySpec

    torch.set_num_threads(1)
    space = ActionSpace(execute_steps=DECISION_TICKS)
    spec = PolicySpec(cameras=CAMERAS, image_size=IMAGE_SIZE, action_space=space)
    whole = Normalizer.from_range(so101().lower, so101().upper)
    policy = FlowPolicy(spec, FlowConfig(), FlowNorms(positions=whole, actions=whole), seed=0)
    record = TrainingRecord(algorithm="none", step=0)
    return str(save_checkpoint(root, "holding", policy, record).path)


def measure(setting: Setting, root: Path, domain: int) -> dict[str, Any]:
    """Run the processes of one round and return the moments of its decisions."""
    environment = {
        **os.environ,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(domain),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    outs = {name: root / f"{name}.json" for name in ROLES}
    with Children() as children:
        processes = {
            name: children.start(command_of(name, setting, out), environment=environment)
            for name, out in outs.items()
        }
        if processes["play"].wait(setting.seconds + 240.0):
            raise SystemExit("the streams were not played to their end")
        time.sleep(0.3)
    rows = {name: json.loads(out.read_text(encoding="utf-8")) for name, out in outs.items()}
    found = sorted(decisions(rows, setting), key=lambda one: one["stamp"])
    decoded = [(end - begin) * 1e-6 for begin, end in rows["act"].get("decoded", [])]
    return {"decisions": found[WARM_UP:], "decode_ms": decoded}


def spread(values: list[float]) -> dict[str, float]:
    """Return minimum, median, p95, p99 and maximum."""
    ordered = sorted(values)
    at = {"p95": 0.95, "p99": 0.99, "max": 1.0}
    last = len(ordered) - 1
    return {
        "min": round(ordered[0], 3),
        "median": round(statistics.median(ordered), 3),
        **{name: round(ordered[round(part * last)], 3) for name, part in at.items()},
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the spread of the totals and of every stage [ms]."""
    every = [one for row in rounds for one in row["decisions"]]
    whole = [one for one in every if "controller" in one]
    if not whole:
        raise SystemExit("no decision reached the controller")
    totals = [(one["controller"] - one["published"]) * 1e-6 for one in whole]
    result: dict[str, Any] = {
        "decisions": len(every),
        "lost": len(every) - len(whole),
        "total_ms": spread(totals),
    }
    if "joined" in whole[0]:
        names = ["published", *(name for name, _ in STAGES)]
        result["stages_ms"] = {
            after: spread([(one[after] - one[before]) * 1e-6 for one in whole])
            for before, after in pairwise(names)
        }
        result["busy_ms"] = spread([one["busy"] * 1e-6 for one in whole])
        decode_ms = [value for row in rounds for value in row["decode_ms"]]
        result["decode_ms"] = spread(decode_ms) if decode_ms else {}
        result["decodes_per_decision"] = round(len(decode_ms) / max(1, len(every)), 2)
    return result


def table(result: dict[str, Any]) -> str:
    """Return where the time goes, for a person."""
    lines = []
    head = f"{'':64}{'min':>9}{'median':>9}{'p95':>9}{'p99':>9}{'max':>9}  ms"
    for name, one in result["scenarios"].items():
        ours = one["ours"]
        lines += [f"{name}: {ours['decisions']} decisions, {ours['lost']} of them lost", head]
        rows = [(f"  {doc}", ours["stages_ms"][stage]) for stage, doc in STAGES]
        rows += [("total", ours["total_ms"]), ("bare rclpy", one["bare"]["total_ms"])]
        rows.append(("of the first stage, busy with other callbacks", ours["busy_ms"]))
        if ours["decode_ms"]:
            rows.append(("one decode, mostly beside", ours["decode_ms"]))
        lines += [f"{doc:64}" + "".join(f"{row[k]:9.2f}" for k in row) for doc, row in rows]
        lines.append(f"ratio to bare rclpy: median {one['ratio']}; within bounds: {one['is_met']}")
    return "\n".join(lines)


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--decisions", type=int, default=500, help="of each scenario")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--role", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.role:
        from parts.loop_roles import run_role  # ROS and the nodes, for these processes only

        run_role(arguments.role[0], arguments.role[1], Path(arguments.role[2]))
        return
    if arguments.small:
        arguments.decisions, arguments.rounds = 60, 1
    per_round = -(-arguments.decisions // arguments.rounds) + WARM_UP
    seconds = per_round * DECISION_TICKS / 30 + 0.1
    measured: dict[tuple[str, str], list[dict[str, Any]]] = {}
    domain = 1 + os.getpid() % 90
    with tempfile.TemporaryDirectory() as root:
        setting = Setting(
            seconds=seconds,
            decision_ticks=DECISION_TICKS,
            waits_for_frames=True,
            is_bare=False,
            checkpoint=make_checkpoint(Path(root)),
        )
        for number in range(arguments.rounds):
            for name, waits in (("frames_last", True), ("free", False)):
                for kind in ("ours", "bare")[:: 1 if number % 2 else -1]:
                    one = replace(setting, waits_for_frames=waits, is_bare=kind == "bare")
                    row = measure(one, Path(root), domain)
                    measured.setdefault((name, kind), []).append(row)
    result: dict[str, Any] = {"cpus": os.cpu_count(), "load": os.getloadavg(), "scenarios": {}}
    for name in ("frames_last", "free"):
        ours, bare = (summary(measured[name, kind]) for kind in ("ours", "bare"))
        total, ratio = ours["total_ms"], ours["total_ms"]["median"] / bare["total_ms"]["median"]
        is_met = total["median"] <= MEDIAN_MS and total["p99"] <= P99_MS and not ours["lost"]
        result["scenarios"][name] = {
            "ours": ours,
            "bare": bare,
            "ratio": round(ratio, 2),
            "is_met": is_met,
        }
    print(table(result))
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
