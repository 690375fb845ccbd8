"""Ends the graph's processes when their supervisor dies, however that happens.

A process of its own, started first. Its standard input is a pipe from the supervisor, which tells
it each process group that starts (``+123``) and ends (``-123``); the pipe's end is the death of
the supervisor, even by SIGKILL. Standard library only: it starts in a few hundredths of a second.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 2.0
"""Time between SIGTERM and SIGKILL [s]."""


def surviving(groups: Iterable[int], number: int) -> set[int]:
    """Send a signal to process groups and return those that were there. Signal 0 only asks."""
    alive = set()
    for group in groups:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            continue
        alive.add(group)
    return alive


def end(groups: set[int], grace_s: float = GRACE_S) -> None:
    """End process groups: SIGTERM, and SIGKILL for those that are left."""
    groups = surviving(groups, signal.SIGTERM)
    deadline_s = time.monotonic() + grace_s
    while groups and time.monotonic() < deadline_s:
        time.sleep(0.02)
        groups = surviving(groups, 0)
    surviving(groups, signal.SIGKILL)


def main() -> int:
    """Follow the supervisor until it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    end(groups)
    return 0


if __name__ == "__main__":
    sys.exit(main())
