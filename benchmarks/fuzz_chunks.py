"""A million trajectory messages, good ones and every kind of nonsense: is any servo goal unsafe?

    python benchmarks/fuzz_chunks.py --chunks 1000000 --minutes 9 --state build/fuzz.json --out F
    python benchmarks/fuzz_chunks.py --replay 17

Messages go as bytes through what the nodes are made of: reading, arbiter, driver, gate, ticks, the
packets on the servo bus (``parts/fuzz_path.py``). An oracle that knows nothing of that code judges
every goal on the bus: finite, inside the calibrated range, within the velocity and acceleration
limits and never further than 0.1 s at full speed from the measured position
(``parts/fuzz_oracle.py``). An exception that would end a node counts as a violation, too.

The run is cut into stories of some thousand messages, each with a new arm and a generator of its
own (seed, number), so it can be broken off and goes on where it was (``--state``), and any story
can be told again (``--replay``).
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from parts.fuzz_path import Story, tell

STORY_CHUNKS = 2000
MARGINS = ("velocity", "acceleration", "lead")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--chunks", type=int, default=1_000_000, help="in all, over every run")
    parser.add_argument("--story-chunks", type=int, default=STORY_CHUNKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="of this run at most")
    parser.add_argument("--state", type=Path, help="where the run is kept, to go on later")
    parser.add_argument("--replay", type=int, metavar="STORY", help="tell one story, print all")
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.chunks, arguments.story_chunks, arguments.minutes = 2000, 1000, 1.0
    return arguments


@contextlib.contextmanager
def quiet_middleware() -> Iterator[None]:
    """Keep what the middleware's own code says of every broken message off the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def begin(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the run so far: the one that is kept, or a new one."""
    new = {
        "seed": arguments.seed,
        "story_chunks": arguments.story_chunks,
        "next_story": 0,
        "chunks": 0,
        "ticks": 0,
        "goals": 0,
        "seconds": 0.0,
        "exempt": 0,
        "travelled_rad": 0.0,
        "margins": dict.fromkeys(MARGINS, 0.0),
        "counts": {},
        "violations": [],
    }
    if arguments.state is None or not arguments.state.exists():
        return new
    kept: dict[str, Any] = json.loads(arguments.state.read_text("utf-8"))
    for key in ("seed", "story_chunks"):
        if kept[key] != new[key]:
            raise SystemExit(f"{arguments.state}: {key} is {kept[key]}, not {new[key]}")
    return kept


def add(run: dict[str, Any], story: Story, seconds: float) -> None:
    """Add a story to the run."""
    number = run["next_story"]
    for violation in story.violations:
        run["violations"].append({"story": number, "what": violation})
    run["next_story"] = number + 1
    run["chunks"] += story.chunks
    run["ticks"] += story.ticks
    run["goals"] += story.goals
    run["seconds"] += seconds
    run["exempt"] += story.oracle.exempt
    run["travelled_rad"] += story.oracle.margins.travelled
    for name in MARGINS:
        run["margins"][name] = max(run["margins"][name], getattr(story.oracle.margins, name))
    run["counts"] = dict(sorted((Counter(run["counts"]) + story.counts).items()))


def keep(run: dict[str, Any], path: Path) -> None:
    """Write the run, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    part.replace(path)


def tell_quietly(run: dict[str, Any], number: int) -> Story:
    """Tell a story of the run."""
    with quiet_middleware(), np.errstate(all="ignore"):
        return tell(run["seed"], number, run["story_chunks"])


def replay(run: dict[str, Any], number: int) -> int:
    """Tell one story again, and what came of it; return the exit code."""
    story = tell_quietly(run, number)
    for what, count in sorted(story.counts.items()):
        print(f"{count:7d} {what}")
    print(f"story {number}: {story.chunks} chunks, {story.goals} goals, {story.oracle.margins}")
    for violation in story.violations:
        print(violation)
    return 1 if story.violations else 0


def main() -> int:
    """Run until enough chunks or the time is over; return 1 after a violation."""
    arguments = parse()
    run = begin(arguments)
    if arguments.replay is not None:
        return replay(run, arguments.replay)
    end_s = time.monotonic() + 60.0 * arguments.minutes
    while run["chunks"] < arguments.chunks and time.monotonic() < end_s:
        began_s, number, before = time.monotonic(), run["next_story"], len(run["violations"])
        add(run, tell_quietly(run, number), time.monotonic() - began_s)
        for violation in run["violations"][before:]:
            print(f"story {number} (--seed {run['seed']} --replay {number}): {violation['what']}")
        if arguments.state is not None:
            keep(run, arguments.state)
    run["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    print(
        f"{run['chunks']} chunks, {run['ticks']} ticks, {run['goals']} goals judged, "
        f"{len(run['violations'])} violations, {run['seconds']:.0f} s, nearest {run['margins']}"
    )
    if arguments.out is not None:
        keep(run, arguments.out)
    return 1 if run["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
