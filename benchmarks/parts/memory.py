"""What a process takes: its memory and its CPU time, from the kernel's books."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

MB = 1e6
EMPTY_NODE = (
    "import rclpy; from rclpy.signals import SignalHandlerOptions as Signals;"
    "rclpy.init(signal_handler_options=Signals.NO); node = rclpy.create_node('empty')"
)
"""A process with nothing but a node."""


def memory_mb(pid: int) -> dict[str, float]:
    """Return what a process has resident, and what of that is its own alone [MB]."""
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith("kB"):
            kilobytes[name] = int(rest.split()[0])
    own = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"rss": kilobytes["Rss"] * 1024 / MB, "uss": own * 1024 / MB}


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fresh(
    code: str, environment: dict[str, str], *, before: str = EMPTY_NODE, rounds: int = 3
) -> dict[str, float]:
    """Return what code costs in a process that has nothing else: medians of some rounds.

    Args:
        code: Imports, mostly; empty for nothing.
        environment: Variables of the process.
        before: What the process has done already; its time does not count.
        rounds: Processes.

    Returns:
        ``rss`` and ``uss`` of the whole process [MB], and ``ms``, the time of the code [ms].
    """
    program = (
        f"{before}\nimport time; began = time.perf_counter()\n{code}\n"
        "print((time.perf_counter() - began) * 1e3, flush=True); input()"
    )
    rows = []
    for _ in range(rounds):
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stdout is not None
        row = {"ms": float(process.stdout.readline()), **memory_mb(process.pid)}
        process.communicate("\n")
        rows.append(row)
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}
