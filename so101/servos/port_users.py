"""Who has a device open. A lock keeps out those who lock; LeRobot, for one, does not."""

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def port_users(port: str, proc: Path = PROC) -> tuple[str, ...]:
    """Return the other processes that have a device open, as far as they may be looked at.

    Those of another user are not seen, unless we are root. Who made a pseudo-terminal does not
    use it, but is what is on its other end, such as simulated servos.

    Args:
        port: Path of the device, or a link to it.
        proc: Where the system lists processes.
    """
    device, found = os.path.realpath(port), []
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        files = {} if int(process.name) == os.getpid() else _open_files(process)
        if device in files.values() and not _is_other_end(process, files, device):
            found.append(f"{_command(process)} (process {process.name})")
    return tuple(found)


def _open_files(process: Path) -> dict[str, str]:
    """Return what a process has open, by descriptor."""
    try:
        return {file.name: os.readlink(file) for file in (process / "fd").iterdir()}
    except OSError:  # ended meanwhile, or somebody else's
        return {}


def _is_other_end(process: Path, files: dict[str, str], device: str) -> bool:
    folder, number = os.path.split(device)
    for descriptor, name in files.items():
        if folder == "/dev/pts" and name.endswith("ptmx"):
            with suppress(OSError):
                lines = (process / "fdinfo" / descriptor).read_text().splitlines()
                if f"tty-index:\t{number}" in lines:
                    return True
    return False


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "a program"
    return " ".join(words).strip()[:80] or "a program"
