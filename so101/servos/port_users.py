"""Who has a device open. A lock keeps out those who lock; LeRobot, for one, does not."""

import os
from pathlib import Path

PROC = Path("/proc")


def port_users(port: str, proc: Path = PROC) -> tuple[str, ...]:
    """Return the other processes that have a device open, as far as they may be looked at.

    Those of another user are not seen, unless we are root.

    Args:
        port: Path of the device, or a link to it.
        proc: Where the system lists processes.
    """
    device, found = os.path.realpath(port), []
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if int(process.name) != os.getpid() and device in _open_files(process):
            found.append(f"{_command(process)} (process {process.name})")
    return tuple(found)


def _open_files(process: Path) -> set[str]:
    try:
        return {os.readlink(file) for file in (process / "fd").iterdir()}
    except OSError:  # ended meanwhile, or somebody else's
        return set()


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "a program"
    return " ".join(words).strip()[:80] or "a program"
