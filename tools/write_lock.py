"""Write the lock of the running Python: every package of its inputs, transitive ones too, pinned.

    python3.12 tools/write_lock.py [--constraint FILE]

Asks pip to resolve without installing anything and writes `requirements/py3XX.txt`. Names and
versions only: where packages come from is the business of the machine's own pip configuration.
A constraint such as ``torch===2.13.0`` (three equal signs) makes pip resolve the build of the
public index instead of a local one with fewer requirements.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
INPUTS = ("dev.in", "lerobot.in")  # together, so that one lock serves with and without LeRobot
HEADER = "# Written by tools/write_lock.py from {inputs}: do not edit. Python {version}."


def lock_path(version: tuple[int, int]) -> Path:
    """Return the lock file of a Python version (major, minor)."""
    return REQUIREMENTS / f"py{version[0]}{version[1]}.txt"


def normalized(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(packages: Iterable[tuple[str, str]]) -> list[str]:
    """Return sorted ``name==version`` lines; a build's local version (``+cpu``) is cut off.

    Args:
        packages: Name and version of each package.
    """
    versions = {normalized(name): version.split("+")[0] for name, version in packages}
    return [f"{name}=={versions[name]}" for name in sorted(versions)]


def resolve(constraint: Path | None) -> list[tuple[str, str]]:
    """Return name and version of every package that pip would install into an empty environment.

    Raises:
        subprocess.CalledProcessError: If pip finds no solution; pip has then said why.
    """
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--quiet", "--report", "-"]
    for name in INPUTS:
        command += ["-r", str(REQUIREMENTS / name)]
    if constraint is not None:
        command += ["-c", str(constraint)]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    entries = (entry["metadata"] for entry in json.loads(report)["install"])
    return [(str(entry["name"]), str(entry["version"])) for entry in entries]


def main() -> None:
    """Resolve and write the lock of the running Python."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraint", type=Path, help="pip constraints on top of the inputs")
    constraint = parser.parse_args().constraint
    version = sys.version_info[:2]
    header = HEADER.format(inputs=" and ".join(INPUTS), version=f"{version[0]}.{version[1]}")
    lines = [header, *pins(resolve(constraint))]
    lock_path(version).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{lock_path(version)}: {len(lines) - 1} packages")


if __name__ == "__main__":
    main()
