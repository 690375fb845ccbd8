"""Our servo bus beside LeRobot's, in turn, on one twin. Prints JSON.

python bus_overhead.py OUR_PORT THEIR_PORT CALLS
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.port import SerialPort

IDS = (1, 2, 3, 4, 5, 6)
BLOCK = 50
GOAL = 2047


def timed(call: Callable[[], Any]) -> list[tuple[float, float]]:
    """Return CPU and elapsed time of each of some calls [µs]."""
    rows = []
    for _ in range(BLOCK):
        cpu, began = time.thread_time_ns(), time.perf_counter_ns()
        call()
        rows.append(((time.thread_time_ns() - cpu) / 1e3, (time.perf_counter_ns() - began) / 1e3))
    return rows


def main() -> None:
    """Measure in turn and print."""
    ours = ServoBus(SerialPort(sys.argv[1]))
    calls: dict[str, Callable[[], Any]] = {
        "so101: sync read of positions": lambda: ours.sync_read(56, 2, IDS),
        "so101: sync read of positions, speeds, loads": lambda: ours.sync_read(56, 6, IDS),
        "so101: sync write of goals": lambda: ours.sync_write(
            reg.GOAL_POSITION, dict.fromkeys(IDS, GOAL)
        ),
    }
    try:
        from lerobot.motors import Motor, MotorNormMode
        from lerobot.motors.feetech import FeetechMotorsBus
    except ImportError:
        sys.stderr.write("LeRobot is not installed: only our bus is measured\n")
    else:
        names = [str(servo) for servo in IDS]
        motors = {name: Motor(int(name), "sts3215", MotorNormMode.DEGREES) for name in names}
        theirs = FeetechMotorsBus(sys.argv[2], motors)
        theirs.connect()
        goals = dict.fromkeys(names, GOAL)
        calls["LeRobot: sync read of positions"] = lambda: theirs.sync_read(
            "Present_Position", normalize=False
        )
        calls["LeRobot: sync write of goals"] = lambda: theirs.sync_write(
            "Goal_Position", goals, normalize=False
        )
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(-(-int(sys.argv[3]) // BLOCK)):
        for name, call in calls.items():
            rows[name] += timed(call)
    result = {}
    for name, found in rows.items():
        cpu, elapsed = np.array(found).T
        result[name] = {
            "cpu_us": round(float(cpu.mean()), 1),
            **{
                f"elapsed_{key}_us": round(float(np.percentile(elapsed, part)), 1)
                for key, part in (("median", 50), ("p99", 99))
            },
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
