"""Build the virtual environment: `python3.12 tools/setup_venv.py --venv .venv`. Standard library.

Installs what `requirements/dev.in` names in the versions of this Python's lock, with `--lerobot`
also `lerobot.in`, then this project itself, editable, without network. An environment that has
LeRobot keeps it. `so101-setup.txt` in the environment records what was installed;
while it matches, there is nothing to do and no network is needed. A mark lies there while pip
works: found at the start, it means that a set-up was killed half-way, and the environment is built
anew (pip's cache still has what was downloaded).
"""

import argparse
import hashlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = "so101-setup.txt"
MARK = "so101-setup-unfinished"
LOG = "so101-setup.log"
LAST_LINES = 15
REPORT_EVERY = 20
BASE, LEROBOT = "dev.in", "lerobot.in"

Runner = Callable[[list[str]], None]


class SetupError(Exception):
    """The environment could not be built; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an environment was built from.

    Attributes:
        python: Path of the Python that the environment is based on.
        version: Its version, such as ``3.12.1``.
        requirements: Digest of the inputs and the lock.
        package: Digest of the files that define this project's own installation.
        inputs: The files of `requirements` that were installed, separated by spaces.
    """

    python: str
    version: str
    requirements: str
    package: str
    inputs: str = BASE

    def text(self) -> str:
        """Return the record as ``key=value`` lines."""
        return "".join(f"{key}={value}\n" for key, value in vars(self).items())


def read_record(venv: Path) -> Record | None:
    """Return the record of an environment, or None where there is none that can be read."""
    try:
        lines = (venv / RECORD).read_text(encoding="utf-8").splitlines()
        return Record(**dict(line.split("=", 1) for line in lines))
    except (OSError, TypeError, ValueError):
        return None


def digest(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the files' names and contents."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.name}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def lock_path(root: Path) -> Path:
    """Return the lock of the running Python.

    Raises:
        SetupError: There is none for this Python.
    """
    path = root / "requirements" / f"py{sys.version_info[0]}{sys.version_info[1]}.txt"
    if not path.exists():
        raise SetupError(f"{path}: missing; Python 3.12, 3.13 and 3.11 have one")
    return path


def wanted_record(root: Path, *, has_lerobot: bool = False) -> Record:
    """Return the record that the environment must have."""
    names = (BASE, LEROBOT) if has_lerobot else (BASE,)
    inputs = [root / "requirements" / name for name in ("run.in", "ros_wheels.in", *names)]
    package = [root / name for name in ("setup.py", "setup.cfg", "package.xml", "pyproject.toml")]
    return Record(
        python=sys.executable,
        version=sys.version.split()[0],
        requirements=digest([*inputs, lock_path(root)]),
        package=digest(package),
        inputs=" ".join(names),
    )


def is_usable(venv: Path, record: Record | None, wanted: Record) -> bool:
    """Tell whether an environment can be completed instead of built anew.

    It must be whole, of this Python, and made for the place where it lies: the programs in its
    ``bin`` contain that path, so a copied or moved environment runs another one's packages.
    """
    if (venv / MARK).exists() or not (venv / "bin" / "python").exists():
        return False
    if record is not None and (record.python, record.version) != (wanted.python, wanted.version):
        return False
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    facts = dict(line.split(" = ", 1) for line in lines if " = " in line)
    home = facts.get("command", "").rpartition(" -m venv ")[2].removeprefix("--clear ")
    return facts.get("version") == wanted.version and os.path.realpath(home) == os.path.realpath(
        venv
    )


def build(venv: Path, root: Path, run: Runner, *, with_lerobot: bool = False) -> bool:
    """Bring an environment up to date.

    Args:
        venv: The environment's directory.
        root: This project's directory.
        run: Runs a command; raises SetupError when it fails.
        with_lerobot: Install LeRobot, too; one that is there already stays.

    Returns:
        Whether anything had to be done.

    Raises:
        SetupError: A step failed.
    """
    record = read_record(venv)
    had_lerobot = record is not None and LEROBOT in record.inputs
    wanted = wanted_record(root, has_lerobot=with_lerobot or had_lerobot)
    usable = is_usable(venv, record, wanted)
    if usable and record == wanted:
        return False
    if not usable:
        run([sys.executable, "-m", "venv", "--clear", str(venv)])
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    (venv / MARK).touch()
    if not usable or record is None or record.requirements != wanted.requirements:
        (venv / RECORD).unlink(missing_ok=True)
        lock = ["-c", str(lock_path(root))]
        run([*pip, "pip", "setuptools", *lock])
        inputs = [str(root / "requirements" / name) for name in wanted.inputs.split()]
        run([*pip, *(word for path in inputs for word in ("-r", path)), *lock])
    run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "-e", str(root)])
    (venv / MARK).unlink()
    temporary = venv / f"{RECORD}.new"
    temporary.write_text(wanted.text(), encoding="utf-8")
    temporary.replace(venv / RECORD)
    return True


def count_pins(lock: Path) -> int:
    """Return the number of packages in a lock."""
    return sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())


def logged_runner(venv: Path, total: int) -> Runner:
    """Return a runner that shows progress on one line and keeps the full output in a log.

    Args:
        venv: Where the log is written.
        total: Number of packages in the lock.
    """

    def run(command: list[str]) -> None:
        seen = 0
        tail: deque[str] = deque(maxlen=LAST_LINES)
        # The user's own pip settings stay in force, but for those that leave the environment.
        environ = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
        ) as process:
            for line in process.stdout or ():
                tail.append(line)
                seen += line.startswith("Collecting ")
                if line.startswith("Collecting ") and seen % REPORT_EVERY == 0:
                    print(f"so101:   {seen} of about {total} packages found", flush=True)
                if line.startswith("Installing collected packages") and seen > REPORT_EVERY:
                    print("so101:   unpacking", flush=True)
                _append(venv / LOG, line)
        if process.returncode != 0:
            # pip ended by itself and has undone what it began: the environment stays usable.
            (venv / MARK).unlink(missing_ok=True)
            raise SetupError(
                f"{' '.join(command)} failed:\n{''.join(tail)}"
                f"full log: {venv / LOG}; the next run goes on from here"
            )

    return run


def _append(path: Path, line: str) -> None:
    if path.parent.exists():  # not before the environment is made
        with path.open("a", encoding="utf-8") as log:
            log.write(line)


def main() -> int:
    """Build the environment and say in one line what is used."""
    parser = argparse.ArgumentParser(description="build the virtual environment")
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    parser.add_argument("--lerobot", action="store_true", help="install LeRobot, too")
    arguments = parser.parse_args()
    venv: Path = arguments.venv.absolute()
    try:
        lock = lock_path(ROOT)
        version = sys.version.split()[0]
        print(f"so101: Python {version} ({sys.executable}), {venv}, {lock.relative_to(ROOT)}")
        wanted = wanted_record(ROOT)
        if not is_usable(venv, read_record(venv), wanted) or read_record(venv) is None:
            print("so101: first set-up: about 2 GB to download, some minutes", flush=True)
        runner = logged_runner(venv, count_pins(lock))
        build(venv, ROOT, runner, with_lerobot=arguments.lerobot)
    except (SetupError, OSError) as error:
        print(f"so101: set-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("so101: set-up interrupted; run it again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
