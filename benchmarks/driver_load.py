"""What a real robot's processes cost: CPU, memory, imports, and the servo bus. Writes JSON.

Two servo twins; hardware_node, intervention_node, teleop_node with a leader that a hand moves, and
a camera_node that passes 640x480 JPEGs of a directory on, somebody listening. Memory is above that
of an empty rclpy node. Imports are measured in processes of their own, each on top of an empty
node. The bus is measured beside LeRobot's, in turn, where LeRobot is installed.

    python benchmarks/driver_load.py [--parts nodes bus imports] [--seconds 20] [--calls 1000]
        [--rounds 3] [--small] [--out FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from parts.children import Children
from parts.memory import EMPTY_NODE, cpu_s, fresh, memory_mb
from parts.twin_robot import Robot, call, environment, ros_arguments

from camera_node.source import Wanted
from camera_node.stand_ins import drawn
from so101.ros.client import GraphClient

CPU_PERCENT, MEMORY_MB = 15.0, 100.0
"""What the driver may take: of one core, and above an empty rclpy node."""

IMPORTS = {
    "numpy": "import numpy",
    "serial": "import serial",
    "ruckig": "import ruckig",
    "mujoco": "import numpy, mujoco",
    "collision model": "from so101.kinematics.collision import CollisionModel as C; c = C()",
    "cv2": "import numpy, cv2",
    "message packages": "import sensor_msgs.msg, trajectory_msgs.msg, diagnostic_msgs.msg",
    "hardware_node": "import hardware_node.node",
    "teleop_node": "import teleop_node.node",
    "intervention_node": "import intervention_node.node",
    "camera_node": "import camera_node.node",
    "lerobot's bus": "import lerobot.motors.feetech",
}
WIDTH, HEIGHT, FRAMES = 640, 480, 60
LISTEN = """
import signal
import rclpy
from sensor_msgs.msg import CompressedImage
rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
node = rclpy.create_node("looker")
topic = "wrist_camera/image_raw/compressed"
node.create_subscription(CompressedImage, topic, lambda message: None, 10)
rclpy.spin(node)
"""
EMPTY = "empty rclpy node"
PARTS = ("nodes", "bus", "imports")


def imports(domain: int, rounds: int) -> dict[str, Any]:
    """Return what each import costs above an empty node."""
    variables = environment(domain)
    empty = fresh("", variables, rounds=rounds)
    result: dict[str, Any] = {EMPTY: _rounded(empty)}
    for name, code in IMPORTS.items():
        try:
            cost = fresh(code, variables, rounds=rounds)
        except ValueError:  # it printed no time: there is no such module
            continue
        above = {key: cost[key] - empty[key] for key in ("rss", "uss")}
        result[name] = _rounded({"ms": cost["ms"], **above})
    return result


def write_frames(folder: Path) -> Path:
    """Write the JPEGs that the camera delivers, each another one."""
    folder.mkdir()
    _, jpegs = drawn(Wanted(height=HEIGHT, width=WIDTH, rate_hz=30), 90, 0)
    for index, jpeg in enumerate(islice(jpegs, FRAMES)):
        (folder / f"{index:04}.jpg").write_bytes(jpeg)
    return folder


def nodes(seconds: float, folder: Path, domain: int) -> dict[str, Any]:
    """Return CPU [percent of a core] and memory [MB] of each node while the leader leads."""
    frames = write_frames(folder / "frames")
    with Children() as children:
        robot = Robot(children, folder)
        camera = {"camera": "wrist", "backend": "recorded", "device": str(frames)}
        params = {
            "hardware_node": robot.driver_params,
            "intervention_node": {"lockstep": False, "teleop_device": "leader"},
            "teleop_node": robot.teleop_params,
            "camera_node": {**camera, "width": WIDTH, "height": HEIGHT, "rate": 30},
        }
        variables = environment(domain)
        pids = {
            name: children.start(
                [sys.executable, "-m", f"{name}.node", *ros_arguments(options)],
                environment=variables,
            ).pid
            for name, options in params.items()
        }
        pids["servo twin"] = robot.process.pid
        children.start([sys.executable, "-c", LISTEN], environment=variables)
        nothing = [sys.executable, "-c", f"{EMPTY_NODE}; import time; time.sleep(600)"]
        empty = children.start(nothing, environment=variables).pid
        os.environ.update(variables)
        with GraphClient() as client:
            robot.arm(client)
            call(client, "intervention/take_over")
            robot.take_in_hand(client)
            robot.wave()
            time.sleep(1.0)
            before = {name: (cpu_s(pid), time.monotonic()) for name, pid in pids.items()}
            time.sleep(seconds)
            result = {EMPTY: _rounded({"cpu_percent": 0.0, **memory_mb(empty)})}
            for name, pid in pids.items():
                cpu, began = before[name]
                percent = 100.0 * (cpu_s(pid) - cpu) / (time.monotonic() - began)
                result[name] = _rounded({"cpu_percent": percent, **memory_mb(pid)})
    return result


def bus(calls: int, folder: Path) -> dict[str, Any]:
    """Return what calls of our bus and of LeRobot's cost."""
    folder.mkdir()
    script = Path(__file__).parent / "parts" / "bus_overhead.py"
    with Children() as children:
        robot = Robot(children, folder)
        done = subprocess.run(
            [sys.executable, script, robot.follower, robot.leader, str(calls)],
            env=environment(0),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def judged(result: dict[str, Any]) -> dict[str, bool]:
    """Tell which bounds are kept."""
    met, found = {}, result.get("bus", {})
    if "nodes" in result:
        driver, empty = result["nodes"]["hardware_node"], result["nodes"][EMPTY]
        met["cpu"] = driver["cpu_percent"] <= CPU_PERCENT
        met["memory"] = all(driver[key] - empty[key] <= MEMORY_MB for key in ("rss", "uss"))
    for name in ("sync read of positions", "sync write of goals"):
        theirs = found.get(f"LeRobot: {name}")
        if theirs is not None:
            met[name] = found[f"so101: {name}"]["cpu_us"] <= theirs["cpu_us"]
    return met


def _rounded(row: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 1) for key, value in row.items()}


def table(result: dict[str, Any]) -> str:
    """Return the figures for a person."""
    lines = []
    if "nodes" in result:
        empty = result["nodes"][EMPTY]
        lines.append(f"{'':48}{'CPU %':>9}{'RSS MB':>9}{'USS MB':>9}  above an empty node")
        for name, row in result["nodes"].items():
            above = (row["cpu_percent"], row["rss"] - empty["rss"], row["uss"] - empty["uss"])
            lines.append(f"{name:48}" + "".join(f"{value:9.1f}" for value in above))
    heads = {
        "imports": f"{'import':48}{'ms':>9}{'RSS MB':>9}{'USS MB':>9}",
        "bus": f"{'bus':48}{'CPU':>9}{'median':>9}{'p99':>9}  µs",
    }
    for part, head in heads.items():
        if part in result:
            lines.append(head)
        for name, row in result.get(part, {}).items():
            lines.append(f"{name:48}" + "".join(f"{value:9.1f}" for value in row.values()))
    return "\n".join([*lines, f"within bounds: {result['is_met']}"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--calls", type=int, default=1000, help="of each kind, on the bus")
    parser.add_argument("--rounds", type=int, default=3, help="of each import")
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.seconds, arguments.calls, arguments.rounds = 2.0, 50, 1
    domain = 1 + os.getpid() % 90
    result: dict[str, Any] = {"cpus": os.cpu_count(), "load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as root:
        measures = {
            "nodes": lambda: nodes(arguments.seconds, Path(root), domain),
            "bus": lambda: bus(arguments.calls, Path(root) / "bus"),
            "imports": lambda: imports(domain, arguments.rounds),
        }
        for part in arguments.parts:
            result[part] = measures[part]()
    result["is_met"] = judged(result)
    print(table(result))
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
