"""What the arm promises a person, measured on the servo twin with the driver that users start.

The twin is a process that speaks the servos' bytes on a serial port and writes down what is true
of them 300 times a second. Driver and arbiter are the real nodes, unpatched; a process beside
them commands a fast motion as the policy node does. Each measurement does one thing to them, many
times, at random phases of that motion:

    policy_death      the policy is killed, stopped or hangs: when do goals and arm stand?
    estop             arm/estop is called: when does the stop begin, when do goals and arm stand?
    driver_death      the driver is killed: how far from the arm is the goal that stays?
    bus_silent        the servos fall silent: when is the arm at fault?
    start_up          the driver starts while a policy commands: what moves before it is armed?
    single_commander  somebody else commands, too: what does the arm do about it?

Every trial is a line of a file, and the next run goes on after the last line, so a measurement
can be cut into pieces (``--seconds``). Nothing else should run meanwhile.

    python benchmarks/guarantees.py [MEASUREMENT ...] [--rows FILE] [--seconds S] [--trials N]
        [--small] [--seed N] [--out FILE] [--figure FILE]
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from parts.guarantee_numbers import COUNTS, DISTURBED, read_rows, summary, table

SMALL = 2
WAVE = {"single_commander": "slow"}
"""What the policy wants where it is not the fast wave: here nothing is timed."""


def measure(arguments: argparse.Namespace, rows: Path) -> None:
    """Run trials that are not there yet, until all are or the time is over."""
    from parts.guarantee_stage import Stage

    end_s = time.monotonic() + arguments.seconds
    domain = 1 + os.getpid() % 90
    for name in arguments.measurements:
        wanted = arguments.trials or COUNTS[name]
        if len(read_rows(rows).get(name, ())) >= wanted or time.monotonic() > end_s:
            continue
        with tempfile.TemporaryDirectory(prefix="so101-guarantees-") as folder:
            wave = WAVE.get(name, "fast")
            with Stage(Path(folder), domain, wave) as stage:
                repeat(stage, name, (arguments.seed, wanted, end_s), rows)


def repeat(stage: Any, name: str, plan: tuple[int, int, float], rows: Path) -> None:
    """Run trials of one measurement, each of them a line of the file.

    Args:
        stage: Where.
        name: The measurement.
        plan: Seed, number of trials, and when to begin no other one that would be late [s].
        rows: The file.
    """
    from parts.guarantee_person import DisturbedError
    from parts.guarantee_trials import TRIALS

    seed, wanted, end_s = plan
    trial, longest_s = len(read_rows(rows).get(name, ())), 0.0
    while trial < wanted and time.monotonic() + longest_s < end_s:
        began_s = time.monotonic()
        row: dict[str, Any] = {"measurement": name, "trial": trial}
        try:
            row |= TRIALS[name](stage, np.random.default_rng((seed, trial)), trial)
            trial += 1
        except DisturbedError:  # once more; how often is published, too
            row = {"measurement": DISTURBED, "during": name, "trial": trial}
        with rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        longest_s = max(longest_s, time.monotonic() - began_s)


def main() -> None:
    """Measure, or be one of the processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measurements", nargs="*", metavar="MEASUREMENT", help=", ".join(COUNTS))
    parser.add_argument("--rows", type=Path, help="the file of trials; kept and gone on with")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time for all of it")
    parser.add_argument("--trials", type=int, default=0, help="of each; else as many as published")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--role", default="", help=argparse.SUPPRESS)
    parser.add_argument("--wave", default="", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path, help="draw what the rows say")
    arguments = parser.parse_args()
    if arguments.role:
        from parts.guarantee_policy import command
        from parts.guarantee_wave import WAVES

        command(arguments.role, WAVES[arguments.wave])
    for name in arguments.measurements:
        if name not in COUNTS:
            parser.error(f"{name!r}: not one of {', '.join(COUNTS)}")
    arguments.measurements = arguments.measurements or list(COUNTS)
    arguments.trials = SMALL if arguments.small else arguments.trials
    with tempfile.TemporaryDirectory() as folder:
        rows = arguments.rows or Path(folder) / "rows.jsonl"
        measure(arguments, rows)
        found = read_rows(rows)
    result = summary(found)
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.figure:
        from parts.guarantee_figure import draw

        arguments.figure.write_bytes(draw(result))


if __name__ == "__main__":
    main()
